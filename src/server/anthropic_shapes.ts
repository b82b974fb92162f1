// Parts that Anthropic's whole and streamed messages share: the reason for stopping, and usage.

import type { ChatFinish } from "../engine/chat_api.ts";

export function stopOf(finish: ChatFinish): { readonly stop_reason: string; readonly stop_sequence: string | null } {
  const { reason, stopSequence } = finish;
  if (reason === "length") return { stop_reason: "max_tokens", stop_sequence: null };
  if (reason === "tool_calls") return { stop_reason: "tool_use", stop_sequence: null };
  if (stopSequence !== undefined) return { stop_reason: "stop_sequence", stop_sequence: stopSequence };
  return { stop_reason: "end_turn", stop_sequence: null };
}

/** Anthropic counts cached tokens apart from the other input tokens. */
export function usageOf({ usage }: ChatFinish): object {
  return {
    input_tokens: usage.promptTokens - usage.cachedTokens,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: usage.cachedTokens,
    output_tokens: usage.completionTokens,
  };
}

/**
 * The signature of a thinking block. Clients require one, and send it back; this server signs
 * nothing and checks nothing.
 */
export const SIGNATURE = "unsigned";
