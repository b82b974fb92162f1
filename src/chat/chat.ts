// A folder's way of chatting: conversations to prompts, answers to text and tool calls.

import { RequestError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/types.ts";
import type { Files } from "../weights/files.ts";
import { checkMessages, checkTools, type PromptOptions, shownTools, withTrainedIds } from "./messages.ts";
import { controlId, mistralPrompt, mistralVersion } from "./mistral.ts";
import { jsonProtocol } from "./protocol.ts";
import { createReplyParser, type ReplyParser } from "./reply.ts";
import { ChatTemplate, readTemplate, type TemplateSource } from "./template.ts";
import { type ToolOutput, toolCallSchema } from "./tool_output.ts";
import type { ChatMessage, ToolFormat } from "./types.ts";

export type { PromptOptions } from "./messages.ts";
export type { ReplyEvent, ReplyParser } from "./reply.ts";
export type { ToolOutput } from "./tool_output.ts";
export type * from "./types.ts";

export interface ChatFormat {
  /** Where prompts come from: the template's file, or Mistral's rules by version. */
  readonly source: string;
  readonly toolFormat: ToolFormat;
  /** Tokens that end an answer. */
  readonly stopIds: readonly number[];
  /**
   * The ids of a prompt, BOS included where the model wants it.
   * @throws RequestError for a conversation that cannot be put to this model; WeightsError where the folder's template fails
   */
  prompt(messages: readonly ChatMessage[], options?: PromptOptions): number[];
  /** Reads one answer to a prompt with the same options. */
  parser(options?: PromptOptions): ReplyParser;
  /** The form that calls must have, for constrained decoding; null where no tool may be called. */
  toolOutput(options: PromptOptions): ToolOutput | null;
}

/**
 * How to chat with the model of a folder: by its own template, or where it has none by Mistral's rules for the version of its tokenizer
 * (v1, which needs no control tokens, for any other tokenizer).
 * @throws WeightsError for a template that cannot be used
 */
export async function openChat(files: Files, tokenizer: Tokenizer): Promise<ChatFormat> {
  const source = await readTemplate(files);
  const version = mistralVersion(tokenizer, await files.list());
  const template = source === null ? null : new ChatTemplate(source, tokenizer);
  // From v11 on calls are written [TOOL_CALLS]name[ARGS]{...}: a form that is not read here, so calls go by the JSON protocol.
  const readable = version !== "v1" && template?.knowsTools !== false && controlId(tokenizer, "[ARGS]") === null;
  const callsId = readable ? controlId(tokenizer, "[TOOL_CALLS]") : null;
  const toolFormat = callsId === null ? "json" : version === "v2" ? "mistral-v2" : "mistral-v3";
  return {
    source: source === null ? `Mistral's rules ${version}` : source.where,
    toolFormat,
    stopIds: [...new Set([...tokenizer.eosIds, ...(template?.stopIds ?? [])])],
    prompt(messages, options = {}) {
      checkMessages(messages, options);
      checkTools(options);
      checkVariables(options, source);
      const plain = toolFormat === "json";
      const ready = plain ? jsonProtocol(messages, options) : withTrainedIds(messages);
      const { tools: _, ...rest } = options;
      const shown = plain ? rest : options;
      return template === null ? mistralPrompt(tokenizer, version, ready, shown) : template.prompt(ready, shown);
    },
    parser(options = {}) {
      checkTools(options);
      const { toolChoice = "auto" } = options;
      return createReplyParser({
        format: toolFormat,
        callsId,
        tokenizer,
        tools: new Set(shownTools(options).map(({ name }) => name)),
        required: toolChoice !== "auto" && toolChoice !== "none",
        continued: options.continueAssistant ?? false,
      });
    },
    toolOutput(options) {
      checkTools(options);
      return toolCallSchema(shownTools(options), options.toolChoice ?? "auto", toolFormat, callsId);
    },
  };
}

/** What the conversation itself sets, and what transformers takes for its own. */
const RESERVED = ["messages", "tools", "add_generation_prompt", "continue_final_message", "chat_template", "tokenize"];

/** @throws RequestError where the template's variables have no template, or are not the caller's to set */
function checkVariables({ templateVariables = {} }: PromptOptions, source: TemplateSource | null): void {
  const param = "chat_template_kwargs";
  const names = Object.keys(templateVariables);
  const taken = names.find(
    (name) => RESERVED.includes(name) || (source && Object.hasOwn(source.tokens, name)) || name.endsWith("_token"),
  );
  if (taken !== undefined) throw new RequestError(`${param}: ${taken} is not the request's to set`, { param });
  if (source !== null) return;
  // What is switched off is off without a template, too.
  const lost = names.find((name) => !isOff(templateVariables[name]));
  if (lost !== undefined)
    throw new RequestError(`${param}: ${lost}: the model has no chat template to give it to`, { param });
}

/** Null, false, and what is empty. */
function isOff(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.keys(value).length === 0;
  return value === undefined || value === null || value === false || value === "";
}
