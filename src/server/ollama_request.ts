// Translates bodies of Ollama's /api/chat and /api/generate to the engine's messages and options.

import type { ChatMessage, ChatOptions, ToolCall } from "../engine/chat_api.ts";
import { MOST_MESSAGES } from "./conversation_fields.ts";
import { type Fields, fieldsOf, isObject, type Json, required, wrong } from "./fields.ts";
import { checkModel } from "./openai_request.ts";
import { openaiTools } from "./openai_tools.ts";
import { reasoningOf } from "./reasoning_fields.ts";
import { refuseUnsupported } from "./request_fields.ts";
import { formatOf } from "./response_formats.ts";
import { defined, maxTokensOf, samplingOf } from "./sampling.ts";
import { keepAliveOf } from "./wanted.ts";

const MOST_CALLS = 1024;

export interface OllamaRequest {
  /** Empty: the client only wants the model to be loaded. */
  readonly messages: readonly ChatMessage[];
  /** A prompt that is continued as it is (`raw`), in place of messages. */
  readonly prompt: string | null;
  readonly options: ChatOptions;
  readonly stream: boolean;
  /** How long the model stays loaded; undefined: as the server is set. */
  readonly keepMs: number | undefined;
}

/** @throws RequestError that names the field */
export function ollamaChatRequest(json: Json): OllamaRequest {
  const body = fieldsOf(json);
  const conversation = new Conversation();
  for (const fields of body.objects("messages", MOST_MESSAGES) ?? []) conversation.take(fields);
  return { messages: conversation.messages, prompt: null, ...common(body) };
}

/** @throws RequestError that names the field */
export function ollamaGenerateRequest(json: Json): OllamaRequest {
  const body = fieldsOf(json);
  const prompt = body.string("prompt") ?? "";
  const system = body.string("system");
  for (const name of ["suffix", "template", "context"])
    if (body.has(name) && !isNothing(body.raw(name))) throw wrong(name, "is not supported", body.raw(name));
  noImages(body);
  if (prompt === "") return { messages: [], prompt: null, ...common(body) };
  if (body.boolean("raw")) return { messages: [], prompt, ...common(body) };
  const messages: ChatMessage[] = [{ role: "user", content: prompt }];
  return {
    messages: system ? [{ role: "system", content: system }, ...messages] : messages,
    prompt: null,
    ...common(body),
  };
}

function common(body: Fields): Pick<OllamaRequest, "options" | "stream" | "keepMs"> {
  checkModel(body);
  const { num_predict: length, ...given } = body.object("options")?.json ?? {};
  const options = fieldsOf(given, "options");
  refuseUnsupported(options, "chat");
  // -2, as many as fit the context, is -1 here.
  const limit = fieldsOf({ num_predict: length === -2 ? -1 : length }, "options");
  return {
    stream: body.boolean("stream") ?? true,
    keepMs: keepAliveOf(body.json),
    options: {
      ...samplingOf(options),
      ...defined({
        maxTokens: maxTokensOf(limit, ["num_predict"], 0),
        ...openaiTools(body),
        responseFormat: body.raw("format") === "" ? undefined : formatOf(fieldsOf({ format: body.raw("format") })),
        reasoning: reasoningOf(fieldsOf({ think: body.raw("think") })),
      }),
    },
  };
}

function isNothing(value: unknown): boolean {
  return value === "" || (Array.isArray(value) && value.length === 0);
}

function noImages(fields: Fields): void {
  if (fields.has("images") && !isNothing(fields.raw("images")))
    throw wrong(fields.path("images"), "this model reads text only", fields.raw("images"));
}

/** Gives calls and their results ids: Ollama's clients tell them apart by order and name. */
class Conversation {
  readonly messages: ChatMessage[] = [];
  /** Calls without a result. */
  #open: ToolCall[] = [];
  #calls = 0;

  take(fields: Fields): void {
    const role = required(fields.oneOf("role", ["system", "user", "assistant", "tool"]), fields, "role");
    const content = fields.string("content") ?? "";
    noImages(fields);
    if (role === "tool") return void this.messages.push(this.#result(fields, content));
    if (role !== "assistant") return void this.messages.push({ role, content });
    const reasoning = fields.string("thinking");
    const toolCalls = (fields.objects("tool_calls", MOST_CALLS) ?? []).map((call) => this.#call(call));
    this.#open = [...toolCalls];
    this.messages.push({
      role,
      content,
      ...(reasoning && { reasoning }),
      ...(toolCalls.length > 0 && { toolCalls }),
    });
  }

  #call(fields: Fields): ToolCall {
    const called = required(fields.object("function"), fields, "function");
    const given = called.raw("arguments") ?? {};
    if (!isObject(given) && typeof given !== "string")
      throw wrong(called.path("arguments"), "expected an object", given);
    return {
      id: fields.string("id") ?? `call${String(this.#calls++).padStart(5, "0")}`,
      name: required(called.string("name"), called, "name"),
      arguments: typeof given === "string" ? given : JSON.stringify(given),
    };
  }

  #result(fields: Fields, content: string): ChatMessage {
    const id = fields.string("tool_call_id");
    const name = fields.string("tool_name") ?? fields.string("name");
    const found = this.#open.findIndex((call) => (id === undefined ? !name || call.name === name : call.id === id));
    if (found < 0)
      throw wrong(
        fields.path(id === undefined ? "tool_name" : "tool_call_id"),
        "no call waits for this result",
        id ?? name,
      );
    const [call] = this.#open.splice(found, 1);
    return { role: "tool", content, toolCallId: call!.id, ...(name !== undefined && { name }) };
  }
}
