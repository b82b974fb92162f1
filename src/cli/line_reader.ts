// Reads a file or a stream line by line, as bytes, in bounded memory whatever the lines' lengths.

import { createHash, type Hash } from "node:crypto";

export interface RawLine {
  /** Without the newline; at most `limit` bytes of it. */
  readonly bytes: Uint8Array;
  /** Bytes of the line without the newline. */
  readonly length: number;
  /** Where the line begins in the file, and where the next one does. */
  readonly begin: number;
  readonly end: number;
  /** Counted from 1. */
  readonly number: number;
  /** Whether it ends with a newline, as only the last line may not. */
  readonly ended: boolean;
  /** SHA-256 of the whole line without the newline, in hex; "" unless asked for. */
  readonly digest: string;
}

const NEWLINE = 0x0a;

/**
 * The lines of `chunks`. The last one is left out if it is empty.
 * @param limit bytes of a line that are kept
 */
export async function* linesOf(
  chunks: AsyncIterable<Uint8Array>,
  { limit, digests = false }: { readonly limit: number; readonly digests?: boolean },
): AsyncGenerator<RawLine> {
  let parts: Uint8Array[] = [];
  let [kept, length, begin, number] = [0, 0, 0, 1];
  let hash: Hash | null = null;
  const add = (bytes: Uint8Array): void => {
    const more = bytes.subarray(0, limit - kept);
    if (more.length > 0) parts.push(more);
    kept += more.length;
    length += bytes.length;
    if (digests) hash = (hash ?? createHash("sha256")).update(bytes);
  };
  const take = (ended: boolean): RawLine => {
    const bytes = parts.length === 1 ? parts[0]! : concat(parts, kept);
    const digest = digests ? (hash ?? createHash("sha256")).digest("hex") : "";
    const end = begin + length + (ended ? 1 : 0);
    const line = { bytes, length, begin, end, number, ended, digest };
    [parts, kept, length, begin, hash] = [[], 0, 0, end, null];
    number++;
    return line;
  };
  for await (const chunk of chunks) {
    let at = 0;
    for (;;) {
      const newline = chunk.indexOf(NEWLINE, at);
      if (newline < 0) break;
      add(chunk.subarray(at, newline));
      at = newline + 1;
      yield take(true);
    }
    if (at < chunk.length) add(chunk.subarray(at));
  }
  if (length > 0) yield take(false);
}

function concat(parts: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
