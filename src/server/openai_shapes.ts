// Parts of OpenAI's answers that several endpoints share: usage, log probabilities, ids, and a failure within a stream.

import type { Context } from "hono";
import type { TokenLogprob, TopLogprob } from "../engine/api.ts";
import type { ChatFinish } from "../engine/chat_api.ts";
import { isText } from "../engine/token_texts.ts";
import { errorBody, type Failure } from "./errors.ts";
import { dialectOf, expectsUsage } from "./paths.ts";
import { event } from "./sse.ts";

export function newId(prefix: string): string {
  return `${prefix}${crypto.randomUUID().replaceAll("-", "")}`;
}

/** Seconds since 1970. */
export function now(): number {
  return Math.floor(Date.now() / 1000);
}

/** One prompt counts once, however many answers it got. `prompts` are the first answers of each. */
export function usageOf(answers: readonly ChatFinish[], perPrompt: number): object {
  let [prompt, cached, completion] = [0, 0, 0];
  for (const [i, { usage }] of answers.entries()) {
    completion += usage.completionTokens;
    if (i % perPrompt !== 0) continue;
    prompt += usage.promptTokens;
    cached += usage.cachedTokens;
  }
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
  };
}

/** Where a stream tells its usage; null: nowhere. */
export type UsageWanted = "in a chunk of its own" | "with the last chunk" | null;

/**
 * As OpenAI's clients ask for it, and OpenRouter's (`usage: {include: true}`): after the last choice. Clients that count on it
 * unasked may not know a chunk without choices: they get it with the last one.
 */
export function usageWanted(c: Context, { includeUsage }: { readonly includeUsage: boolean }): UsageWanted {
  if (includeUsage) return "in a chunk of its own";
  return expectsUsage(c) ? "with the last chunk" : null;
}

/** JSON has no infinities; OpenAI gives -9999 for what is impossible. */
export function finite(logprob: number): number {
  return Math.max(logprob, -9999);
}

/** A token that is no whole character as OpenAI writes it, "\\xf0\\x9f"; null for others. */
export function spelledBytes({ text, bytes }: TopLogprob): string | null {
  if (!text.includes("\uFFFD") || isText(bytes)) return null;
  return bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}

/** Log probabilities in the shape of chat completions; null where none were asked for. */
export function chatLogprobs(tokens: readonly TokenLogprob[] | undefined, wanted: boolean): object | null {
  if (!wanted) return null;
  const shape = (token: TopLogprob) => ({
    token: spelledBytes(token) ?? token.text,
    logprob: finite(token.logprob),
    bytes: token.bytes,
  });
  return {
    content: (tokens ?? []).map((token) => ({ ...shape(token), top_logprobs: token.top.map(shape) })),
    refusal: null,
  };
}

/**
 * What ends a stream that failed: clients show the message of such an event, of a cut connection nothing.
 * @param head what every chunk begins with; OpenRouter's client reads an error out of a chunk only
 */
export function streamFailure(c: Context, head: object): (failure: Failure) => string {
  const dialect = dialectOf(c);
  const chunk = dialect === "openrouter" ? { ...head, choices: [] } : {};
  return (failure) => event(JSON.stringify({ ...chunk, ...errorBody(failure, dialect) }));
}
