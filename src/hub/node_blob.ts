// A file of the hub's cache on disk while it is downloaded. Node only.

import { createHash } from "node:crypto";
import { type FileHandle, mkdir, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { HubError } from "../errors.ts";
import { lockFolder } from "../weights/node_lock.ts";
import {
  bytesNoted,
  type DownloadJob,
  differs,
  digestOfBytes,
  download,
  gitHead,
  type Hasher,
  type PartialFile,
} from "./download.ts";
import type { Digest } from "./listing.ts";

/** A file to download. */
export interface BlobJob extends DownloadJob {
  /** Where it is to be: cache/blobs/<digest>. */
  readonly path: string;
}

/**
 * Downloads a file. Whatever came of it before, by a process that was stopped, is kept.
 * @throws HubError as transfer(), or if the contents differ from the digest: they are removed then
 */
export async function downloadBlob(job: BlobJob): Promise<void> {
  const { path, size, digest } = job;
  await mkdir(dirname(path), { recursive: true });
  const lock = await lockFolder(dirname(path), `${basename(path)}.hotset.lock`);
  try {
    if ((await sizeOf(path)) === size) return job.onBytes(size); // another process brought it
    const partial = partialOf(path);
    const length = (await sizeOf(partial)) ?? 0;
    const note = await noteOf(path);
    const file = await open(partial, bytesNoted(note, size, length) > 0 ? "r+" : "w+");
    let found: string;
    try {
      found = await download(job, new DiskFile(file, path), note, hasher(digest.kind, size), length);
    } finally {
      await file.close();
    }
    if (found === digest.hex) await rename(partial, path);
    else await rm(partial, { force: true });
    await rm(journalOf(path), { force: true });
    if (found !== digest.hex) throw differs(job, found);
  } finally {
    await lock.release();
  }
}

/** The digest of a file of `size` bytes, as Digest has it. */
export async function digestOf(path: string, size: number, kind: Digest["kind"], signal: AbortSignal): Promise<string> {
  const file = await open(path, "r");
  try {
    return await digestOfBytes(new DiskFile(file, path), size, hasher(kind, size), signal);
  } finally {
    await file.close();
  }
}

/** Bytes of an unfinished download that are there already. */
export async function comeSoFar(path: string, size: number): Promise<number> {
  return bytesNoted(await noteOf(path), size, (await sizeOf(partialOf(path))) ?? 0);
}

const journalOf = (path: string): string => `${path}.hotset.json`;
const partialOf = (path: string): string => `${path}.hotset.incomplete`;

async function noteOf(path: string): Promise<string | null> {
  return readFile(journalOf(path), "utf8").catch(() => null);
}

async function sizeOf(path: string): Promise<number | null> {
  return (await stat(path).catch(() => null))?.size ?? null;
}

function hasher(kind: Digest["kind"], size: number): Hasher {
  const hash = createHash(kind === "git" ? "sha1" : "sha256");
  if (kind === "git") hash.update(gitHead(size));
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest("hex") };
}

class DiskFile implements PartialFile {
  readonly #file: FileHandle;
  readonly #path: string;
  #saving: Promise<void> = Promise.resolve();

  /** @param path of the whole file */
  constructor(file: FileHandle, path: string) {
    this.#file = file;
    this.#path = path;
  }

  async read(at: number, into: Uint8Array): Promise<number> {
    return (await this.#file.read(into, 0, into.length, at)).bytesRead;
  }

  async write(at: number, bytes: Uint8Array): Promise<void> {
    await this.#saved(async () => {
      for (let done = 0; done < bytes.length; )
        done += (await this.#file.write(bytes, done, bytes.length - done, at + done)).bytesWritten;
    });
  }

  async remember(note: string): Promise<void> {
    const journal = journalOf(this.#path);
    this.#saving = this.#saving.then(() =>
      this.#saved(async () => {
        await writeFile(`${journal}.new`, note);
        await rename(`${journal}.new`, journal);
      }),
    );
    await this.#saving;
  }

  flush(): Promise<void> {
    return this.#file.datasync();
  }

  async #saved(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const full = code === "ENOSPC" || code === "EDQUOT";
      const what = full ? "the disk is full; make room and run it again: it goes on from here" : message;
      throw new HubError(`${partialOf(this.#path)} cannot be written: ${what}`, 200, { cause: error });
    }
  }
}
