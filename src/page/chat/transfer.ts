// Conversations as a file. A file from elsewhere is not trusted: whatever it holds, what comes of
// it is made anew, field by field, with ids of ours.

import { type Message, PARAMETERS, type TokenChoice, type TokenShare, type ToolCall } from "../engine.ts";
import { type Conversation, type Ending, type Node, newId, titleOf } from "./conversation.ts";
import { FORMATS, PLAIN, type Settings } from "./settings.ts";

const FORMAT = "hotset-conversations";
const VERSION = 1;
/** The largest file, in bytes. */
export const LARGEST_FILE = 64 * 2 ** 20;
const MOST_CONVERSATIONS = 10_000;
const MOST_NODES = 100_000;

/** Why a file cannot be imported: where it is wrong, and what was expected. */
export class ImportError extends Error {
  override readonly name = "ImportError";
}

export function exported(conversations: readonly Conversation[]): string {
  const plain = conversations.map(({ nodes, ...rest }) => ({ ...rest, nodes: [...nodes.values()] }));
  return JSON.stringify({ format: FORMAT, version: VERSION, conversations: plain }, null, 1);
}

/** The conversations of a file, with new ids. @throws ImportError */
export function imported(text: string): readonly Conversation[] {
  let file: unknown;
  try {
    file = JSON.parse(text);
  } catch (error) {
    throw new ImportError(`this is not JSON: ${(error as Error).message}`);
  }
  const { format, version, conversations } = record(file, "the file");
  if (format !== FORMAT)
    throw new ImportError(`format: expected ${FORMAT}, found ${shown(format)}; export makes such files`);
  if (version !== VERSION) throw new ImportError(`version: expected ${VERSION}, found ${shown(version)}`);
  return list(conversations, "conversations", MOST_CONVERSATIONS).map(readConversation);
}

function readConversation(given: unknown, at: number): Conversation {
  const where = `conversations[${at}]`;
  const { kind, title, created, updated, nodes, leaf, settings } = record(given, where);
  if (kind !== "chat" && kind !== "text")
    throw new ImportError(`${where}.kind: expected chat or text, found ${shown(kind)}`);
  const ids = new Map<string, string>();
  const read = new Map<string, Node>();
  for (const [i, one] of list(nodes, `${where}.nodes`, MOST_NODES).entries()) {
    const node = readNode(one, `${where}.nodes[${i}]`, ids);
    read.set(node.id, node);
  }
  const last = typeof leaf === "string" ? ids.get(leaf) : undefined;
  return {
    id: newId(),
    kind,
    title: titleOf(string(title, `${where}.title`)),
    created: number(created, `${where}.created`),
    updated: number(updated, `${where}.updated`),
    nodes: read,
    leaf: last ?? [...read.keys()].at(-1) ?? null,
    settings: readSettings(settings, `${where}.settings`),
  };
}

/** @param ids new ids by the file's, of the nodes before: a parent is always one of them */
function readNode(given: unknown, where: string, ids: Map<string, string>): Node {
  const { id, parent, created, message, tokens, tokensFrom, end } = record(given, where);
  const before = parent === null ? null : ids.get(string(parent, `${where}.parent`));
  if (before === undefined) throw new ImportError(`${where}.parent: expected the id of a node before it, or null`);
  const own = string(id, `${where}.id`);
  if (ids.has(own)) throw new ImportError(`${where}.id: expected another id than an earlier node's`);
  const fresh = newId();
  ids.set(own, fresh);
  return {
    id: fresh,
    parent: before,
    created: number(created, `${where}.created`),
    message: readMessage(message, `${where}.message`),
    ...(tokens !== undefined && {
      tokens: list(tokens, `${where}.tokens`, 2 ** 20).map((one, i) => readToken(one, `${where}.tokens[${i}]`)),
    }),
    ...(tokensFrom !== undefined && { tokensFrom: number(tokensFrom, `${where}.tokensFrom`) }),
    ...(end !== undefined && { end: readEnding(end, `${where}.end`) }),
  };
}

function readMessage(given: unknown, where: string): Message {
  const { role, content, reasoning, calls, callId } = record(given, where);
  const text = string(content, `${where}.content`);
  if (role === "tool") return { role, content: text, callId: string(callId, `${where}.callId`) };
  if (role === "user" || role === "system") return { role, content: text };
  if (role !== "assistant")
    throw new ImportError(`${where}.role: expected user, assistant, tool or system, found ${shown(role)}`);
  return {
    role,
    content: text,
    ...(reasoning !== undefined && { reasoning: string(reasoning, `${where}.reasoning`) }),
    ...(calls !== undefined && {
      calls: list(calls, `${where}.calls`, 1000).map((one, i) => readCall(one, `${where}.calls[${i}]`)),
    }),
  };
}

function readCall(given: unknown, where: string): ToolCall {
  const { id, name, arguments: args } = record(given, where);
  return {
    id: string(id, `${where}.id`),
    name: string(name, `${where}.name`),
    arguments: string(args, `${where}.arguments`),
  };
}

function readShare(given: unknown, where: string): TokenShare {
  const { text, bytes, logprob } = record(given, where);
  const read = list(bytes, `${where}.bytes`, 4096).map((byte, i) => number(byte, `${where}.bytes[${i}]`) & 255);
  return { text: string(text, `${where}.text`), bytes: read, logprob: number(logprob, `${where}.logprob`) };
}

function readToken(given: unknown, where: string): TokenChoice {
  const top = list(record(given, where).top, `${where}.top`, 100);
  return { ...readShare(given, where), top: top.map((one, i) => readShare(one, `${where}.top[${i}]`)) };
}

function readEnding(given: unknown, where: string): Ending {
  const { model, reason, error, usage, firstMs, answerMs } = record(given, where);
  const read = usage === undefined ? null : record(usage, `${where}.usage`);
  const count = (name: string): number => number(read?.[name], `${where}.usage.${name}`);
  return {
    model: string(model, `${where}.model`),
    reason: string(reason, `${where}.reason`),
    ...(error !== undefined && { error: string(error, `${where}.error`) }),
    ...(read && {
      usage: {
        promptTokens: count("promptTokens"),
        cachedTokens: count("cachedTokens"),
        answerTokens: count("answerTokens"),
      },
    }),
    ...(firstMs !== undefined && { firstMs: number(firstMs, `${where}.firstMs`) }),
    ...(answerMs !== undefined && { answerMs: number(answerMs, `${where}.answerMs`) }),
  };
}

function readSettings(given: unknown, where: string): Settings {
  const { system, sampling, stop, tools, format, formatText, probabilities } = {
    ...PLAIN,
    ...record(given, where),
  } as Record<string, unknown>;
  const values = record(sampling, `${where}.sampling`);
  const known = PARAMETERS.filter((name) => values[name] !== undefined);
  const form = FORMATS.find((one) => one === format);
  if (form === undefined)
    throw new ImportError(`${where}.format: expected one of ${FORMATS.join(", ")}, found ${shown(format)}`);
  return {
    system: string(system, `${where}.system`),
    sampling: Object.fromEntries(known.map((name) => [name, number(values[name], `${where}.sampling.${name}`)])),
    stop: list(stop, `${where}.stop`, 64).map((one, i) => string(one, `${where}.stop[${i}]`)),
    tools: string(tools, `${where}.tools`),
    format: form,
    formatText: string(formatText, `${where}.formatText`),
    probabilities: probabilities === true,
  };
}

function record(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new ImportError(`${where}: expected an object, found ${shown(value)}`);
  return value as Readonly<Record<string, unknown>>;
}

function list(value: unknown, where: string, most: number): readonly unknown[] {
  if (!Array.isArray(value)) throw new ImportError(`${where}: expected a list, found ${shown(value)}`);
  if (value.length > most) throw new ImportError(`${where}: expected at most ${most}, found ${value.length}`);
  return value;
}

function string(value: unknown, where: string): string {
  if (typeof value !== "string") throw new ImportError(`${where}: expected a text, found ${shown(value)}`);
  return value;
}

function number(value: unknown, where: string): number {
  if (typeof value !== "number" || !Number.isFinite(value))
    throw new ImportError(`${where}: expected a number, found ${shown(value)}`);
  return value;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length <= 40 ? text : `${text.slice(0, 40)}\u2026`;
}
