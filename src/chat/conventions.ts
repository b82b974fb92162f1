// A model's chat conventions: turning conversations into prompts, and answers into text
// and tool calls.

import { RequestError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import type { Files } from "../weights/files.ts";
import { checkMessages, checkTools, type PromptOptions, shownTools } from "./messages.ts";
import { mistralPrompt, mistralVersion } from "./mistral.ts";
import {
  marksOf,
  type ReasoningMarks,
  type ReasoningStart,
  reasoningVariables,
  startOf,
  withReasoning,
} from "./reasoning.ts";
import type { ReplyParser } from "./reply.ts";
import type { CallGrammar, Written } from "./styles/call_grammar.ts";
import { styleOf } from "./styles/index.ts";
import { ChatTemplate, readTemplate, type TemplateSource } from "./template.ts";
import type { ChatMessage } from "./types.ts";

export type { PromptOptions } from "./messages.ts";
export type { ReasoningMarks, ReasoningStart } from "./reasoning.ts";
export type { ReplyEvent, ReplyParser } from "./reply.ts";
export type { BegunCalls, CallGrammar, Written } from "./styles/call_grammar.ts";
export type * from "./types.ts";

export interface ChatConventions {
  /** Where prompts come from: the template's file, or Mistral's rules by version. */
  readonly source: string;
  /** Name of the style in which the model calls tools (src/chat/styles). */
  readonly callStyle: string;
  /** Tokens that end an answer. */
  readonly stopIds: readonly number[];
  /**
   * The ids of a prompt, including BOS if the model uses it.
   * @throws RequestError for a conversation that this model does not support; WeightsError if the
   * folder's template fails
   */
  prompt(messages: readonly ChatMessage[], options?: PromptOptions): number[];
  /**
   * A parser for one answer to a prompt with the same options.
   * @param prompt the prompt's ids: a template may open the reasoning itself
   */
  parser(options?: PromptOptions, prompt?: readonly number[]): ReplyParser;
  /** How the model marks its reasoning, and where a prompt leaves it; null: it does not reason. */
  reasoning(prompt: readonly number[]): { readonly marks: ReasoningMarks; readonly start: ReasoningStart } | null;
  /** What stands in front of an answer that is a text; empty for most models. */
  textHead(options?: PromptOptions): readonly Written[];
  /**
   * The grammar of tool calls, for constrained decoding; null if no tool may be called.
   * @param parallel whether an answer may hold several calls
   */
  callGrammar(options: PromptOptions, parallel?: boolean): CallGrammar | null;
}

/**
 * The conventions of the model in a folder: its own chat template, or where it has none
 * Mistral's rules for the version of its tokenizer (v1, which needs no control tokens, for
 * any other tokenizer).
 * @param own the model's own files, if `files` are those of another tokenizer: a template is taken
 * from there if they have none
 * @throws WeightsError for a template that cannot be used
 */
export async function openChat(files: Files, tokenizer: Tokenizer, own = files): Promise<ChatConventions> {
  const source = (await readTemplate(files)) ?? (own === files ? null : await readTemplate(own));
  const version = mistralVersion(tokenizer, await files.list());
  const template = source === null ? null : new ChatTemplate(source, tokenizer);
  const text = source === null ? "" : source.text + (source.withTools ?? "");
  const style = styleOf({ tokenizer, mistral: version, showsTools: template?.knowsTools !== false, template: text });
  const marks = style.reasons ?? marksOf(text);
  const reasoning: ChatConventions["reasoning"] = (prompt) =>
    marks === null ? null : { marks, start: startOf(prompt, marks, tokenizer) };
  return {
    source: source === null ? `Mistral's rules ${version}` : source.where,
    callStyle: style.name,
    stopIds: [...new Set([...tokenizer.eosIds, ...(style.stopIds ?? template?.stopIds ?? [])])],
    prompt(messages, options = {}) {
      checkMessages(messages, options);
      checkTools(options);
      checkVariables(options, source);
      const shown = style.prompt(messages, options);
      if (template === null) return mistralPrompt(tokenizer, version, shown.messages, shown.options);
      const { reasoning = {}, templateVariables } = shown.options;
      return template.prompt(shown.messages, {
        ...shown.options,
        nullText: style.nullText ?? false,
        templateVariables: reasoningVariables(reasoning, templateVariables),
      });
    },
    reasoning,
    parser(options = {}, prompt = []) {
      checkTools(options);
      const { toolChoice = "auto" } = options;
      const parser = style.parser({
        tokenizer,
        tools: new Set(shownTools(options).map(({ name }) => name)),
        parameters: new Map(shownTools(options).map(({ name, parameters = {} }) => [name, parameters])),
        required: toolChoice !== "auto" && toolChoice !== "none",
        continued: options.continueAssistant ?? false,
      });
      const found = reasoning(prompt);
      return found === null || style.reasons ? parser : withReasoning(parser, found.marks, found.start, tokenizer);
    },
    textHead: ({ continueAssistant = false } = {}) => (continueAssistant ? [] : (style.textHead ?? [])),
    callGrammar(options, parallel = true) {
      checkTools(options);
      return style.grammar(shownTools(options), options.toolChoice ?? "auto", parallel);
    },
  };
}

/** Variables set from the conversation, and those reserved by transformers. */
const RESERVED = ["messages", "tools", "add_generation_prompt", "continue_final_message", "chat_template", "tokenize"];

/** @throws RequestError for a template variable that is reserved, or if there is no template */
function checkVariables({ templateVariables = {} }: PromptOptions, source: TemplateSource | null): void {
  const param = "chat_template_kwargs";
  const names = Object.keys(templateVariables);
  const taken = names.find(
    (name) => RESERVED.includes(name) || (source && Object.hasOwn(source.tokens, name)) || name.endsWith("_token"),
  );
  if (taken !== undefined) throw new RequestError(`${param}: ${taken} is reserved`, { param });
  if (source !== null) return;
  // Without a template every feature is off, so switching one off is no error.
  const lost = names.find((name) => !isOff(templateVariables[name]));
  if (lost !== undefined)
    throw new RequestError(`${param}: ${lost}: the model has no chat template that could use it`, { param });
}

/** Null, false, and empty texts, lists and objects. */
function isOff(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length === 0;
  return value === undefined || value === null || value === false || value === "";
}
