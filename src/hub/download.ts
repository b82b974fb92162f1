// Downloads one file into a cache: what came is noted at every moment, so that a pull that was
// stopped goes on where it was; the bytes are hashed while they come.

import { HubError } from "../errors.ts";
import type { Digest, ListedFile } from "./listing.ts";
import { type Range, Ranges } from "./ranges.ts";
import { type Transfer, transfer } from "./transfer.ts";

/** A file to download. */
export interface DownloadJob extends Pick<Transfer, "label" | "size" | "connections" | "request" | "signal"> {
  readonly digest: Digest;
  /** Called with the bytes that were there before or have come. */
  readonly onBytes: (bytes: number) => void;
}

/** Bytes on a disk. */
export interface Bytes {
  /** Reads as much as fits. @returns the bytes read; 0 at the end */
  read(at: number, into: Uint8Array): number | Promise<number>;
}

/** A file that is not whole yet, and a note beside it. */
export interface PartialFile extends Bytes {
  /** @throws HubError if there is no room */
  write(at: number, bytes: Uint8Array): Promise<void>;
  /** Replaces the note. It outlives the process, and so do the bytes that were written before. */
  remember(note: string): Promise<void>;
  /** Returns when all bytes are on the disk. */
  flush(): Promise<void>;
}

/** A hash of bytes that come piece by piece. */
export interface Hasher {
  update(bytes: Uint8Array): void;
  /** Ends it; in hexadecimal digits. */
  hex(): string;
}

/** How often what came is noted. A kill costs at most this much time's bytes. */
const REMEMBER_MS = 100;
/** Bytes to hash at a time: some milliseconds. */
const PIECE = 4 * 2 ** 20;
/** Bytes of the front that may wait to be hashed before a piece of them is. */
const LAG = 8 * 2 ** 20;

/**
 * Brings the bytes of a file that are missing.
 * @param note what remember() wrote last of this file; null: nothing of it is there
 * @param hash of the digest's kind, new
 * @param length bytes of the file so far: after a crash of the machine it may be shorter than its
 * note says
 * @returns the digest of the whole
 * @throws HubError as transfer() and `file`
 */
export async function download(
  job: DownloadJob,
  file: PartialFile,
  note: string | null,
  hash: Hasher,
  length = job.size,
): Promise<string> {
  const { size, signal } = job;
  const done = noted(note, size, length);
  const front = new FrontHash(hash);
  let saved = 0;
  let hashing: Promise<void> | null = null;
  let failed: unknown = null;

  /** After the bytes, so that a kill between them loses only time. */
  const remember = async (): Promise<void> => {
    saved = performance.now();
    await file.remember(JSON.stringify({ size, done }));
  };
  const write = async (at: number, bytes: Uint8Array): Promise<void> => {
    if (failed) throw failed;
    await file.write(at, bytes);
    done.add(at, at + bytes.length);
    if (performance.now() - saved >= REMEMBER_MS) await remember();
    job.onBytes(bytes.length);
    // Hashing what has just been written costs no reads of the disk.
    if (hashing !== null || done.front - front.at < LAG) return;
    hashing = front.advance(file, done.front, signal).then(
      () => {
        hashing = null;
      },
      (error) => {
        failed = error;
      },
    );
  };
  try {
    job.onBytes(done.bytes);
    await transfer({ ...job, missing: done.missing(size), write });
    await hashing;
    if (failed) throw failed;
    await front.advance(file, size, signal);
    await file.flush();
  } finally {
    await hashing; // it reads the file
    await remember().catch(() => {}); // the failure that counts is thrown above
  }
  return hash.hex();
}

/** The digest of the first `size` bytes. @param hash new */
export async function digestOfBytes(bytes: Bytes, size: number, hash: Hasher, signal: AbortSignal): Promise<string> {
  await new FrontHash(hash).advance(bytes, size, signal);
  return hash.hex();
}

/** What git puts before a file's bytes. */
export function gitHead(size: number): string {
  return `blob ${size}\0`;
}

/** Bytes of an unfinished download that are there, by its note. */
export function bytesNoted(note: string | null, size: number, length = size): number {
  return noted(note, size, length).bytes;
}

/** Contents that are not what the hub says. */
export function differs({ label, digest }: Pick<DownloadJob, "label" | "digest">, found: string): HubError {
  const kind = digest.kind === "git" ? "git's SHA-1" : "SHA-256";
  return new HubError(
    `${label}: the ${kind} of what came is ${found}, and the hub says ${digest.hex}: it was removed; download it again`,
    200,
  );
}

/** @throws HubError if the hub gives none: then nothing could be checked */
export function digestOfListed({ path, digest }: ListedFile, repo: string): Digest {
  if (digest !== undefined && /^[0-9a-f]{40,64}$/.test(digest.hex)) return digest;
  throw new HubError(`${repo}/${path}: the hub gives no checksum of it`, 200);
}

/** A hash of a file that grows from its beginning. */
class FrontHash {
  /** Bytes hashed. */
  at = 0;
  readonly #hash: Hasher;
  readonly #piece = new Uint8Array(PIECE);

  constructor(hash: Hasher) {
    this.#hash = hash;
  }

  /** Hashes up to byte `end`. */
  async advance(bytes: Bytes, end: number, signal: AbortSignal): Promise<void> {
    while (this.at < end) {
      signal.throwIfAborted();
      const count = await bytes.read(this.at, this.#piece.subarray(0, Math.min(PIECE, end - this.at)));
      if (count === 0) throw new HubError(`a download ends at byte ${this.at} of ${end}: it was cut short`, 200);
      this.#hash.update(this.#piece.subarray(0, count));
      this.at += count;
    }
  }
}

/** What a note says; nothing if there is none, or it is of another file. */
function noted(note: string | null, size: number, length: number): Ranges {
  try {
    const { size: of, done } = JSON.parse(note ?? "") as { size: number; done: Range[] };
    const good = of === size && done.every(([begin, end]) => begin >= 0 && end <= size && begin < end);
    return new Ranges(good ? done.map(([begin, end]) => [begin, Math.min(end, length)]) : []);
  } catch {
    return new Ranges();
  }
}
