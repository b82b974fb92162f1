// Translates bodies of Anthropic's /v1/messages and /v1/messages/count_tokens to the engine's
// messages and options.

import type { ChatMessage, ChatOptions, ToolCall, ToolChoice } from "../engine/chat_api.ts";
import { anthropicTool } from "./anthropic_tools.ts";
import {
  checkChoice,
  checkToolResults,
  MOST_MESSAGES,
  partsOf,
  textOf,
  textPart,
  toolsOf,
  withLastText,
} from "./conversation_fields.ts";
import { type Fields, fieldsOf, type Json, required, wrong } from "./fields.ts";
import { checkModel } from "./openai_request.ts";
import { reasoningOf } from "./reasoning_fields.ts";
import { refuseUnsupported } from "./request_fields.ts";
import { formatOf } from "./response_formats.ts";
import { defined, maxTokensOf, samplingOf } from "./sampling.ts";

/**
 * What Claude Code puts in front of its system prompt for Anthropic's accounts. It is another text
 * in every request, so with it no prompt would begin like an earlier one.
 */
const BILLING = /^x-anthropic-billing-header:(?:\s*[\w-]+=[^;\n]*;)*\s*/;

/** The prompt, which both endpoints have. */
export interface AnthropicPrompt {
  readonly messages: readonly ChatMessage[];
  readonly options: Pick<
    ChatOptions,
    "tools" | "toolChoice" | "parallelToolCalls" | "continueAssistant" | "templateVariables" | "reasoning"
  >;
}

export interface AnthropicRequest extends AnthropicPrompt {
  readonly options: ChatOptions;
  readonly stream: boolean;
}

/** @throws RequestError that names the field */
export function anthropicRequest(json: Json): AnthropicRequest {
  const body = fieldsOf(json);
  const { messages, options } = anthropicPrompt(json);
  required(body.raw("max_tokens"), body, "max_tokens");
  return {
    messages,
    stream: body.boolean("stream") ?? false,
    options: {
      ...options,
      ...samplingOf(body, "stop_sequences"),
      ...defined({
        maxTokens: maxTokensOf(body, ["max_tokens"], 1),
        responseFormat: formatOf(body),
      }),
    },
  };
}

/** @throws RequestError that names the field */
export function anthropicPrompt(json: Json): AnthropicPrompt {
  const body = fieldsOf(json);
  refuseUnsupported(body, "messages");
  checkModel(body);
  const system = textOf(body, "system")?.replace(BILLING, "");
  const given = required(body.objects("messages", MOST_MESSAGES), body, "messages");
  if (given.length === 0) throw wrong("messages", "expected at least one message", []);
  const turns: ChatMessage[] = system === undefined || system === "" ? [] : [{ role: "system", content: system }];
  for (const fields of given) turns.push(...turn(fields));
  checkToolResults(turns);
  const tools = toolsOf(body, anthropicTool);
  const { toolChoice, parallelToolCalls } = choiceOf(body);
  checkChoice(toolChoice, tools);
  // Anthropic's prefill: the answer continues a last message of the assistant.
  const { messages, continueAssistant } = withLastText(turns, true);
  const templateVariables = body.object("chat_template_kwargs")?.json;
  return {
    messages,
    options: defined({
      tools,
      toolChoice,
      parallelToolCalls,
      continueAssistant,
      templateVariables,
      reasoning: reasoningOf(body),
    }),
  };
}

/**
 * One message of Anthropic's API as one or more of the engine's: tool results stand between the
 * texts of a user's turn.
 */
function turn(fields: Fields): ChatMessage[] {
  const role = required(fields.oneOf("role", ["user", "assistant", "system"]), fields, "role");
  const given = partsOf(fields, "content");
  // Some clients send null for an answer without text; others leave null fields out.
  if (role === "assistant" && given === undefined) return [assistant([])];
  const parts = required(given, fields, "content");
  if (role === "assistant") return [assistant(parts)];
  const messages: ChatMessage[] = [];
  let text = "";
  const flush = (): void => {
    if (text !== "") messages.push({ role, content: text });
    text = "";
  };
  for (const part of parts) {
    if (part.raw("type") !== "tool_result") {
      text += textPart(part);
      continue;
    }
    if (role !== "user") throw wrong(part.path("type"), "only a user's message can hold a tool result", undefined);
    flush();
    const toolCallId = required(part.string("tool_use_id"), part, "tool_use_id");
    const content = textOf(part, "content") ?? "";
    messages.push({ role: "tool", toolCallId, content: part.boolean("is_error") ? `Error: ${content}` : content });
  }
  flush();
  return messages.length > 0 ? messages : [{ role, content: "" }];
}

function assistant(parts: readonly Fields[]): ChatMessage {
  let content = "";
  let reasoning = "";
  const toolCalls: ToolCall[] = [];
  for (const part of parts) {
    const type = part.raw("type");
    if (type === "redacted_thinking") continue; // thoughts of another model, encrypted
    if (type === "thinking") {
      reasoning += part.string("thinking") ?? "";
      continue;
    }
    if (type !== "tool_use") {
      content += textPart(part);
      continue;
    }
    toolCalls.push({
      id: required(part.string("id"), part, "id"),
      name: required(part.string("name"), part, "name"),
      arguments: JSON.stringify(required(part.object("input"), part, "input").json),
    });
  }
  return {
    role: "assistant",
    content,
    ...(reasoning !== "" && { reasoning }),
    ...(toolCalls.length > 0 && { toolCalls }),
  };
}

function choiceOf(body: Fields): { toolChoice: ToolChoice | undefined; parallelToolCalls: boolean | undefined } {
  const choice = body.object("tool_choice");
  if (choice === undefined) return { toolChoice: undefined, parallelToolCalls: undefined };
  const type = required(choice.oneOf("type", ["auto", "any", "tool", "none"]), choice, "type");
  const named = (): ToolChoice => ({ name: required(choice.string("name"), choice, "name") });
  const parallelToolCalls = choice.boolean("disable_parallel_tool_use") ? false : undefined;
  return { toolChoice: type === "any" ? "required" : type === "tool" ? named() : type, parallelToolCalls };
}
