// The page's requests as bodies of OpenAI's API, as the server and the code samples have them.

import type { ChatRequest, CompletionRequest, Format, Message, Tool } from "../engine.ts";

/** The body of POST /v1/chat/completions, without `stream`. */
export function chatBody({ model, messages, tools, sampling, format, alternatives }: ChatRequest): object {
  return {
    model,
    messages: messages.map(messageBody),
    ...(tools && tools.length > 0 && { tools: tools.map(toolBody) }),
    ...sampling,
    ...(format && { response_format: formatBody(format) }),
    ...(alternatives !== undefined && { logprobs: true, top_logprobs: alternatives }),
  };
}

/** The body of POST /v1/completions, without `stream`. */
export function completionBody({ model, prompt, sampling, format, alternatives }: CompletionRequest): object {
  return {
    model,
    prompt,
    ...sampling,
    ...(format && { response_format: formatBody(format) }),
    ...(alternatives !== undefined && { logprobs: alternatives }),
  };
}

function messageBody(message: Message): object {
  if (message.role === "tool") return { role: "tool", tool_call_id: message.callId, content: message.content };
  if (message.role !== "assistant") return { role: message.role, content: message.content };
  const { content, reasoning, calls = [] } = message;
  return {
    role: "assistant",
    content: content === "" && calls.length > 0 ? null : content,
    ...(reasoning && { reasoning_content: reasoning }),
    ...(calls.length > 0 && {
      tool_calls: calls.map((call) => ({
        id: call.id,
        type: "function",
        function: { name: call.name, arguments: call.arguments },
      })),
    }),
  };
}

function toolBody({ name, description, parameters }: Tool): object {
  return {
    type: "function",
    function: {
      name,
      ...(description !== undefined && { description }),
      ...(parameters !== undefined && { parameters }),
    },
  };
}

export function formatBody(format: Format): object {
  switch (format.type) {
    case "json_object":
      return { type: "json_object" };
    case "json_schema":
      return { type: "json_schema", json_schema: { name: "answer", strict: true, schema: format.schema } };
    case "grammar":
      return { type: "grammar", grammar: format.grammar };
    case "regex":
      return { type: "regex", regex: format.pattern };
  }
}
