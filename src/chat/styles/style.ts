// The interface of a call style: how a model is told of tools, writes its calls, and is given their results.

import type { Tokenizer } from "../../tokenizer/types.ts";
import type { PromptOptions } from "../messages.ts";
import type { MistralVersion } from "../mistral.ts";
import type { ReplyOptions, ReplyParser } from "../reply.ts";
import type { ChatMessage, ToolChoice, ToolDefinition } from "../types.ts";
import type { CallGrammar } from "./call_grammar.ts";

/** What a style is chosen by. */
export interface ModelTraits {
  readonly tokenizer: Tokenizer;
  /** The version of Mistral's rules that fits the tokenizer. */
  readonly mistral: MistralVersion;
  /** Whether prompts show the model its tools: false where the folder's chat template never mentions them. */
  readonly showsTools: boolean;
}

export interface CallStyle {
  /** "json", "mistral-v3": for messages and tests. */
  readonly name: string;
  /**
   * The conversation as the chat template (or Mistral's rules) can show it. A style that the template does not know
   * turns calls and results into text and leaves the tools out of the options.
   */
  prompt(
    messages: readonly ChatMessage[],
    options: PromptOptions,
  ): { readonly messages: readonly ChatMessage[]; readonly options: PromptOptions };
  /** Reads one answer while it is written. */
  parser(options: ReplyOptions): ReplyParser;
  /**
   * What an answer that calls tools must look like, for constrained decoding; null where no tool may be called.
   * @param parallel whether it may hold several calls
   */
  grammar(tools: readonly ToolDefinition[], choice: ToolChoice, parallel: boolean): CallGrammar | null;
}
