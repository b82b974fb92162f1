// Translates bodies of /v1/chat/completions, OpenAI's and Mistral's, to the engine's
// messages and options.

import type { ChatMessage, ChatOptions, ToolCall } from "../engine/chat_api.ts";
import { checkToolResults, MOST_MESSAGES, textOf, withLastText } from "./conversation_fields.ts";
import { type Fields, fieldsOf, type Json, required, wrong } from "./fields.ts";
import { openaiTools } from "./openai_tools.ts";
import { reasoningOf, showsReasoning } from "./reasoning_fields.ts";
import { refuseUnsupported } from "./request_fields.ts";
import { formatOf } from "./response_formats.ts";
import { defined, maxTokensOf, samplingOf } from "./sampling.ts";

/** Most answers to one request. */
export const MOST_CHOICES = 128;
const MOST_TOP_LOGPROBS = 20;
/** Most tool calls of one message. */
const MOST_CALLS = 1024;

/** The system message that Mistral documents for `safe_prompt`. */
const SAFE =
  "Always assist with care, respect, and truth. Respond with utmost utility yet securely. Avoid harmful, unethical, prejudiced, or negative content. Ensure replies promote fairness and positivity.";

export interface OpenaiChatRequest {
  readonly messages: readonly ChatMessage[];
  readonly options: ChatOptions;
  readonly n: number;
  readonly stream: boolean;
  readonly includeUsage: boolean;
  /** Whether answers show their reasoning. */
  readonly reasons: boolean;
}

/** @throws RequestError that names the field */
export function openaiChatRequest(json: Json): OpenaiChatRequest {
  const body = fieldsOf(json);
  refuseUnsupported(body, "chat");
  checkModel(body);
  const given = required(body.objects("messages", MOST_MESSAGES), body, "messages").map(message);
  if (given.length === 0) throw wrong("messages", "expected at least one message", []);
  checkToolResults(given);
  const { messages, continueAssistant } = withLastText(given, continues(body));
  return {
    messages: body.boolean("safe_prompt") ? [{ role: "system", content: SAFE }, ...messages] : messages,
    n: body.integer("n", 1, MOST_CHOICES) ?? 1,
    ...streamOf(body),
    reasons: showsReasoning(body),
    options: {
      ...samplingOf(body),
      ...defined({
        maxTokens: maxTokensOf(body, ["max_completion_tokens", "max_tokens", "n_predict"], 1),
        logprobs: logprobsOf(body),
        ...openaiTools(body),
        parallelToolCalls: body.boolean("parallel_tool_calls"),
        responseFormat: formatOf(body),
        continueAssistant,
        templateVariables: body.object("chat_template_kwargs")?.json,
        reasoning: reasoningOf(body),
      }),
    },
  };
}

/** There is one model: any name is accepted, or none. ModelsLab's samples use `model_id`. */
export function checkModel(body: Fields): void {
  for (const name of ["model", "model_id"]) body.string(name, 1024);
}

export function streamOf(body: Fields): { readonly stream: boolean; readonly includeUsage: boolean } {
  return {
    stream: body.boolean("stream") ?? false,
    includeUsage:
      body.object("stream_options")?.boolean("include_usage") ?? body.object("usage")?.boolean("include") ?? false,
  };
}

function message(fields: Fields): ChatMessage {
  const role = required(fields.oneOf("role", ["system", "developer", "user", "assistant", "tool"]), fields, "role");
  if (role === "assistant") return assistant(fields);
  const text = textOf(fields, "content");
  // Clients that leave null fields out send a tool without a result like this.
  const content = role === "tool" ? (text ?? "") : required(text, fields, "content");
  if (role === "user") return { role, content };
  if (role !== "tool") return { role: "system", content };
  const name = fields.string("name");
  const toolCallId = required(fields.string("tool_call_id"), fields, "tool_call_id");
  return { role, content, toolCallId, ...(name !== undefined && { name }) };
}

function assistant(fields: Fields): ChatMessage {
  const calls = fields.objects("tool_calls", MOST_CALLS)?.map(toolCall) ?? [];
  const content = textOf(fields, "content") ?? fields.string("refusal");
  // Some clients send null for an answer without text; others leave null fields out.
  const reasoning = fields.string("reasoning_content") ?? fields.string("reasoning");
  return {
    role: "assistant",
    content: content ?? "",
    ...(reasoning && { reasoning }),
    ...(calls.length > 0 && { toolCalls: calls }),
  };
}

function toolCall(fields: Fields): ToolCall {
  const called = required(fields.object("function"), fields, "function");
  const given = called.raw("arguments");
  // Mistral's clients may give the arguments as an object.
  const text = typeof given === "object" ? JSON.stringify(given) : called.string("arguments");
  return {
    id: required(fields.string("id"), fields, "id"),
    name: required(called.string("name"), called, "name"),
    arguments: text === undefined || text.trim() === "" ? "{}" : text,
  };
}

function logprobsOf(body: Fields): number | undefined {
  const wanted = body.boolean("logprobs") ?? false;
  const top = body.integer("top_logprobs", 0, MOST_TOP_LOGPROBS);
  if (!wanted && top) throw wrong("top_logprobs", "needs logprobs: true", undefined);
  return wanted ? (top ?? 0) : undefined;
}

/**
 * Whether the answer continues a last message of the assistant: yes, as at OpenRouter and
 * llama.cpp, unless vLLM's `continue_final_message` is false. That field, if true, and Mistral's
 * `prefix: true` require such a message. (Mistral's client always sends `prefix: false`.)
 */
function continues(body: Fields): boolean {
  const last = body.objects("messages", MOST_MESSAGES)?.at(-1);
  const wanted = body.boolean("continue_final_message");
  if ((wanted ?? last?.boolean("prefix")) && last?.raw("role") !== "assistant") {
    throw wrong("messages", "only a last message of the assistant can be continued", undefined);
  }
  return wanted ?? true;
}
