// Downloads one file into a cache: what came is remembered at every moment, so that a killed
// process goes on where it was; the whole is checked before it gets its name. Node only.

import { createHash, type Hash } from "node:crypto";
import { type FileHandle, mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { HubError } from "../errors.ts";
import { lockFolder } from "../weights/node_lock.ts";
import type { Digest } from "./listing.ts";
import { type Range, Ranges } from "./ranges.ts";
import { type Transfer, transfer } from "./transfer.ts";

/** A file to download. */
export interface BlobJob extends Pick<Transfer, "label" | "size" | "connections" | "request" | "signal"> {
  /** Where it is to be: cache/blobs/<digest>. */
  readonly path: string;
  readonly digest: Digest;
  /** Called with the bytes that were there before or have come. */
  readonly onBytes: (bytes: number) => void;
  readonly retryMs?: number;
}

/** How often what came is written down. A kill costs at most this much time's bytes. */
const REMEMBER_MS = 100;
/** Bytes to hash at a time: some milliseconds. */
const PIECE = 4 * 2 ** 20;
/** Bytes of the front that may wait to be hashed before a piece of them is. */
const LAG = 8 * 2 ** 20;

/**
 * Downloads a file. Whatever came of it before, by a process that was stopped, is kept.
 * @throws HubError as transfer(), or if the contents differ from the digest: they are removed then
 */
export async function downloadBlob(job: BlobJob): Promise<void> {
  await mkdir(dirname(job.path), { recursive: true });
  const lock = await lockFolder(dirname(job.path), `${basename(job.path)}.hotset.lock`);
  try {
    if ((await sizeOf(job.path)) === job.size) return job.onBytes(job.size); // another process brought it
    await new Download(job).run();
  } finally {
    await lock.release();
  }
}

/** The digest of a file of `size` bytes, as Digest has it. */
export async function digestOf(path: string, size: number, kind: Digest["kind"], signal: AbortSignal): Promise<string> {
  const file = await open(path, "r");
  try {
    const hashed = new FrontHash(kind, size);
    await hashed.advance(file, size, signal);
    return hashed.hex();
  } finally {
    await file.close();
  }
}

/** Bytes of an unfinished download that are there already. */
export async function comeSoFar(path: string, size: number): Promise<number> {
  return (await remembered(journalOf(path), size)).bytes;
}

const journalOf = (path: string): string => `${path}.hotset.json`;

class Download {
  readonly #job: BlobJob;
  readonly #partial: string;
  readonly #journal: string;
  readonly #hash: FrontHash;
  #done = new Ranges();
  #saved = 0;
  #saving: Promise<void> = Promise.resolve();
  #hashing: Promise<void> | null = null;

  constructor(job: BlobJob) {
    this.#job = job;
    this.#partial = `${job.path}.hotset.incomplete`;
    this.#journal = journalOf(job.path);
    this.#hash = new FrontHash(job.digest.kind, job.size);
  }

  async run(): Promise<void> {
    const { size, path, signal } = this.#job;
    if ((await sizeOf(this.#partial)) !== null) this.#done = await remembered(this.#journal, size);
    const file = await open(this.#partial, this.#done.bytes > 0 ? "r+" : "w+");
    try {
      this.#job.onBytes(this.#done.bytes);
      await transfer({
        ...this.#job,
        missing: this.#done.missing(size),
        write: (at, bytes) => this.#write(file, at, bytes),
      });
      await this.#hashing;
      await this.#hash.advance(file, size, signal);
      await file.datasync();
    } finally {
      await this.#hashing?.catch(() => {}); // the failure that counts is thrown above
      await this.#remember(true).catch(() => {});
      await file.close();
    }
    await this.#check();
    await rename(this.#partial, path);
    await rm(this.#journal, { force: true });
  }

  async #write(file: FileHandle, at: number, bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length; )
        done += (await file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
      this.#done.add(at, at + bytes.length);
      await this.#remember(false);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const full = code === "ENOSPC" || code === "EDQUOT";
      const what = full ? "the disk is full; make room and run it again: it goes on from here" : message;
      throw new HubError(`${this.#partial} cannot be written: ${what}`, 200, { cause: error });
    }
    this.#job.onBytes(bytes.length);
    // Hashing what has just been written costs no reads of the disk.
    const { front } = this.#done;
    if (this.#hashing !== null || front - this.#hash.at < LAG) return;
    this.#hashing = this.#hash.advance(file, front, this.#job.signal);
    this.#hashing.then(
      () => {
        this.#hashing = null;
      },
      () => {}, // run() awaits it
    );
  }

  /** Writes down what is there: after the bytes, so that a kill between them loses only time. */
  async #remember(now: boolean): Promise<void> {
    if (!now && performance.now() - this.#saved < REMEMBER_MS) return;
    this.#saved = performance.now();
    const text = JSON.stringify({ size: this.#job.size, done: this.#done });
    this.#saving = this.#saving.then(async () => {
      await writeFile(`${this.#journal}.new`, text);
      await rename(`${this.#journal}.new`, this.#journal);
    });
    await this.#saving;
  }

  /** @throws HubError if the contents are not what the hub says: they are removed */
  async #check(): Promise<void> {
    const { label, digest } = this.#job;
    const found = this.#hash.hex();
    if (found === digest.hex) return;
    await rm(this.#partial, { force: true });
    await rm(this.#journal, { force: true });
    const kind = digest.kind === "git" ? "git's SHA-1" : "SHA-256";
    throw new HubError(
      `${label}: the ${kind} of what came is ${found}, and the hub says ${digest.hex}: it was removed; download it again`,
      200,
    );
  }
}

/** A hash of a file that grows from its beginning. */
class FrontHash {
  /** Bytes hashed. */
  at = 0;
  readonly #hash: Hash;
  readonly #piece = Buffer.allocUnsafe(PIECE);

  constructor(kind: Digest["kind"], size: number) {
    this.#hash = createHash(kind === "git" ? "sha1" : "sha256");
    if (kind === "git") this.#hash.update(`blob ${size}\0`);
  }

  /** Hashes up to byte `end`. */
  async advance(file: FileHandle, end: number, signal: AbortSignal): Promise<void> {
    while (this.at < end) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(this.#piece, 0, Math.min(PIECE, end - this.at), this.at);
      if (bytesRead === 0) throw new HubError(`a download ends at byte ${this.at} of ${end}: it was cut short`, 200);
      this.#hash.update(this.#piece.subarray(0, bytesRead));
      this.at += bytesRead;
    }
  }

  hex(): string {
    return this.#hash.digest("hex");
  }
}

async function sizeOf(path: string): Promise<number | null> {
  return (await stat(path).catch(() => null))?.size ?? null;
}

/** What a journal says; nothing if there is none, or it is of another file. */
async function remembered(journal: string, size: number): Promise<Ranges> {
  try {
    const { size: of, done } = JSON.parse(await readFile(journal, "utf8")) as { size: number; done: Range[] };
    const good = of === size && done.every(([begin, end]) => begin >= 0 && end <= size && begin < end);
    return new Ranges(good ? done : []);
  } catch {
    return new Ranges();
  }
}
