// The output file of a batch: answers in the order of the requests, kept over a kill at any byte.
//
// Its complete lines are what is done; a run that is repeated compares their ids with the requests
// and goes on behind them. Answers that are there before an earlier one are kept in a file beside
// it, "<output>.ahead", until their turn comes.

import { createReadStream } from "node:fs";
import { type FileHandle, open, rename, stat, unlink } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { RequestError } from "../errors.ts";
import { type Lock, lockFolder } from "../weights/node_lock.ts";
import { linesOf } from "./line_reader.ts";

/** Where answers go, in order. */
export interface BatchOutput {
  /**
   * Whether the request whose answer begins with `head` is answered; called for each request in
   * order until it returns false.
   * @throws RequestError if the file has another answer there
   */
  has(head: string): Promise<boolean>;
  /** The answer to a request, if an earlier run had it before its turn. */
  ahead(id: string): string | undefined;
  /** Keeps an answer whose turn has not come. */
  keep(id: string, text: string): Promise<void>;
  /** Writes the next answer. */
  write(id: string, text: string): Promise<void>;
  /** @param done whether all is answered */
  close(done: boolean): Promise<void>;
}

/** Bytes of a line that tell which request it answers: an id, and the beginning of a custom_id. */
const HEAD = 256;
/** The file of answers ahead is written anew when it has this many bytes more than it needs. */
const SPARE = 2 ** 20;
/** Most bytes of an answer in that file; a longer one is computed again. */
const MOST_AHEAD = 2 ** 28;

/** An output that cannot be read again: a pipe or a terminal. */
export function pipedOutput(
  write: (text: string) => Promise<void>,
  close = async (): Promise<void> => {},
): BatchOutput {
  return {
    has: async () => false,
    ahead: () => undefined,
    keep: async () => {},
    write: (_, text) => write(text),
    close,
  };
}

/** @throws RequestError if it cannot be written */
export async function openDevice(path: string): Promise<BatchOutput> {
  const handle = await open(path, "w").catch((error) => fail(path, error));
  return pipedOutput(
    (text) => handle.appendFile(text).catch((error) => fail(path, error, false)),
    () => handle.close(),
  );
}

/**
 * @param input as the messages name it
 * @throws RequestError if the file cannot be written; WeightsError while another process writes it
 */
export async function openOutput(path: string, input: string): Promise<BatchOutput> {
  const lock = await lockFolder(dirname(path), `${basename(path)}.lock`).catch((error) => fail(path, error));
  try {
    // Created if it is missing, never truncated.
    const handle = await open(path, "a+").catch((error) => fail(path, error));
    try {
      return await resumed(path, input, handle, lock);
    } catch (error) {
      await handle.close();
      throw error;
    }
  } catch (error) {
    await lock.release();
    throw error;
  }
}

async function resumed(path: string, input: string, handle: FileHandle, lock: Lock): Promise<BatchOutput> {
  const lines = linesOf(chunksOf(path), { limit: HEAD });
  const ahead = await AheadFile.open(`${path}.ahead`);
  const other = (line: number): RequestError =>
    new RequestError(
      `${path}:${line} is not the answer to the request at its place in ${input}: the requests or the model have changed since; restore them, name another output, or remove ${path}`,
    );
  return {
    async has(head) {
      const { value: line } = await lines.next();
      if (!line) return false;
      const expected = Buffer.from(head).subarray(0, HEAD);
      const length = line.ended ? expected.length : Math.min(expected.length, line.bytes.length);
      const begins = Buffer.from(line.bytes.subarray(0, length));
      // One that was cut by a kill is compared too, so that a foreign file is left alone.
      if (!begins.equals(expected.subarray(0, length))) throw other(line.number);
      if (line.ended) return true;
      await handle.truncate(line.begin).catch((error) => fail(path, error));
      return false;
    },
    ahead: (id) => ahead.texts.get(id),
    keep: (id, text) => ahead.add(id, text).catch((error) => fail(path, error)),
    async write(id, text) {
      await handle.appendFile(text).catch((error) => fail(path, error));
      await ahead.remove(id).catch((error) => fail(path, error));
    },
    async close(done) {
      try {
        // Lines behind the last request belong to another input.
        const { value: line } = done ? await lines.next() : { value: undefined };
        if (line) throw other(line.number);
        if (done) await handle.datasync().catch((error) => fail(path, error));
        await ahead.close(done);
        await handle.close();
      } finally {
        await lines.return(undefined);
        await lock.release();
      }
    },
  };
}

/** Answers that are there before their turn, by id, in memory and in a file. */
class AheadFile {
  readonly texts: Map<string, string>;
  readonly #path: string;
  #handle: FileHandle | null = null;
  /** Bytes in the file, and those that are needed. */
  #written = 0;
  #needed = 0;

  private constructor(path: string, texts: Map<string, string>) {
    this.#path = path;
    this.texts = texts;
  }

  static async open(path: string): Promise<AheadFile> {
    const texts = new Map<string, string>();
    if (await stat(path).catch(() => null)) {
      for await (const { bytes, length, ended } of linesOf(chunksOf(path), { limit: MOST_AHEAD })) {
        const text = `${Buffer.from(bytes).toString("utf8")}\n`;
        const id = /^\{"id":"(\w+)"/.exec(text)?.[1];
        if (ended && length === bytes.length && id !== undefined) texts.set(id, text);
      }
    }
    const file = new AheadFile(path, texts);
    if (texts.size > 0) await file.#rewrite(); // without a line that was cut
    return file;
  }

  async add(id: string, text: string): Promise<void> {
    if (this.texts.has(id)) return;
    this.texts.set(id, text);
    this.#handle ??= await open(this.#path, "w");
    const bytes = Buffer.byteLength(text);
    this.#written += bytes;
    this.#needed += bytes;
    await this.#handle.appendFile(text);
  }

  async remove(id: string): Promise<void> {
    const text = this.texts.get(id);
    if (text === undefined) return;
    this.texts.delete(id);
    this.#needed -= Buffer.byteLength(text);
    if (this.#written > 2 * this.#needed + SPARE) await this.#rewrite();
  }

  /** @param done whether nothing in it is needed any more */
  async close(done: boolean): Promise<void> {
    await this.#handle?.close();
    if (done || this.texts.size === 0) await unlink(this.#path).catch(() => {});
  }

  async #rewrite(): Promise<void> {
    await this.#handle?.close();
    const next = `${this.#path}.new`;
    this.#handle = await open(next, "w");
    this.#written = 0;
    for (const text of this.texts.values()) {
      await this.#handle.appendFile(text);
      this.#written += Buffer.byteLength(text);
    }
    this.#needed = this.#written;
    await rename(next, this.#path);
  }
}

/** Opens the file when its first chunk is wanted. */
async function* chunksOf(path: string): AsyncGenerator<Uint8Array> {
  yield* createReadStream(path);
}

/** @param kept whether what was written can be gone on from */
function fail(path: string, error: unknown, kept = true): never {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === undefined) throw error;
  const why = code === "ENOENT" ? "there is no such folder" : code === "ENOSPC" ? "the disk is full" : message;
  const rest = kept && code === "ENOSPC" ? "; what is written is kept, and the same command goes on from there" : "";
  throw new RequestError(`${path} cannot be written: ${why}${rest}`);
}
