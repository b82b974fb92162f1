// Translates bodies of OpenAI's /v1/responses to the engine's messages and options. Nothing is kept
// between requests: clients send the whole conversation as items.

import type { ChatMessage, ChatOptions, ToolCall } from "../engine/chat_api.ts";
import { checkToolResults, MOST_MESSAGES, textOf, withLastText } from "./conversation_fields.ts";
import { type Fields, fieldsOf, type Json, required, wrong } from "./fields.ts";
import { checkModel } from "./openai_request.ts";
import { flatTool, openaiTools } from "./openai_tools.ts";
import { reasoningOf, showsReasoning } from "./reasoning_fields.ts";
import { refuseUnsupported } from "./request_fields.ts";
import { formatOf } from "./response_formats.ts";
import { defined, maxTokensOf, samplingOf } from "./sampling.ts";

const MOST_TOP_LOGPROBS = 20;
const MOST_INCLUDED = 100;

export interface ResponsesRequest {
  readonly messages: readonly ChatMessage[];
  readonly options: ChatOptions;
  readonly stream: boolean;
  /** Whether answers show their reasoning; as a summary where the client asks for one. */
  readonly reasons: "text" | "summary" | null;
  /** Whether reasoning items carry their text a second time, for clients that keep only that. */
  readonly encrypted: boolean;
  /** The body's fields that answers repeat. */
  readonly body: Json;
}

/** @throws RequestError that names the field */
export function responsesRequest(json: Json): ResponsesRequest {
  const body = fieldsOf(json);
  refuseUnsupported(body, "responses");
  checkModel(body);
  const instructions = body.string("instructions");
  const given = inputOf(body);
  if (given.length === 0) throw wrong("input", "expected a text or at least one message", body.raw("input"));
  checkToolResults(given);
  const { messages, continueAssistant } = withLastText(given, body.boolean("continue_final_message") ?? true);
  const include = body.array("include", MOST_INCLUDED) ?? [];
  const summary = body.object("reasoning");
  return {
    messages: instructions ? [{ role: "system", content: instructions }, ...messages] : messages,
    stream: body.boolean("stream") ?? false,
    reasons: !showsReasoning(body) ? null : summary?.has("summary") ? "summary" : "text",
    encrypted: include.includes("reasoning.encrypted_content"),
    body: json,
    options: {
      ...samplingOf(body),
      ...defined({
        maxTokens: maxTokensOf(body, ["max_output_tokens"], 1),
        logprobs: logprobsOf(body, include),
        ...openaiTools(body, flatTool),
        parallelToolCalls: body.boolean("parallel_tool_calls"),
        responseFormat: formatOf(body),
        continueAssistant,
        templateVariables: body.object("chat_template_kwargs")?.json,
        reasoning: reasoningOf(body),
      }),
    },
  };
}

function logprobsOf(body: Fields, include: readonly unknown[]): number | undefined {
  const top = body.integer("top_logprobs", 0, MOST_TOP_LOGPROBS);
  return include.includes("message.output_text.logprobs") || top ? (top ?? 0) : undefined;
}

function inputOf(body: Fields): ChatMessage[] {
  const input = required(body.raw("input"), body, "input");
  if (typeof input === "string") return input === "" ? [] : [{ role: "user", content: input }];
  const conversation = new Conversation();
  for (const item of required(body.objects("input", MOST_MESSAGES), body, "input")) conversation.take(item);
  return conversation.messages;
}

/** An answer while its items are read. */
interface Answer {
  readonly role: "assistant";
  content: string;
  reasoning?: string;
  toolCalls?: ToolCall[];
}

/**
 * Joins items to messages: an answer is several items (reasoning, text, calls), and one message of
 * the assistant.
 */
class Conversation {
  readonly messages: ChatMessage[] = [];
  #answer: Answer | null = null;

  take(item: Fields): void {
    const type = item.string("type") ?? "message";
    switch (type) {
      case "message":
        this.#message(item);
        break;
      case "reasoning":
        this.#reasoning(reasoningText(item));
        break;
      case "function_call":
        this.#call(item, item.string("arguments")?.trim() || "{}");
        break;
      case "custom_tool_call":
        this.#call(item, JSON.stringify({ input: item.string("input") ?? "" }));
        break;
      case "function_call_output":
      case "custom_tool_call_output": {
        const toolCallId = required(item.string("call_id"), item, "call_id");
        this.#add({ role: "tool", content: textOf(item, "output") ?? "", toolCallId });
        break;
      }
      case "item_reference":
        throw wrong(item.path("type"), "nothing is kept here: send the item itself in place of its id", type);
      // All others are of tools that another server has run: web_search_call, ...
    }
  }

  #message(item: Fields): void {
    const roles = ["system", "developer", "user", "assistant"] as const;
    const role = required(item.oneOf("role", roles), item, "role");
    const content = required(textOf(item, "content"), item, "content");
    if (role === "assistant") this.#written().content += content;
    else this.#add({ role: role === "user" ? role : "system", content });
  }

  /** Reasoning alone is no message: it belongs to what follows. */
  #reasoning(text: string): void {
    this.#answer ??= { role: "assistant", content: "" };
    if (text !== "") this.#answer.reasoning = (this.#answer.reasoning ?? "") + text;
  }

  #call(item: Fields, text: string): void {
    const id = required(item.string("call_id"), item, "call_id");
    const call = { id, name: required(item.string("name"), item, "name"), arguments: text };
    const answer = this.#written();
    answer.toolCalls ??= [];
    answer.toolCalls.push(call);
  }

  /** The answer that is being read, among the messages. */
  #written(): Answer {
    this.#answer ??= { role: "assistant", content: "" };
    if (this.messages.at(-1) !== this.#answer) this.messages.push(this.#answer);
    return this.#answer;
  }

  #add(message: ChatMessage): void {
    this.#answer = null;
    this.messages.push(message);
  }
}

/** The content; without it what encryptedOf() wrote, or the summary. */
function reasoningText(item: Fields): string {
  const texts = (name: string): string =>
    (item.objects(name, MOST_MESSAGES) ?? []).map((part) => part.string("text") ?? "").join("");
  return texts("content") || decrypted(item.string("encrypted_content")) || texts("summary");
}

/** Marks our own: other servers' texts are sealed. */
const OWN = "hotset:";

/** A reasoning text for `encrypted_content`: readable, for it came from this machine. */
export function encryptedOf(text: string): string {
  return `${OWN}${text}`;
}

function decrypted(text: string | undefined): string {
  return text?.startsWith(OWN) ? text.slice(OWN.length) : "";
}
