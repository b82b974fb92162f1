// Request fields that OpenAI's and Anthropic's conversations share: content parts, tool
// definitions, ids of tool calls.

import type { ChatMessage, ToolChoice, ToolDefinition } from "../engine/chat_api.ts";
import { RequestError } from "../errors.ts";
import { type Fields, fieldsOf, type Json, required, wrong } from "./fields.ts";

export const MOST_MESSAGES = 100_000;
const MOST_PARTS = 10_000;
/** A sanity limit: the body limit bounds the work on tools. */
export const MOST_TOOLS = 100_000;
const TOOL_NAME = /^[\w.-]{1,128}$/;

/**
 * The parts of a content field that is a text or an array of parts. A text becomes one text part.
 */
export function partsOf(message: Fields, name: string): readonly Fields[] | undefined {
  const content = message.raw(name);
  if (content === undefined) return undefined;
  const path = message.path(name);
  if (typeof content === "string") return [fieldsOf({ type: "text", text: content }, path)];
  if (Array.isArray(content)) return message.objects(name, MOST_PARTS);
  throw wrong(path, "expected a text or an array of parts", content);
}

/**
 * The joined texts of a content field.
 * @throws RequestError that names a part that is not a text
 */
export function textOf(message: Fields, name: string): string | undefined {
  return partsOf(message, name)?.map(textPart).join("");
}

/**
 * The text of a part. Documents and search results become texts with a heading and an empty line
 * after them.
 */
export function textPart(part: Fields): string {
  const type = part.string("type");
  switch (type) {
    case "text":
    case "refusal":
      return required(part.string(type), part, type);
    case "input_text":
    case "output_text":
      return required(part.string("text"), part, "text");
    case "document": {
      const source = required(part.object("source"), part, "source");
      const kind = source.oneOf("type", ["text", "content"]);
      const text = kind === "text" ? source.string("data") : textOf(source, "content");
      const found = required(text, source, kind === "text" ? "data" : "content");
      return headed([part.string("title"), part.string("context")], found);
    }
    case "search_result": {
      const text = required(textOf(part, "content"), part, "content");
      return headed([part.string("title"), part.string("source")], text);
    }
    default:
      throw wrong(part.path("type"), "this model reads text only", type ?? null);
  }
}

function headed(heading: readonly (string | undefined)[], text: string): string {
  const lines = heading.filter((line) => line !== undefined && line !== "");
  return `${[...lines, ...(lines.length > 0 ? [""] : []), text].join("\n")}\n\n`;
}

/**
 * The definitions of a request's `tools`; `define` reads one, given its fields, or returns null for
 * one that is passed over.
 */
export function toolsOf(
  body: Fields,
  define: (tool: Fields) => ToolDefinition | null,
): readonly ToolDefinition[] | undefined {
  const tools = new Map<string, ToolDefinition>();
  for (const [i, fields] of (body.objects("tools", MOST_TOOLS) ?? []).entries()) {
    const tool = define(fields);
    if (tool === null) continue;
    const { name } = tool;
    const path = `tools[${i}].name`;
    if (!TOOL_NAME.test(name)) throw wrong(path, "expected 1 to 128 letters, digits, _, - or .", name);
    if (tools.has(name)) throw wrong(path, "this name is used by an earlier tool", name);
    tools.set(name, tool);
  }
  return tools.size > 0 ? [...tools.values()] : undefined;
}

/**
 * A tool's JSON schema as `parameters`. A value that is not an object is left out, or rejected if
 * the tool is `strict`.
 */
export function schemaOf(fields: Fields, name: string): { parameters?: Json } {
  const schema = fields.raw(name);
  if (typeof schema === "object" && schema !== null && !Array.isArray(schema)) return { parameters: schema as Json };
  if (schema === undefined || !fields.boolean("strict")) return {};
  throw wrong(fields.path(name), "expected a JSON schema that is an object, since the tool is strict", schema);
}

/**
 * Continues the assistant's text at the end of a conversation, if `may`. An empty last message of
 * the assistant is dropped: there is nothing to continue.
 */
export function withLastText(
  messages: readonly ChatMessage[],
  may: boolean,
): { readonly messages: readonly ChatMessage[]; readonly continueAssistant: true | undefined } {
  const last = messages.at(-1);
  if (!may || last?.role !== "assistant" || last.toolCalls?.length) return { messages, continueAssistant: undefined };
  if (last.content) return { messages, continueAssistant: true };
  return { messages: messages.length > 1 ? messages.slice(0, -1) : messages, continueAssistant: undefined };
}

/** @throws RequestError for a choice that the tools do not allow */
export function checkChoice(choice: ToolChoice | undefined, tools: readonly ToolDefinition[] | undefined): void {
  if (choice === undefined || choice === "auto" || choice === "none") return;
  if (tools === undefined) throw wrong("tool_choice", "needs tools, and there are none", undefined);
  if (choice === "required" || tools.some((tool) => tool.name === choice.name)) return;
  throw wrong("tool_choice", "expected the name of one of the tools", choice.name);
}

/** @throws RequestError for the result of a tool call that is not in the conversation */
export function checkToolResults(messages: readonly ChatMessage[]): void {
  const calls = new Set<string>();
  for (const message of messages) {
    if (message.role === "assistant") for (const { id } of message.toolCalls ?? []) calls.add(id);
    if (message.role === "tool" && !calls.has(message.toolCallId)) {
      throw new RequestError(
        `messages: a tool result answers the call ${JSON.stringify(message.toolCallId)}, which no earlier assistant message makes`,
        { param: "messages" },
      );
    }
  }
}
