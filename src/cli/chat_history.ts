// The history of messages typed in earlier runs of `hotset chat`: a JSON text on each line, in a
// file that only the user can read.

import { appendFileSync, chmodSync, closeSync, fstatSync, mkdirSync, openSync, readSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { cacheDirectory } from "../wiring/node_cache.ts";

export interface InputHistory {
  /** Newest first. */
  readonly entries: readonly string[];
  add(text: string): void;
}

const MAX_ENTRIES = 1000;
const MAX_BYTES = 4 * 2 ** 20;
/** Longer messages were pasted, and are not kept for the arrow keys. */
const MAX_ENTRY = 64 * 2 ** 10;

/**
 * Opens the history. If `kept` is false, or there is no file, it is of this run only. Errors of the
 * file are ignored.
 */
export function openHistory(kept: boolean, file: string | null = usualFile()): InputHistory {
  const entries: string[] = [];
  const attempt = (work: (file: string) => void): void => {
    if (!kept || file === null) return;
    try {
      work(file);
    } catch {
      // No file yet, a read-only home, a full disk.
    }
  };
  attempt((file) => {
    chmodSync(file, 0o600); // whatever its mode was
    const { text, cut } = lastBytes(file);
    const lines = text.split("\n").filter((line) => line !== "");
    for (const line of lines.slice(-MAX_ENTRIES)) {
      const entry = parsed(line);
      if (entry !== null) entries.unshift(entry);
    }
    if (cut || lines.length > 2 * MAX_ENTRIES)
      writeFileSync(file, entries.toReversed().map(line).join(""), { mode: 0o600 });
  });
  return {
    entries,
    add(text) {
      if (text.length > MAX_ENTRY || text === entries[0]) return;
      entries.unshift(text);
      entries.length = Math.min(entries.length, MAX_ENTRIES);
      attempt((file) => {
        mkdirSync(dirname(file), { recursive: true });
        appendFileSync(file, line(text), { mode: 0o600 });
      });
    },
  };
}

function usualFile(): string | null {
  const directory = cacheDirectory();
  return directory === null ? null : join(directory, "chat_history");
}

function line(text: string): string {
  return `${JSON.stringify(text)}\n`;
}

/** Null for a line that was cut or has another form. */
function parsed(text: string): string | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "string" && value !== "" ? value : null;
  } catch {
    return null;
  }
}

/** The last MAX_BYTES of a file, or all of it. */
function lastBytes(path: string): { readonly text: string; readonly cut: boolean } {
  const file = openSync(path, "r");
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, MAX_BYTES));
    const length = readSync(file, bytes, 0, bytes.length, size - bytes.length);
    return { text: bytes.toString("utf8", 0, length), cut: size > bytes.length };
  } finally {
    closeSync(file);
  }
}
