// A ChatModel that follows a script: it says the words it was given, calls tools, fails, or waits,
// always in the same way.

import type { TokenLogprob } from "../../src/engine/api.ts";
import type { ChatEvent, ChatMessage, ChatModel, ChatOptions } from "../../src/engine/chat_api.ts";
import { abortReason } from "../../src/errors.ts";

/** What an answer does, one after the other. */
export type Act =
  | { readonly say: string }
  | { readonly think: string }
  | { readonly call: string; readonly args: readonly string[] }
  | { readonly fail: Error }
  /** Waits until `when` resolves, or for ever; an abort ends the waiting. */
  | { readonly wait: Promise<void> | null };

export interface Fake extends ChatModel {
  /** What the model was asked, in order. */
  readonly asked: { messages?: readonly ChatMessage[]; prompt?: unknown; options: ChatOptions & { echo?: boolean } }[];
  /** Answers under way. */
  running(): number;
  /** Events handed out by all answers. */
  handed(): number;
}

export interface Script {
  /**
   * What the model answers; default: Hi, or a call of the first tool unless its result is there.
   */
  readonly acts?: (messages: readonly ChatMessage[], options: ChatOptions) => Iterable<Act>;
  readonly finish?: { reason?: "stop" | "length" | "tool_calls"; stopSequence?: string };
}

export const TIMINGS = { promptMs: 1, promptTps: 1, decodeMs: 1, decodeTps: 1 };

export function standard(messages: readonly ChatMessage[], options: ChatOptions): Act[] {
  const tool = options.tools?.[0];
  const called = messages.at(-1)?.role === "tool";
  const { responseFormat: format, toolChoice: choice } = options;
  if (tool && choice !== "none" && !called) {
    const args = tool.name === "get_weather" ? ['{"city":', '"Paris"}'] : ['{"city":"Paris","temp":21}'];
    return [{ call: tool.name, args }];
  }
  if (format && format.type !== "text") return [{ say: '{"city":"Paris",' }, { say: '"temp":21}' }];
  return [{ say: "H" }, { say: "i" }];
}

/** Token ids of the fake's tokenizer: code points. */
export const idsOf = (text: string): number[] => [...text].map((one) => one.codePointAt(0)!);
export const textOf = (ids: readonly number[]): string => String.fromCodePoint(...ids);

function logprobOf(text: string, top: number, offset = 0): TokenLogprob {
  const bytes = [...new TextEncoder().encode(text)];
  const one = { id: text.codePointAt(0) ?? 0, text, bytes, logprob: -0.5 };
  return { ...one, offset, top: [one, { id: 0, text: "?", bytes: [0x3f], logprob: -2 }].slice(0, top) };
}

export function fakeModel(script: Script = {}): Fake {
  const asked: Fake["asked"] = [];
  let [running, handed] = [0, 0];

  /** @param before characters of an echo in front of the answer */
  async function* perform(
    acts: Iterable<Act>,
    prompt: number,
    options: ChatOptions,
    before = 0,
  ): AsyncGenerator<ChatEvent> {
    running++;
    const { signal, logprobs } = options;
    options.onTurn?.();
    let [calls, tokens, said, thought] = [0, 0, before, 0];
    const hand = (event: ChatEvent): ChatEvent => {
      handed++;
      return event;
    };
    try {
      for (const act of acts) {
        await Promise.resolve();
        if (signal?.aborted) throw abortReason(signal);
        if ("fail" in act) throw act.fail;
        if ("wait" in act) await until(act.wait, signal);
        if ("say" in act) {
          tokens++;
          const some = logprobs === undefined ? {} : { logprobs: [logprobOf(act.say, logprobs, said)] };
          said += [...act.say].length;
          yield hand({ type: "text", text: act.say, ...some });
        }
        if ("think" in act) {
          tokens++;
          thought++;
          yield hand({ type: "reasoning", text: act.think });
        }
        if ("call" in act) {
          yield hand({ type: "tool_call", index: calls, id: `call${String(calls).padStart(5, "0")}`, name: act.call });
          for (const text of act.args) {
            tokens++;
            yield hand({ type: "tool_arguments", index: calls, text });
          }
          calls++;
        }
      }
      const { reason = calls > 0 ? "tool_calls" : "stop", stopSequence } = script.finish ?? {};
      yield hand({
        type: "finish",
        reason,
        ...(stopSequence !== undefined && { stopSequence }),
        usage: {
          promptTokens: prompt,
          cachedTokens: 1,
          completionTokens: tokens,
          ...(thought > 0 && { reasoningTokens: thought }),
        },
        seed: options.seed ?? 7,
        timings: TIMINGS,
      });
    } finally {
      running--;
    }
  }
  const acts = script.acts ?? standard;
  return {
    name: "fake-mixtral",
    created: 1_700_000_000,
    context: 4096,
    sampling: { temperature: 0.7 },
    asked,
    running: () => running,
    handed: () => handed,
    chat(messages, options = {}) {
      asked.push({ messages, options: told(options) });
      return perform(acts(messages, options), 5, options);
    },
    complete(prompt, options = {}) {
      asked.push({ prompt, options: told(options) });
      const ids = typeof prompt === "string" ? idsOf(prompt) : prompt;
      const said = [...acts([], options)];
      const before = options.echo ? ids.length : 0;
      return echoed(perform(options.maxTokens === 0 ? [] : said, ids.length, options, before), ids, options);
    },
    countTokens: (messages) => messages.map(({ content }) => content).join("").length + 3,
    tokenize: (text, special) => [...(special ? [1] : []), ...idsOf(text)],
    detokenize: (ids) => textOf(ids),
    embed: async (input) => ({ embedding: Float32Array.of(0.5, -1, 2), tokens: input.length }),
    metrics: () => ({
      queued: 0,
      running,
      waiting: 0,
      kv: { capacity: 4096, used: 0, cached: 0 },
      suspensions: 0,
      recomputedTokens: 0,
      memory: { weights: 10, kv: 2, scratch: 1 },
      experts: null,
      speculation: null,
    }),
  };
}

/** The prompt's tokens as text events in front, the first without a probability. */
async function* echoed(
  events: AsyncGenerator<ChatEvent>,
  ids: readonly number[],
  { echo, logprobs }: ChatOptions & { echo?: boolean },
): AsyncGenerator<ChatEvent> {
  for (const [i, id] of echo ? ids.entries() : []) {
    const text = textOf([id]);
    const one = logprobs === undefined ? null : logprobOf(text, logprobs, i);
    const some = one && { logprobs: [i === 0 ? { ...one, logprob: Number.NaN, top: [] } : one] };
    yield { type: "text", text, ...some };
  }
  yield* events;
}

/** What a request asks for, without what the server adds to hear what becomes of it. */
function told({ onWarnings: _, onTurn: __, ...options }: ChatOptions): ChatOptions {
  return options;
}

async function until(when: Promise<void> | null, signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    when?.then(resolve);
    signal?.addEventListener("abort", () => reject(abortReason(signal)), { once: true });
  });
}

/** The data of a stream's events; "[DONE]" stays a text. */
export function eventsOf(text: string): { event: string | undefined; data: unknown }[] {
  return text
    .split("\n\n")
    .filter((block) => block !== "" && !block.startsWith(":"))
    .map((block) => {
      const event = /^event: (.*)$/m.exec(block)?.[1];
      const data = /^data: (.*)$/m.exec(block)?.[1] ?? "";
      return { event, data: data === "[DONE]" ? data : JSON.parse(data) };
    });
}
