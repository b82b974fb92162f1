// A request of the page as a body of Anthropic's API.

import type { ChatRequest, Message } from "../engine.ts";
import { formatBody } from "../remote/bodies.ts";

/** The API requires a limit. */
const TOKENS = 1024;

/** The fields that Anthropic's client has arguments for, and those that only hotset takes. */
export function anthropicBody({ model, messages, tools = [], sampling, format }: ChatRequest): {
  readonly body: object;
  readonly extra: object;
} {
  const { max_tokens = TOKENS, temperature, top_p, top_k, stop, ...others } = sampling;
  const system = messages.filter(({ role }) => role === "system").map(({ content }) => content);
  const body = {
    model,
    max_tokens,
    ...(system.length > 0 && { system: system.join("\n\n") }),
    messages: turns(messages.filter(({ role }) => role !== "system")),
    ...(tools.length > 0 && {
      tools: tools.map(({ name, description, parameters }) => ({
        name,
        ...(description !== undefined && { description }),
        input_schema: parameters ?? { type: "object" },
      })),
    }),
    ...(temperature !== undefined && { temperature }),
    ...(top_p !== undefined && { top_p }),
    ...(top_k !== undefined && { top_k }),
    ...(stop !== undefined && { stop_sequences: stop }),
  };
  return { body, extra: { ...others, ...(format && { response_format: formatBody(format) }) } };
}

/** Results of calls that were made together stand in one message. */
function turns(messages: readonly Message[]): readonly object[] {
  const found: { role: string; content: string | object[] }[] = [];
  for (const message of messages) {
    if (message.role === "assistant" && message.calls) {
      const text = message.content === "" ? [] : [{ type: "text", text: message.content }];
      const uses = message.calls.map((call) => ({
        type: "tool_use",
        id: call.id,
        name: call.name,
        input: inputOf(call.arguments),
      }));
      found.push({ role: "assistant", content: [...text, ...uses] });
    } else if (message.role === "tool") {
      const result = { type: "tool_result", tool_use_id: message.callId, content: message.content };
      const last = found.at(-1);
      if (last?.role === "user" && Array.isArray(last.content)) last.content.push(result);
      else found.push({ role: "user", content: [result] });
    } else found.push({ role: message.role, content: message.content });
  }
  return found;
}

function inputOf(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return {};
  }
}
