// A request of the page as a program with hotset's own library: no server.

import type { Request } from "../chat/requests.ts";
import type { Format, Message, ParameterName, Sampling } from "../engine.ts";
import { javascript } from "./literals.ts";

/** The library's names. */
const OPTIONS: Readonly<Record<ParameterName, string>> = {
  temperature: "temperature",
  top_p: "topP",
  top_k: "topK",
  min_p: "minP",
  repetition_penalty: "repeatPenalty",
  frequency_penalty: "frequencyPenalty",
  presence_penalty: "presencePenalty",
  seed: "seed",
  max_tokens: "maxTokens",
};

export function library(given: Request): string {
  const { model, sampling, format } = given.request;
  const options = {
    ...optionsOf(sampling),
    ...(given.kind === "chat" && given.request.tools && { tools: given.request.tools }),
    ...(format && given.kind === "chat" && { responseFormat: formatOf(format) }),
    ...(given.kind === "chat" && given.request.messages.at(-1)?.role === "assistant" && { continueAssistant: true }),
  };
  const [call, print] =
    given.kind === "chat"
      ? [`model.chat(${javascript(given.request.messages.map(messageOf))}, ${javascript(options)})`, CHAT]
      : [`model.session().generate(${javascript(given.request.prompt)}, ${javascript(options)})`, TEXT];
  return `// npm install hotset
import { open } from "hotset";

// A folder of weights, a GGUF file, or a name on the model hub.
const model = await open(${javascript(model)});
for await (const event of ${call}) {
${print}
}
await model.close();
`;
}

const CHAT = `  if (event.type === "text") process.stdout.write(event.text);
  if (event.type === "tool_call" || event.type === "tool_arguments") console.log(event);`;
const TEXT = "  process.stdout.write(event.text);";

function optionsOf({ stop, ...numbers }: Sampling): object {
  const named = Object.entries(numbers).map(([name, value]) => [OPTIONS[name as ParameterName], value]);
  return { ...Object.fromEntries(named), ...(stop && { stop }) };
}

function messageOf(message: Message): object {
  if (message.role === "tool") return { role: "tool", toolCallId: message.callId, content: message.content };
  if (message.role !== "assistant") return message;
  const { content, reasoning, calls } = message;
  return { role: "assistant", content, ...(reasoning && { reasoning }), ...(calls && { toolCalls: calls }) };
}

function formatOf(format: Format): object {
  switch (format.type) {
    case "json_object":
      return { type: "json" };
    case "json_schema":
      return { ...format, strict: true };
    case "grammar":
      return { type: "gbnf", grammar: format.grammar };
    case "regex":
      return format;
  }
}
