// The interface of a call style: how tools are described to the model, how it writes calls, how it
// is given results.

import type { Tokenizer } from "../../tokenizer/types.ts";
import type { PromptOptions } from "../messages.ts";
import type { MistralVersion } from "../mistral.ts";
import type { ReasoningMarks } from "../reasoning.ts";
import type { ReplyOptions, ReplyParser } from "../reply.ts";
import type { ChatMessage, ToolChoice, ToolDefinition } from "../types.ts";
import type { CallGrammar, Written } from "./call_grammar.ts";

/** The properties of a model by which its style is chosen. */
export interface ModelTraits {
  readonly tokenizer: Tokenizer;
  /** The version of Mistral's rules that fits the tokenizer. */
  readonly mistral: MistralVersion;
  /**
   * Whether prompts show the model its tools: false where the folder's chat template
   * never mentions them.
   */
  readonly showsTools: boolean;
  /** The text of the folder's chat template, the one for tools included; "" without one. */
  readonly template: string;
}

export interface CallStyle {
  /** For example "json" or "mistral-v3"; for messages and tests. */
  readonly name: string;
  /**
   * The conversation as the chat template (or Mistral's rules) can show it. A style that
   * the template does not know turns calls and results into text and leaves the tools out
   * of the options.
   */
  prompt(
    messages: readonly ChatMessage[],
    options: PromptOptions,
  ): { readonly messages: readonly ChatMessage[]; readonly options: PromptOptions };
  /**
   * The marks of reasoning that its parser reports itself (harmony's channels). Without them
   * <think> and </think> are taken out of the answer before the parser gets it, where the template
   * has them.
   */
  readonly reasons?: ReasoningMarks;
  /** What stands in front of an answer's text: harmony's header. */
  readonly textHead?: readonly Written[];
  /** Tokens that end an answer, instead of the one that the template puts after a text. */
  readonly stopIds?: readonly number[];
  /** Whether templates are given null, not "", as the text of a message that only calls tools. */
  readonly nullText?: boolean;
  /** A parser for one answer as it is generated. */
  parser(options: ReplyOptions): ReplyParser;
  /**
   * The grammar of an answer that calls tools, for constrained decoding; null if no tool
   * may be called.
   * @param parallel whether it may hold several calls
   */
  grammar(tools: readonly ToolDefinition[], choice: ToolChoice, parallel: boolean): CallGrammar | null;
}
