// Validates conversations and normalises them for prompts: hosted APIs accept forms that models
// were not trained on.

import { RequestError } from "../errors.ts";
import type { AssistantMessage, ChatMessage, ReasoningOptions, ToolCall, ToolChoice, ToolDefinition } from "./types.ts";

/** The form of call ids that Mistral's models were trained on. */
export const TRAINED_ID = /^[a-zA-Z0-9]{9}$/;
/** Tool names that at least one of OpenAI, Anthropic and MCP allows. */
const NAME = /^[\w.-]{1,128}$/;
/** Nesting depth of a tool's schema: prompts are built from it by recursion. */
const MAX_DEPTH = 1000;
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

export interface PromptOptions {
  /** The tools that the model may call. Default none. */
  readonly tools?: readonly ToolDefinition[];
  /** Default "auto". With "none" the tools are left out of the prompt. */
  readonly toolChoice?: ToolChoice;
  /**
   * Whether the last message is an unfinished one of the assistant, which the answer continues.
   * Default false.
   */
  readonly continueAssistant?: boolean;
  /** Extra variables for the folder's chat template, by name. */
  readonly templateVariables?: Readonly<Record<string, unknown>>;
  /** Whether and how much the model reasons. Default: as its template does. */
  readonly reasoning?: ReasoningOptions;
}

/**
 * Checks what every prompt requires of a conversation: roles and contents are valid; it ends with a
 * user or tool message, or with `continueAssistant` with the assistant's text; every tool call has
 * a result, and every result belongs to a call.
 * @throws RequestError naming the message by its index
 */
export function checkMessages(messages: readonly ChatMessage[], options: PromptOptions): void {
  if (!Array.isArray(messages) || messages.length === 0)
    throw new RequestError("messages: expected at least one message");
  let open: OpenCalls = new Map();
  for (const [i, message] of messages.entries()) {
    const where = `messages[${i}]`;
    if (message.role !== "assistant" || message.content !== undefined) checkText(message.content, where);
    if (message.role === "assistant" && message.reasoning !== undefined && typeof message.reasoning !== "string")
      throw new RequestError(`${where}.reasoning: expected a text, found ${typeof message.reasoning}`);
    if (message.role === "tool") {
      const call = open.get(message.toolCallId);
      if (call === undefined || call.results === call.calls) {
        throw new RequestError(
          `${where}: expected the result of a call in the assistant message before it, found tool call id ${quoted(message.toolCallId)}`,
        );
      }
      call.results++;
      if (message.name !== undefined && typeof message.name !== "string")
        throw new RequestError(`${where}.name: expected a text, found ${typeof message.name}`);
      continue;
    }
    if (message.role !== "user" && message.role !== "system" && message.role !== "assistant") {
      throw new RequestError(
        `${where}: expected the role system, user, assistant or tool, found ${quoted((message as { role: unknown }).role)}`,
      );
    }
    checkAnswered(open, where);
    if (message.role === "assistant") open = openCalls(message, where);
  }
  const last = messages.at(-1)!;
  if (options.continueAssistant) {
    if (last.role === "assistant" && !last.toolCalls?.length && last.content) return;
    throw new RequestError("messages: to continue the assistant, expected its text as the last message, without calls");
  }
  checkAnswered(open, "messages");
  if (last.role === "assistant") {
    throw new RequestError(
      "messages: expected a user or tool message at the end, found one of the assistant (to have it continued, say so)",
    );
  }
}

/**
 * Calls and results so far, per call id. Some APIs give all calls of a message the same id; one
 * result then answers all of them.
 */
type OpenCalls = Map<string, { calls: number; results: number }>;

function openCalls(message: AssistantMessage, where: string): OpenCalls {
  const open: OpenCalls = new Map();
  for (const { id, name, arguments: text } of message.toolCalls ?? []) {
    // Any name is accepted here: the conversation may come from another server with other
    // rules for names.
    if (typeof id !== "string" || typeof name !== "string" || typeof text !== "string") {
      throw new RequestError(`${where}.toolCalls: expected an id, a name and arguments as texts`);
    }
    open.set(id, { calls: (open.get(id)?.calls ?? 0) + 1, results: 0 });
  }
  return open;
}

function checkAnswered(open: OpenCalls, where: string): void {
  for (const [id, { results }] of open)
    if (results === 0) throw new RequestError(`${where}: expected the result of the tool call ${quoted(id)} first`);
}

function checkText(content: unknown, where: string): void {
  if (typeof content !== "string") throw new RequestError(`${where}.content: expected a text, found ${typeof content}`);
}

function checkName(name: unknown, where: string): void {
  if (typeof name === "string" && NAME.test(name)) return;
  throw new RequestError(
    `${where}: expected a tool name of 1 to 128 of a-z, A-Z, 0-9, "_", "-" and ".", found ${quoted(name)}`,
  );
}

/**
 * Checks that tool names are valid and unique and that a named tool choice exists.
 * @throws RequestError
 */
export function checkTools({ tools = [], toolChoice = "auto" }: PromptOptions): void {
  const names = new Set<string>();
  for (const [i, tool] of tools.entries()) {
    checkName(tool.name, `tools[${i}]`);
    if (names.has(tool.name)) throw new RequestError(`tools[${i}]: there is another tool ${quoted(tool.name)}`);
    names.add(tool.name);
    const { parameters } = tool;
    if (tool.strict && parameters !== undefined && !isSchema(parameters)) {
      throw new RequestError(
        `tools[${i}].parameters: expected a JSON schema as an object, since the tool is strict, found ${quoted(parameters)}`,
      );
    }
    checkDepth(parameters, `tools[${i}].parameters`);
  }
  if (typeof toolChoice === "object" && !names.has(toolChoice.name)) {
    throw new RequestError(`tool choice: expected the name of a tool, found ${quoted(toolChoice.name)}`);
  }
  if (toolChoice === "required" && tools.length === 0)
    throw new RequestError("tool choice: required, but there are no tools");
}

/** Limits the depth of a schema, so that it can be walked recursively. @throws RequestError */
function checkDepth(value: unknown, where: string): void {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH)
      throw new RequestError(`${where}: expected a schema of at most ${MAX_DEPTH} levels, found more`);
    level = level.flatMap((one) => (typeof one === "object" && one !== null ? Object.values(one) : []));
  }
}

function isSchema(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/**
 * The tools that a prompt shows: none if tool choice is "none". Parameters that are not an object
 * are left out.
 */
export function shownTools({ tools = [], toolChoice = "auto" }: PromptOptions): readonly ToolDefinition[] {
  if (toolChoice === "none") return [];
  return tools.map(({ parameters, ...tool }) => (isSchema(parameters) ? { ...tool, parameters: parameters! } : tool));
}

function quoted(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** The messages before the first answer: system messages among them belong to the beginning. */
export function beginning(messages: readonly ChatMessage[]): readonly ChatMessage[] {
  const answer = messages.findIndex(({ role }) => role === "assistant");
  return answer < 0 ? messages : messages.slice(0, answer);
}

/** All system messages joined by empty lines, in order; null if there are none. */
export function systemText(messages: readonly ChatMessage[]): string | null {
  const texts = messages.filter((m) => m.role === "system" && m.content !== "").map((m) => m.content);
  return texts.length === 0 ? null : texts.join("\n\n");
}

/**
 * Merges consecutive messages of one role (user or assistant): texts joined by an empty line, calls
 * concatenated. Tool results stay separate. This is Mistral's own rule (mistral-common,
 * normalize.py), and clients of hosted APIs rely on it.
 */
export function mergeNeighbours(messages: readonly ChatMessage[]): ChatMessage[] {
  const merged: ChatMessage[] = [];
  for (const message of messages) {
    const before = merged.at(-1);
    if (message.role === "user" && before?.role === "user") {
      merged[merged.length - 1] = { role: "user", content: joined(before.content, message.content) };
    } else if (message.role === "assistant" && before?.role === "assistant") {
      const calls = [...(before.toolCalls ?? []), ...(message.toolCalls ?? [])];
      const content = joined(before.content ?? "", message.content ?? "");
      const reasoning = joined(before.reasoning ?? "", message.reasoning ?? "");
      merged[merged.length - 1] = {
        role: "assistant",
        ...(content === "" ? {} : { content }),
        ...(reasoning === "" ? {} : { reasoning }),
        ...(calls.length === 0 ? {} : { toolCalls: calls }),
      };
    } else merged.push(message);
  }
  return merged;
}

function joined(a: string, b: string): string {
  return a === "" || b === "" ? a + b : `${a}\n\n${b}`;
}

/**
 * The forms in which a template may take a conversation, the best first: its turns, and the text
 * of system messages that belongs at the start. System messages behind an answer stay there,
 * because at the start they would change all that is cached: as they are if the template
 * `keepsSystem`, or as the user's. Then the same with neighbours merged, and in the end with all of
 * them at the start.
 */
export function arrangements(
  messages: readonly ChatMessage[],
  keepsSystem: boolean,
): readonly { readonly turns: readonly ChatMessage[]; readonly system: string | null }[] {
  const first = beginning(messages);
  const others = (some: readonly ChatMessage[]): ChatMessage[] => some.filter(({ role }) => role !== "system");
  const later = messages.slice(first.length).flatMap((message): ChatMessage[] => {
    if (message.role !== "system") return [message];
    return message.content === "" ? [] : [{ ...message, role: keepsSystem ? "system" : "user" }];
  });
  const turns = [...others(first), ...later];
  return [
    { turns, system: systemText(first) },
    { turns: mergeNeighbours(turns), system: systemText(first) },
    { turns: mergeNeighbours(others(messages)), system: systemText(messages) },
  ];
}

/**
 * Rewrites call ids to the form that Mistral's models were trained on: other ids ("call_..." of
 * hosted APIs) are hashed to nine characters, the same for a call and its result.
 */
export function withTrainedIds(messages: readonly ChatMessage[]): ChatMessage[] {
  return messages.map((message) => {
    if (message.role === "tool") return { ...message, toolCallId: trainedId(message.toolCallId) };
    if (message.role !== "assistant" || !message.toolCalls) return message;
    return { ...message, toolCalls: message.toolCalls.map((call): ToolCall => ({ ...call, id: trainedId(call.id) })) };
  });
}

function trainedId(id: string): string {
  if (TRAINED_ID.test(id)) return id;
  // Two 32-bit FNV-1a hashes; nine letters keep 53 of their bits, plenty for the calls
  // of one conversation.
  let [a, b] = [0x811c9dc5, 0x01234567];
  for (let i = 0; i < id.length; i++) {
    a = Math.imul(a ^ id.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ id.charCodeAt(i), 0x01000193) ^ (a >>> 15);
  }
  let rest = (BigInt(a >>> 0) << 32n) | BigInt(b >>> 0);
  let text = "";
  for (; text.length < 9; rest /= 62n) text += LETTERS[Number(rest % 62n)];
  return text;
}

/** A new call id in the trained form. */
export function newCallId(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(9)), (random) => LETTERS[random % 62]).join("");
}

/**
 * Adds the missing tool names of results, from the call that each answers. Calls that share an id
 * are matched in order.
 */
export function withResultNames(messages: readonly ChatMessage[]): ChatMessage[] {
  let open: readonly ToolCall[] = [];
  return messages.map((message) => {
    if (message.role === "assistant") open = message.toolCalls ?? [];
    if (message.role !== "tool") return message;
    const same = open.filter(({ id }) => id === message.toolCallId);
    const [call] = same;
    if (same.length > 1) open = open.filter((one) => one !== call);
    return call === undefined || message.name !== undefined ? message : { ...message, name: call.name };
  });
}
