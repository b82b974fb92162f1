// How long a prompt and an answer took, and how many tokens a second that is.

import type { GenerationResult } from "./api.ts";

/** Times by performance.now(): of the start, and of the first token, which ends the prompt. */
export interface Course {
  readonly started: number;
  readonly firstAt: number;
  /** Tokens of the prompt that were not found in the cache. */
  readonly computed: number;
  /** Tokens of the answer. */
  readonly count: number;
}

/** The timings of an answer that ends now. */
export function timings({ started, firstAt, computed, count }: Course): GenerationResult["timings"] {
  const promptMs = firstAt - started;
  const decodeMs = count === 0 ? 0 : performance.now() - firstAt;
  return { promptMs, promptTps: rate(computed, promptMs), decodeMs, decodeTps: rate(count - 1, decodeMs) };
}

/** Tokens a second; 0 where there are none. */
function rate(tokens: number, ms: number): number {
  return tokens > 0 && ms > 0 ? (tokens / ms) * 1000 : 0;
}
