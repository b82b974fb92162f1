// A conversation of `hotset chat`, in memory and in its files: JSON, which is checked when
// it is read.

import { randomUUID } from "node:crypto";
import { access, rename, rm, writeFile } from "node:fs/promises";
import { RequestError } from "../errors.ts";
import type { ChatMessage } from "../index.ts";
import { checkSampling, type Sampling } from "./sampling_options.ts";
import { readTextFile } from "./text_file.ts";

export interface Exchange {
  readonly question: string;
  readonly answer: string;
  /** The answer was stopped before its end. */
  readonly stopped: boolean;
}

export interface Conversation {
  /** The system message; null: none. */
  readonly system: string | null;
  readonly exchanges: readonly Exchange[];
  readonly sampling: Sampling;
}

/** Name of the format in files, with its version. */
const FORMAT = "hotset-chat-1";
/** A hundred times a conversation that fills the longest context. */
const MAX_BYTES = 64 * 2 ** 20;

/** The messages of a conversation, followed by `question` if there is one. */
export function messagesOf({ system, exchanges }: Conversation, question?: string): ChatMessage[] {
  return [
    ...(system === null ? [] : [{ role: "system", content: system } as const]),
    ...exchanges.flatMap(({ question, answer }): ChatMessage[] => [
      { role: "user", content: question },
      { role: "assistant", content: answer },
    ]),
    ...(question === undefined ? [] : [{ role: "user", content: question } as const]),
  ];
}

/**
 * Writes a conversation to a file that only the user can read. Its `messages` have the form of the
 * chat APIs.
 * @throws RequestError if it cannot be written, or if the file exists and is not a conversation,
 * which is never overwritten
 */
export async function saveConversation(path: string, model: string, conversation: Conversation): Promise<void> {
  const there = await access(path).then(
    () => true,
    () => false,
  );
  if (there) {
    await loadConversation(path).catch(() => {
      throw new RequestError(`/save: ${path} exists and is not a conversation; choose another name`);
    });
  }
  const { system, exchanges, sampling } = conversation;
  const messages = [
    ...(system === null ? [] : [{ role: "system", content: system }]),
    ...exchanges.flatMap(({ question, answer, stopped }) => [
      { role: "user", content: question },
      { role: "assistant", content: answer, ...(stopped && { stopped }) },
    ]),
  ];
  const half = `${path}.${randomUUID()}.tmp`;
  try {
    await writeFile(half, `${JSON.stringify({ format: FORMAT, model, sampling, messages }, null, 2)}\n`, {
      mode: 0o600,
      flag: "wx",
    });
    await rename(half, path); // whole or not at all
  } catch (error) {
    await rm(half, { force: true });
    throw new RequestError(`/save: ${path} cannot be written: ${(error as Error).message}`);
  }
}

/** Reads a conversation. @throws RequestError that names the fault in the file and its place */
export async function loadConversation(path: string): Promise<{ model: string; conversation: Conversation }> {
  const text = await readTextFile(path, `/load: ${path}`, MAX_BYTES);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new RequestError(`/load: ${path}: expected JSON: ${(error as Error).message}`);
  }
  const { format, model, sampling, messages } = Object(value) as Record<string, unknown>;
  if (format !== FORMAT || typeof model !== "string" || !Array.isArray(messages)) {
    throw new RequestError(
      `/load: ${path}: expected a conversation saved by /save ("format": "${FORMAT}", model, messages), found something else`,
    );
  }
  return {
    model,
    conversation: {
      ...checkMessages(messages, `/load: ${path}: messages`),
      sampling: checkSampling(sampling ?? {}, `/load: ${path}: sampling`),
    },
  };
}

/** Checks for an optional system message, then questions and answers in turn. */
function checkMessages(messages: readonly unknown[], where: string): Pick<Conversation, "system" | "exchanges"> {
  let at = 0;
  const take = (role: string): { readonly content: string; readonly stopped: boolean } => {
    const found = Object(messages[at]) as Record<string, unknown>;
    const { role: other, content, stopped = false } = found;
    const here = `${where}[${at++}]`;
    if (other !== role) throw new RequestError(`${here}: expected a message with the role ${role}`);
    if (typeof content !== "string")
      throw new RequestError(`${here}.content: expected a text, found ${typeof content}`);
    if (typeof stopped !== "boolean") throw new RequestError(`${here}.stopped: expected true or false`);
    return { content, stopped };
  };
  const hasSystem = (Object(messages[0]) as Record<string, unknown>).role === "system";
  const system = hasSystem ? take("system").content : null;
  const exchanges: Exchange[] = [];
  while (at < messages.length) {
    const question = take("user").content;
    const { content: answer, stopped } = take("assistant");
    exchanges.push({ question, answer, stopped });
  }
  return { system, exchanges };
}
