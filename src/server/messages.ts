// What OpenAI's and Anthropic's conversations have in common: content made of parts, tool definitions, ids of tool calls.

import type { ChatMessage, ToolChoice, ToolDefinition } from "../engine/chat_api.ts";
import { RequestError } from "../errors.ts";
import { type Fields, fieldsOf, type Json, wrong } from "./fields.ts";

export const MOST_MESSAGES = 100_000;
const MOST_PARTS = 10_000;
const MOST_TOOLS = 1024;
const TOOL_NAME = /^[\w.-]{1,128}$/;

/** Content that is a text, or an array of parts: every part as its fields, a text as one text part. */
export function partsOf(message: Fields, name: string): readonly Fields[] | undefined {
  const content = message.raw(name);
  if (content === undefined) return undefined;
  const path = message.path(name);
  if (typeof content === "string") return [fieldsOf({ type: "text", text: content }, path)];
  if (Array.isArray(content)) return message.objects(name, MOST_PARTS);
  throw wrong(path, "expected a text or an array of parts", content);
}

/** Content of texts only, joined. @throws RequestError that names the part which is no text */
export function textOf(message: Fields, name: string): string | undefined {
  return partsOf(message, name)?.map(textPart).join("");
}

export function textPart(part: Fields): string {
  const type = part.string("type");
  const field = type === "refusal" ? "refusal" : "text";
  if (type !== "text" && type !== "refusal") throw wrong(part.path("type"), "this model reads text only", type ?? null);
  const text = part.string(field);
  if (text === undefined) throw wrong(part.path(field), "expected a text", null);
  return text;
}

/** The definitions of a request's `tools`; `define` reads one, given its fields. */
export function toolsOf(body: Fields, define: (tool: Fields) => ToolDefinition): readonly ToolDefinition[] | undefined {
  const tools = body.objects("tools", MOST_TOOLS)?.map(define);
  const names = new Set<string>();
  for (const [i, { name }] of (tools ?? []).entries()) {
    const path = `tools[${i}].name`;
    if (!TOOL_NAME.test(name)) throw wrong(path, "expected 1 to 128 letters, digits, _, - or .", name);
    if (names.has(name)) throw wrong(path, "this name is used by an earlier tool", name);
    names.add(name);
  }
  return tools && tools.length > 0 ? tools : undefined;
}

/** A JSON schema, as a record to hand on. */
export function schemaOf(fields: Fields, name: string): { parameters?: Json } {
  const schema = fields.object(name);
  return schema ? { parameters: schema.json } : {};
}

/** Refuses a choice that the tools do not allow. */
export function checkChoice(choice: ToolChoice | undefined, tools: readonly ToolDefinition[] | undefined): void {
  if (choice === undefined || choice === "auto" || choice === "none") return;
  if (tools === undefined) throw wrong("tool_choice", "needs tools, and there are none", undefined);
  if (choice === "required" || tools.some((tool) => tool.name === choice.name)) return;
  throw wrong("tool_choice", "expected the name of one of the tools", choice.name);
}

/** Refuses results of tool calls that nobody made. */
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
