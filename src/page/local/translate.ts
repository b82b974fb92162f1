// The page's requests as options of the library, and the library's events as the page's.

import type { ChatEvent, ChatMessage, ChatOptions, ResponseFormat, ToolDefinition } from "../../browser.ts";
import type { ChatRequest, CompletionRequest, Format, Message, PageEvent, ToolCall } from "../engine.ts";

type Request = Pick<ChatRequest, "sampling" | "format" | "alternatives" | "tools"> | CompletionRequest;

export function optionsOf(request: Request, signal: AbortSignal): ChatOptions {
  const { sampling, format, alternatives } = request;
  const { temperature, top_p, top_k, min_p, seed, stop, max_tokens } = sampling;
  const { repetition_penalty, frequency_penalty, presence_penalty } = sampling;
  const tools = "tools" in request ? request.tools : undefined;
  return {
    signal,
    ...(temperature !== undefined && { temperature }),
    ...(top_p !== undefined && { topP: top_p }),
    ...(top_k !== undefined && { topK: Math.max(0, top_k) }),
    ...(min_p !== undefined && { minP: min_p }),
    ...(repetition_penalty !== undefined && { repeatPenalty: repetition_penalty }),
    ...(frequency_penalty !== undefined && { frequencyPenalty: frequency_penalty }),
    ...(presence_penalty !== undefined && { presencePenalty: presence_penalty }),
    ...(seed !== undefined && { seed }),
    ...(max_tokens !== undefined && { maxTokens: max_tokens }),
    ...(stop !== undefined && stop.length > 0 && { stop }),
    ...(alternatives !== undefined && { logprobs: alternatives }),
    ...(format !== undefined && { responseFormat: formatOf(format) }),
    ...(tools !== undefined && tools.length > 0 && { tools: tools as readonly ToolDefinition[] }),
  };
}

function formatOf(format: Format): ResponseFormat {
  switch (format.type) {
    case "json_object":
      return { type: "json" };
    case "json_schema":
      return { type: "json_schema", schema: format.schema, strict: true };
    case "grammar":
      return { type: "gbnf", grammar: format.grammar };
    case "regex":
      return { type: "regex", pattern: format.pattern };
  }
}

export function messageOf(message: Message): ChatMessage {
  if (message.role === "tool") return { role: "tool", toolCallId: message.callId, content: message.content };
  if (message.role !== "assistant") return message;
  const { content, reasoning, calls } = message;
  return {
    role: "assistant",
    content,
    ...(reasoning !== undefined && { reasoning }),
    ...(calls !== undefined && calls.length > 0 && { toolCalls: calls }),
  };
}

/** The page has a call whole; the library tells its arguments as they are written. */
export async function* pageEvents(events: AsyncIterable<ChatEvent>): AsyncGenerator<PageEvent> {
  const calls: ToolCall[] = [];
  for await (const event of events)
    switch (event.type) {
      case "text":
        yield { type: "text", text: event.text, ...(event.logprobs && { tokens: event.logprobs }) };
        break;
      case "reasoning":
        yield { type: "reasoning", text: event.text };
        break;
      case "tool_call":
        calls[event.index] = { id: event.id, name: event.name, arguments: "" };
        break;
      case "tool_arguments": {
        const call = calls[event.index]!;
        calls[event.index] = { ...call, arguments: call.arguments + event.text };
        break;
      }
      case "finish": {
        for (const call of calls) yield { type: "call", call };
        const { promptTokens, cachedTokens, completionTokens } = event.usage;
        yield { type: "finish", reason: event.reason };
        yield { type: "usage", usage: { promptTokens, cachedTokens, answerTokens: completionTokens } };
      }
    }
}
