// Wraps a model so that every answer is timed and counted, also those that fail or
// whose client leaves.

import { onAbort } from "../abort.ts";
import type { ChatEvent, ChatOptions } from "../engine/chat_api.ts";
import { abortReason } from "../errors.ts";
import { failureOf } from "./errors.ts";
import type { Answering } from "./held_model.ts";
import type { TrackedRequest } from "./tracked_request.ts";

/** How an answer ended: normally, rejected before it began, failed, or abandoned by its client. */
export const OUTCOMES = ["stop", "length", "tool_calls", "refused", "failed", "cancelled"] as const;
export type AnswerOutcome = (typeof OUTCOMES)[number];

/** What an answer is an answer to. */
export interface Answered {
  /** OpenTelemetry's name of the operation. */
  readonly operation: "chat" | "text_completion";
  readonly model: string;
}

export interface Watch {
  /** Tokens that were computed; `cached` came from the prefix cache. */
  tokens(kind: "prompt" | "prompt_cached" | "completion", count: number, model: string): void;
  /** ms that it waited in the queue. */
  turn(ms: number): void;
  /** ms from the request to the first event. */
  first(answered: Answered, ms: number): void;
  /** An answer ended normally: ms from the request, and from the first event, to the last token. */
  whole(answered: Answered, ms: number, decodeMs: number, completionTokens: number): void;
  answer(outcome: AnswerOutcome): void;
}

/** @param requestOf the request of an answer, by the signal that the answer was given */
export function measuredModel(
  model: Answering,
  watch: Watch,
  requestOf: (signal: AbortSignal | undefined) => TrackedRequest | undefined,
  clock: () => number,
): Answering {
  async function* measured<O extends ChatOptions & { readonly echo?: boolean }>(
    operation: Answered["operation"],
    start: (options: O | undefined) => AsyncIterable<ChatEvent>,
    options?: O,
  ): AsyncGenerator<ChatEvent> {
    const request = requestOf(options?.signal);
    const answered: Answered = { operation, model: model.name };
    request?.answeredBy(model.name);
    const asked = clock();
    const events = start(
      options && {
        ...options,
        onWarnings: (warnings) => request?.warn(warnings),
        onTurn() {
          const ms = clock() - asked;
          watch.turn(ms);
          request?.turn(ms);
        },
      },
    );
    let begun: number | null = null;
    let outcome: AnswerOutcome = "cancelled"; // if the caller leaves the iteration
    // Each event stands for at least one token, so tokens are counted as events come, one behind:
    // the last piece of text may stand for none, because it had been held back. The finish event
    // corrects the count.
    let [counted, behind] = [0, 0];
    const completion = (count: number): void => {
      if (count <= 0) return;
      watch.tokens("completion", count, model.name);
      request?.add({ completionTokens: count });
      counted += count;
    };
    const iterator = events[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = await unlessAborted(iterator.next(), options?.signal);
        if (next.done) return;
        const event = next.value;
        const now = clock();
        if (begun === null) {
          watch.first(answered, now - asked);
          request?.firstToken();
        }
        begun ??= now;
        if (event.type === "finish") {
          const { promptTokens, cachedTokens, completionTokens } = event.usage;
          watch.tokens("prompt", promptTokens - cachedTokens, model.name);
          watch.tokens("prompt_cached", cachedTokens, model.name);
          request?.add({ promptTokens, cachedTokens });
          completion(completionTokens - counted);
          behind = 0;
          watch.whole(answered, now - asked, now - begun, completionTokens);
          outcome = event.reason;
          request?.finished(event.reason);
        } else if (event.type !== "tool_call" && !options?.echo) {
          completion(behind);
          behind = 1;
        }
        yield event;
      }
    } catch (error) {
      const { status } = failureOf(error);
      outcome = status === 499 ? "cancelled" : begun === null && status < 500 ? "refused" : "failed";
      if (begun === null && status === 503) outcome = "refused";
      throw error;
    } finally {
      iterator.return?.().catch(() => {}); // not awaited: the engine frees it when its step is over
      completion(behind);
      watch.answer(outcome);
    }
  }

  return {
    name: model.name,
    chat: (messages, options) => measured("chat", (watched) => model.chat(messages, watched), options),
    complete: (prompt, options) => measured("text_completion", (watched) => model.complete(prompt, watched), options),
    async embed(input, signal) {
      const request = requestOf(signal);
      request?.answeredBy(model.name);
      const result = await unlessAborted(model.embed(input, signal), signal);
      watch.tokens("prompt", result.tokens, model.name);
      request?.add({ promptTokens: result.tokens });
      return result;
    },
  };
}

/**
 * Settles as `promise`, or rejects as soon as `signal` aborts: a step of the engine
 * may take seconds.
 */
function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    if (signal.aborted) reject(abortReason(signal));
    const stay = onAbort(signal, () => reject(abortReason(signal)));
    promise.then(resolve, reject).finally(stay);
  });
}
