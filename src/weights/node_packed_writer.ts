// Writes the files of a quantized folder so that a run that was killed at any moment can be resumed (Node only).

import { createHash } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rmdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { HotsetError, WeightsError } from "../errors.ts";
import { checksumsJson, type SummedPart } from "./checksums.ts";
import { type Job, Journal, type JournalEntry } from "./node_journal.ts";
import { type Lock, lockFolder } from "./node_lock.ts";
import { CONFIG, clear, partsOf, refuseForeign, refuseFull, stillThere } from "./node_packed_state.ts";
import { CHECKSUMS, INDEX, indexJson, LOCK, type Part, type Shard, WORK_FILES } from "./packed_folder.ts";

/** Bytes that are written before they are brought to the disk and into the journal: what a kill can cost. */
const SYNC_BYTES = 128 * 2 ** 20;

/** Hands the bytes of a part on, in order. */
export type Produce = (sink: (bytes: Uint8Array) => Promise<void>) => Promise<void>;

export interface SmallFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * Opens a folder to write: a new or empty one, or one that a run of the same job left half-written.
 * @returns null where the folder is whole already, made by the same version of the same source and precision
 * @throws WeightsError for a folder that holds anything else, that another process writes, or whose disk has no room
 */
export async function openPackedWriter(
  folder: string,
  job: Job,
  shards: readonly Shard[],
): Promise<PackedWriter | null> {
  return disk(folder, "write to", async () => {
    const made = (await mkdir(folder, { recursive: true })) !== undefined;
    // A lock in a whole folder is of a run that was killed at its very end, or is about to end.
    if ((await refuseForeign(folder, job)) === "whole" && !(await readdir(folder)).includes(LOCK)) return null;
    const lock = await lockFolder(folder, LOCK);
    try {
      if ((await refuseForeign(folder, job)) === "whole") {
        await lock.release();
        return null;
      }
      const found = await Journal.read(folder, job);
      const entries = await stillThere(folder, found ?? [], shards);
      await refuseFull(folder, shards);
      const journal = await Journal.begin(folder, job, entries);
      return new PackedWriter(folder, job, shards, lock, journal, entries);
    } catch (error) {
      await lock.release();
      if (made) await rmdir(folder).catch(() => {}); // it stays where something is in it
      throw error;
    }
  });
}

export class PackedWriter {
  /** Bytes of shards that are written. */
  written = 0;
  readonly total: number;
  readonly #folder: string;
  readonly #job: Job;
  readonly #shards: readonly Shard[];
  readonly #lock: Lock;
  readonly #journal: Journal;
  readonly #entries: JournalEntry[];
  readonly #todo: { readonly shard: Shard; readonly part: Part }[];
  #file: { readonly name: string; readonly handle: FileHandle } | null = null;
  /** Written and not yet in the journal. */
  #fresh: JournalEntry[] = [];
  #freshBytes = 0;
  /** What is on its way to the disk. */
  #syncing: Promise<void> = Promise.resolve();

  constructor(
    folder: string,
    job: Job,
    shards: readonly Shard[],
    lock: Lock,
    journal: Journal,
    entries: readonly JournalEntry[],
  ) {
    this.#folder = folder;
    this.#job = job;
    this.#shards = shards;
    this.#lock = lock;
    this.#journal = journal;
    this.#entries = [...entries];
    this.total = shards.reduce((sum, { bytes }) => sum + bytes, 0);
    this.#todo = partsOf(shards).slice(entries.length);
    for (const { begin, end } of entries) this.written += end - begin;
  }

  /** What is to be written next, or null. */
  get next(): { readonly shard: Shard; readonly part: Part } | null {
    return this.#todo[0] ?? null;
  }

  /** Writes the next part. @throws WeightsError for a disk that is full or fails; what `produce` throws */
  async write(produce: Produce, onBytes: (written: number) => void): Promise<void> {
    const { shard, part } = this.#todo[0]!;
    const handle = await this.#open(shard.file);
    const path = join(this.#folder, shard.file);
    const hash = createHash("sha256");
    let at = part.begin;
    await produce(async (bytes) => {
      hash.update(bytes);
      for (let done = 0; done < bytes.length; ) {
        const left = bytes.length - done;
        const { bytesWritten } = await disk(path, "write", () => handle.write(bytes, done, left, at + done));
        done += bytesWritten;
      }
      at += bytes.length;
      this.written += bytes.length;
      onBytes(this.written);
    });
    if (at !== part.end)
      throw new Error(`${part.tensor}: ${at - part.begin} bytes made, ${part.end - part.begin} asked for`);
    this.#todo.shift();
    const { tensor, begin, end } = part;
    this.#fresh.push({ file: shard.file, tensor, begin, end, sha256: hash.digest("hex") });
    this.#freshBytes += end - begin;
    const last = end === shard.bytes;
    if (last) await disk(path, "write", () => handle.truncate(end)); // a run of a damaged journal may have left more
    if (last || this.#freshBytes >= SYNC_BYTES) await this.#sync(last);
  }

  /** Brings the rest of the folder there, config.json last. */
  async finish(small: readonly SmallFile[], config: string): Promise<void> {
    await this.#syncing;
    await this.#lock.check();
    const folder = this.#folder;
    await disk(folder, "write to", async () => {
      const files: Record<string, SummedPart[]> = {};
      for (const { file } of this.#shards) files[file] = [];
      for (const { file, ...part } of this.#entries) files[file]!.push(part);
      const { hotset, format, source, weights } = this.#job;
      const encoder = new TextEncoder();
      const extra = [{ name: INDEX, bytes: encoder.encode(indexJson(this.#shards)) }, ...small];
      const all = [...extra, { name: CONFIG, bytes: encoder.encode(config) }];
      for (const { name, bytes } of all) {
        const sha256 = createHash("sha256").update(bytes).digest("hex");
        files[name] = [{ tensor: null, begin: 0, end: bytes.length, sha256 }];
      }
      const sums = encoder.encode(checksumsJson({ made: { hotset, format, source, weights }, files }));
      for (const { name, bytes } of [...extra, { name: CHECKSUMS, bytes: sums }]) {
        const path = join(folder, name);
        if (name.includes("/")) await mkdir(dirname(path), { recursive: true });
        await writeFile(path, bytes, { flush: true });
      }
      const draft = join(folder, `${WORK_FILES}config`);
      await writeFile(draft, config, { flush: true });
      await syncFolder(folder);
      await rename(draft, join(folder, CONFIG));
      await syncFolder(folder);
      await clear(folder);
    });
  }

  /** Ends the work, done or not: what is written stays. */
  async close(): Promise<void> {
    await this.#syncing.catch(() => {});
    await this.#file?.handle.close().catch(() => {});
    this.#file = null;
    await this.#journal.close().catch(() => {});
    await this.#lock.release();
  }

  async #open(name: string): Promise<FileHandle> {
    if (this.#file?.name === name) return this.#file.handle;
    const path = join(this.#folder, name);
    return disk(path, "open", async () => {
      const handle = await open(path, (await stat(path).catch(() => null)) === null ? "w" : "r+");
      this.#file = { name, handle };
      await syncFolder(this.#folder);
      return handle;
    });
  }

  /** What was written since the last time goes to the disk and then into the journal, while the next parts are packed. */
  async #sync(last: boolean): Promise<void> {
    await this.#syncing;
    const { handle } = this.#file!;
    const entries = this.#fresh;
    this.#fresh = [];
    this.#freshBytes = 0;
    if (last) this.#file = null;
    this.#syncing = disk(this.#folder, "write to", async () => {
      try {
        await handle.datasync();
        await this.#lock.check();
        await this.#journal.append(entries);
        this.#entries.push(...entries);
      } finally {
        if (last) await handle.close();
      }
    });
    this.#syncing.catch(() => {}); // it is awaited before the next
  }
}

async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return; // it opens no folders
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Runs calls of the file system and says what their failure means for somebody who writes a folder. */
async function disk<T>(path: string, verb: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    if (error instanceof HotsetError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    const full = code === "ENOSPC" || code === "EDQUOT";
    const why = full ? "the disk is full; make room" : `cannot ${verb}: ${message}; mend that`;
    throw new WeightsError(`${path}: ${why} and run the same command again: it goes on where it stopped`, {
      cause: error,
    });
  }
}
