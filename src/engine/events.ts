// The events of an answer: one vocabulary from the reply parser to the servers.
//
//   the model's tokens  -> ReplyParser  -> the engine (ChatModel)      -> servers and commands
//                          text            text, with log probabilities
//                          reasoning       reasoning
//                          tool_call       tool_call
//                          tool_arguments  tool_arguments
//                          malformed, cut  (dropped)
//                                          finish
//
// Servers change the shape of these events only where they write them to the wire.

import type { ReasoningEvent, ToolArgumentsEvent, ToolCallEvent } from "../chat/reply.ts";
import type { GenerationResult, TokenLogprob } from "./api.ts";

/**
 * What an answer yields, in order: reasoning, texts and tool calls (each `tool_call` is followed by
 * its arguments), then one `finish`. Calls come when they are whole: one that the end of the answer
 * cut off is left out. Log probabilities are those of the tokens since the last event that had any;
 * reasoning has none.
 */
export type ChatEvent =
  | { readonly type: "text"; readonly text: string; readonly logprobs?: readonly TokenLogprob[] }
  | ReasoningEvent
  | ToolCallEvent
  | ToolArgumentsEvent
  | ChatFinish;

/** How an answer ended. Times are in ms, see GenerationResult. */
export interface ChatFinish {
  /** Tells this event from others. */
  readonly type: "finish";
  /** Why the answer ended. */
  readonly reason: "stop" | "length" | "tool_calls";
  /** The one of the `stop` texts that ended it. */
  readonly stopSequence?: string;
  /**
   * cachedTokens: how many of promptTokens were not computed again. reasoningTokens: how many of
   * completionTokens are reasoning; left out where none is.
   */
  readonly usage: {
    readonly promptTokens: number;
    readonly cachedTokens: number;
    readonly completionTokens: number;
    readonly reasoningTokens?: number;
  };
  /** Gives the same answer again, with the same options. */
  readonly seed: number;
  /** Times in ms, and tokens a second. */
  readonly timings: GenerationResult["timings"];
}
