// Parts of OpenAI's answers that several endpoints share: usage, log probabilities, ids, and
// failures within a stream.

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

/** The usage of all answers. A prompt counts once, however many (`perPrompt`) answers it got. */
export function usageOf(answers: readonly ChatFinish[], perPrompt: number): object {
  let [prompt, cached, completion, reasoning] = [0, 0, 0, 0];
  for (const [i, { usage }] of answers.entries()) {
    completion += usage.completionTokens;
    reasoning += usage.reasoningTokens ?? 0;
    if (i % perPrompt !== 0) continue;
    prompt += usage.promptTokens;
    cached += usage.cachedTokens;
  }
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
    ...(reasoning > 0 && { completion_tokens_details: { reasoning_tokens: reasoning } }),
  };
}

/** Where a stream reports its usage; null: nowhere. */
export type UsageWanted = "in a chunk of its own" | "with the last chunk" | null;

/**
 * After the last choice if OpenAI's or OpenRouter's field (`usage: {include: true}`) requests it.
 * Clients that expect it without a request may not know a chunk without choices: they get it in the
 * last chunk.
 */
export function usageWanted(c: Context, { includeUsage }: { readonly includeUsage: boolean }): UsageWanted {
  if (includeUsage) return "in a chunk of its own";
  return expectsUsage(c) ? "with the last chunk" : null;
}

/** JSON has no infinities; OpenAI writes -9999 for impossible tokens. */
export function finite(logprob: number): number {
  return Math.max(logprob, -9999);
}

/**
 * A token that is not a whole character, as OpenAI writes it: "\\xf0\\x9f"; null for other tokens.
 */
export function spelledBytes({ text, bytes }: TopLogprob): string | null {
  if (!text.includes("\uFFFD") || isText(bytes)) return null;
  return bytes.map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}

/** Log probabilities in the shape of chat completions; null where they were not requested. */
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
 * The event that ends a failed stream: clients show its message, but nothing for
 * a closed connection.
 * @param head the first fields of every chunk; OpenRouter's client finds errors only in chunks
 */
export function streamFailure(c: Context, head: object): (failure: Failure) => string {
  const dialect = dialectOf(c);
  const chunk = dialect === "openrouter" ? { ...head, choices: [] } : {};
  return (failure) => event(JSON.stringify({ ...chunk, ...errorBody(failure, dialect) }));
}
