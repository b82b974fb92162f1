// Joins lines to messages: most are one line; a backslash at the end, or """ around
// them, joins several.

import { RequestError } from "../errors.ts";

/** More than any context holds. Endless input is rejected here, before memory runs out. */
export const MAX_MESSAGE = 16 * 2 ** 20;
const QUOTES = '"""';
/** Opens a message of several lines, perhaps after a command. */
const OPENING = /^\s*(\/[a-z]+\s+)?"""/i;

export class MessageLines {
  #lines: string[] = [];
  #length = 0;
  #quoted = false;
  #open = false;

  /** Whether the message continues on the next line. */
  get goesOn(): boolean {
    return this.#open;
  }

  /**
   * Takes a line; returns the message that it completes, or null.
   * @throws RequestError for more than 16 Mi characters
   */
  push(line: string): string | null {
    this.#length += line.length;
    if (this.#length > MAX_MESSAGE) {
      this.reset();
      throw new RequestError(`a message has at most ${MAX_MESSAGE} characters, this one has more`);
    }
    let text = line;
    const opening = this.#open ? null : OPENING.exec(text);
    if (opening) {
      this.#open = this.#quoted = true;
      text = (opening[1] ?? "") + text.slice(opening[0].length);
      if (text.trim() === "") return null;
    }
    if (this.#quoted) {
      const bare = text.trimEnd();
      const last = bare.endsWith(QUOTES);
      if (last) text = bare.slice(0, -QUOTES.length);
      if (!last || text !== "") this.#lines.push(text);
      return last ? this.end() : null;
    }
    this.#open = text.endsWith("\\");
    this.#lines.push(this.#open ? text.slice(0, -1) : text);
    return this.#open ? null : this.end();
  }

  /** The rest of a message when no more lines come, or null. */
  end(): string | null {
    const text = this.#lines.join("\n");
    this.reset();
    return text === "" ? null : text;
  }

  reset(): void {
    this.#lines = [];
    this.#length = 0;
    this.#open = this.#quoted = false;
  }
}

/**
 * The lines of a stream of bytes, without line ends.
 * @throws RequestError for bytes that are not UTF-8, and lines over 16 Mi characters
 */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let pending = "";
  for await (const chunk of chunks) {
    const lines = (pending + decoded(decoder, chunk)).split("\n");
    pending = lines.pop()!;
    if (pending.length > MAX_MESSAGE)
      throw new RequestError(`stdin: a line has at most ${MAX_MESSAGE} characters, this one has more`);
    for (const line of lines) yield line.replace(/\r$/, "");
  }
  pending += decoded(decoder);
  if (pending !== "") yield pending;
}

function decoded(decoder: TextDecoder, chunk?: Uint8Array): string {
  try {
    return chunk ? decoder.decode(chunk, { stream: true }) : decoder.decode();
  } catch {
    throw new RequestError("stdin: expected UTF-8 text, found other bytes; convert it first");
  }
}
