// Writes a packed folder so that a run can be resumed after a kill at any moment (Node only).

import { createHash } from "node:crypto";
import { type FileHandle, mkdir, open, readdir, rename, rmdir, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { HotsetError, WeightsError } from "../errors.ts";
import { checksumsJson, type SummedPart } from "./checksums.ts";
import { type Job, Journal, type JournalEntry } from "./node_journal.ts";
import { type Lock, lockFolder } from "./node_lock.ts";
import { CONFIG, clear, partsOf, refuseForeign, refuseFull, stillThere } from "./node_packed_state.ts";
import { CHECKSUMS, INDEX, indexJson, LOCK, type Part, type Shard, WORK_FILES } from "./packed_folder.ts";

/** Bytes between two syncs to the disk and the journal: the most that a kill can lose. */
const SYNC_BYTES = 128 * 2 ** 20;

/** Receives the bytes of a part, in order. */
export type Produce = (sink: (bytes: Uint8Array) => Promise<void>) => Promise<void>;

export interface SmallFile {
  readonly name: string;
  readonly bytes: Uint8Array;
}

/**
 * Opens a folder for writing: a new or empty one, or an incomplete one of the same job.
 * @returns null if the folder is complete, written by the same version from the same source and
 * format
 * @throws WeightsError for any other folder, one that another process is writing, or a full disk
 */
export async function openPackedWriter(
  folder: string,
  job: Job,
  shards: readonly Shard[],
): Promise<PackedWriter | null> {
  return disk(folder, "write to", async () => {
    const made = (await mkdir(folder, { recursive: true })) !== undefined;
    // A lock in a complete folder is left by a run that was killed at its end, or is about to end.
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
      if (made) await rmdir(folder).catch(() => {}); // fails if it is not empty
      throw error;
    }
  });
}

export class PackedWriter {
  /** Bytes of shards written so far. */
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
  /** The sync in flight. */
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

  /** The next part to write, or null. */
  get next(): { readonly shard: Shard; readonly part: Part } | null {
    return this.#todo[0] ?? null;
  }

  /**
   * Writes the next part.
   * @throws WeightsError if the disk is full or fails; errors of `produce`
   */
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
    // a run with a damaged journal may have left more
    if (last) await disk(path, "write", () => handle.truncate(end));
    if (last || this.#freshBytes >= SYNC_BYTES) await this.#sync(last);
  }

  /** Writes the small files, config.json last. */
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

  /** Ends the work, complete or not; written bytes stay. */
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

  /**
   * Syncs new bytes to the disk and then adds them to the journal, while the next parts are packed.
   */
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
    this.#syncing.catch(() => {}); // awaited before the next
  }
}

async function syncFolder(folder: string): Promise<void> {
  if (process.platform === "win32") return; // Windows cannot open folders
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Runs file system calls and turns failures into errors for the user who writes a folder. */
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
