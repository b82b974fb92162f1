// What the AI SDK asks for as messages and options of the engine; what has no meaning here becomes
// a warning.

import type {
  LanguageModelV4CallOptions,
  LanguageModelV4FilePart,
  LanguageModelV4Message,
  LanguageModelV4ToolResultOutput,
  SharedV4Warning,
} from "@ai-sdk/provider";
import { bytesOfBase64 } from "../base64.ts";
import type { ChatMessage, ChatOptions, ToolCall, ToolDefinition } from "../engine/chat_api.ts";
import { RequestError } from "../errors.ts";

/** Options of the engine that the SDK has no setting for, passed through as they are. */
const PASSED = [
  "minP",
  "repeatPenalty",
  "logitBias",
  "minTokens",
  "ignoreEos",
  "stopIds",
  "allowedIds",
  "badWords",
  "parallelToolCalls",
  "responseFormat",
  "continueAssistant",
  "templateVariables",
  "reasoning",
] as const;

/** `providerOptions: { hotset: { ... } }` of a call. */
export type HotsetProviderOptions = Pick<ChatOptions, (typeof PASSED)[number]>;

export interface Call {
  readonly messages: readonly ChatMessage[];
  readonly options: ChatOptions;
  readonly warnings: readonly SharedV4Warning[];
}

/** @throws RequestError for contents that the model cannot read */
export function callOf(options: LanguageModelV4CallOptions): Call {
  const warnings: SharedV4Warning[] = [];
  const messages = options.prompt.flatMap((message, i) => messagesOf(message, `prompt[${i}]`, warnings));
  const last = messages.at(-1);
  const begun = last?.role === "assistant" && !last.toolCalls && Boolean(last.content);
  return {
    messages,
    options: {
      ...settingsOf(options),
      ...toolsOf(options, warnings),
      ...(begun && { continueAssistant: true }),
      ...passedOn(options, warnings),
    },
    warnings,
  };
}

function settingsOf(options: LanguageModelV4CallOptions): ChatOptions {
  const { reasoning, responseFormat: format } = options;
  return defined({
    maxTokens: options.maxOutputTokens,
    temperature: options.temperature,
    topP: options.topP,
    topK: options.topK,
    presencePenalty: options.presencePenalty,
    frequencyPenalty: options.frequencyPenalty,
    stop: options.stopSequences,
    seed: options.seed,
    responseFormat:
      format?.type !== "json"
        ? undefined
        : format.schema === undefined
          ? ({ type: "json" } as const)
          : ({ type: "json_schema", schema: format.schema, strict: false } as const),
    reasoning:
      reasoning === undefined || reasoning === "provider-default"
        ? undefined
        : reasoning === "none"
          ? { enabled: false }
          : { enabled: true, effort: reasoning },
  });
}

function toolsOf(
  { tools = [], toolChoice }: LanguageModelV4CallOptions,
  warnings: SharedV4Warning[],
): Pick<ChatOptions, "tools" | "toolChoice"> {
  const known: ToolDefinition[] = [];
  for (const tool of tools) {
    if (tool.type === "provider") {
      const details = "a tool that a provider runs; only function tools are called here";
      warnings.push({ type: "unsupported", feature: `tool ${tool.id}`, details });
      continue;
    }
    const { name, description, inputSchema, strict } = tool;
    known.push({
      name,
      parameters: inputSchema as ToolDefinition["parameters"] & {},
      ...defined({ description, strict }),
    });
  }
  const choice = toolChoice?.type === "tool" ? { name: toolChoice.toolName } : toolChoice?.type;
  return { ...(known.length > 0 && { tools: known }), ...(choice !== undefined && { toolChoice: choice }) };
}

function passedOn({ providerOptions }: LanguageModelV4CallOptions, warnings: SharedV4Warning[]): HotsetProviderOptions {
  const given = providerOptions?.hotset ?? {};
  const passed: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(given)) {
    if ((PASSED as readonly string[]).includes(name)) passed[name] = value;
    else warnings.push({ type: "unsupported", feature: `providerOptions.hotset.${name}`, details: knownOptions() });
  }
  return passed; // the engine checks the values
}

function knownOptions(): string {
  return `expected one of ${PASSED.join(", ")}`;
}

function messagesOf(message: LanguageModelV4Message, where: string, warnings: SharedV4Warning[]): ChatMessage[] {
  switch (message.role) {
    case "system":
      return [{ role: "system", content: message.content }];
    case "user": {
      const texts = message.content.map((part, i) =>
        part.type === "text" ? part.text : fileText(part, `${where}.content[${i}]`),
      );
      return [{ role: "user", content: texts.join("") }];
    }
    case "assistant":
      return [assistant(message.content, where, warnings)];
    case "tool":
      return message.content.flatMap((part, i) => {
        if (part.type !== "tool-result") return []; // approvals are the SDK's own matter
        const content = resultText(part.output, `${where}.content[${i}]`);
        return [{ role: "tool", content, toolCallId: part.toolCallId, name: part.toolName }];
      });
  }
}

type AssistantPart = Extract<LanguageModelV4Message, { role: "assistant" }>["content"][number];

function assistant(parts: readonly AssistantPart[], where: string, warnings: SharedV4Warning[]): ChatMessage {
  let [content, reasoning] = ["", ""];
  const calls: ToolCall[] = [];
  for (const [i, part] of parts.entries()) {
    if (part.type === "text") content += part.text;
    else if (part.type === "reasoning") reasoning += part.text;
    else if (part.type === "file") content += fileText(part, `${where}.content[${i}]`);
    else if (part.type === "tool-call" && !part.providerExecuted) {
      calls.push({ id: part.toolCallId, name: part.toolName, arguments: JSON.stringify(part.input ?? {}) });
    } else {
      const details = `${where}.content[${i}] is left out of the prompt`;
      warnings.push({ type: "unsupported", feature: `${part.type} parts of the assistant`, details });
    }
  }
  return {
    role: "assistant",
    content,
    ...(reasoning !== "" && { reasoning }),
    ...(calls.length > 0 && { toolCalls: calls }),
  };
}

/** Media types whose files are read as text. */
const TEXT = /^(text\/.*|application\/(.*\+)?(json|xml|yaml))$/;

/** @throws RequestError for a file that is no text */
function fileText({ data, mediaType }: LanguageModelV4FilePart, where: string): string {
  if (data.type === "text") return data.text;
  if (data.type === "data" && TEXT.test(mediaType)) {
    const bytes = typeof data.data === "string" ? bytesOfBase64(data.data) : data.data;
    return new TextDecoder().decode(bytes);
  }
  throw new RequestError(`${where}: expected a text, found a file of type ${mediaType}; the model reads only texts`);
}

function resultText(output: LanguageModelV4ToolResultOutput, where: string): string {
  switch (output.type) {
    case "text":
    case "error-text":
      return output.value;
    case "json":
    case "error-json":
      return JSON.stringify(output.value);
    case "execution-denied":
      return output.reason ?? "The user did not allow this call.";
    case "content":
      return output.value
        .map((part) => {
          if (part.type === "text") return part.text;
          if (part.type === "file") return fileText({ ...part, type: "file" }, where);
          throw new RequestError(`${where}: expected a text, found a part of type ${part.type}`);
        })
        .join("\n");
  }
}

/** The fields that have a value. */
function defined<T extends object>(fields: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}
