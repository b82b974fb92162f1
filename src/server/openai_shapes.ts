// Parts of OpenAI's answers that several endpoints share: usage, log probabilities, ids, and a failure within a stream.

import type { TokenLogprob } from "../engine/api.ts";
import type { ChatFinish } from "../engine/chat_api.ts";
import { errorBody, type Failure } from "./errors.ts";
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

/** JSON has no infinities; OpenAI gives -9999 for what is impossible. */
export function finite(logprob: number): number {
  return Math.max(logprob, -9999);
}

/** Log probabilities in the shape of chat completions; null where none were asked for. */
export function chatLogprobs(tokens: readonly TokenLogprob[] | undefined, wanted: boolean): object | null {
  if (!wanted) return null;
  const encoder = new TextEncoder();
  const shape = ({ text, logprob }: { text: string; logprob: number }) => ({
    token: text,
    logprob: finite(logprob),
    bytes: [...encoder.encode(text)],
  });
  return {
    content: (tokens ?? []).map((token) => ({ ...shape(token), top_logprobs: token.top.map(shape) })),
    refusal: null,
  };
}

/** What ends a stream that failed: clients show the message of such an event, of a cut connection nothing. */
export function streamFailure(failure: Failure): string {
  return event(JSON.stringify(errorBody(failure, "openai")));
}
