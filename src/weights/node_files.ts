// Folders and files of the local disk (Node only).

import { constants, type Dirent } from "node:fs";
import { type FileHandle, lstat, open, readdir, readlink, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { WeightsError } from "../errors.ts";
import type { Bypass } from "../tensor/types.ts";
import { DISK_PAGE, type Files, isPlainPath, type Opened } from "./files.ts";
import { DirectReader } from "./node_direct.ts";

/** What a path leads to. */
const WEIGHTS = "a folder with config.json and safetensors files, or a GGUF file";
/** The most bytes of one read; Node rejects 2^31 and more. */
const MAX_READ = 2 ** 30;
/** A flag of open(2) on Linux. */
const DIRECT: number | undefined = constants.O_DIRECT;

/**
 * A folder on disk. A name may be a symbolic link to a file elsewhere, as in the hub's cache
 * (snapshots/ links to blobs/): the folder's owner made the link. The name itself cannot lead out
 * of the folder.
 * @throws WeightsError if there is no such folder.
 */
export async function nodeFiles(folder: string, expected = WEIGHTS): Promise<Files> {
  const found = await kindOf(folder);
  if (found !== "folder") throw new WeightsError(`${folder}: expected ${expected}, found ${found}`);
  await refuseOuterFolder(folder);
  return new DiskFiles(folder, folder, async (subfolder = ".") =>
    (await entriesOf(join(folder, subfolder))).filter((entry) => !entry.isDirectory()).map((entry) => entry.name),
  );
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  return (await attempt(folder, "list", () => readdir(folder, { withFileTypes: true }))) ?? [];
}

/** The most folders to search, and to name in the message. */
const MOST_LOOKED_AT = 64;
const MOST_NAMED = 5;

/**
 * Rejects a folder that only contains folders with weights, such as the outer folder of a model
 * in the hub's cache (models--owner--name/snapshots/<commit>/): an error about config.json
 * would not help.
 * @throws WeightsError naming the folders to open
 */
async function refuseOuterFolder(folder: string): Promise<void> {
  const entries = await entriesOf(folder);
  if (entries.some((entry) => !entry.isDirectory() && /\.(json|safetensors|model|gguf)$/i.test(entry.name))) return;
  let level = entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  for (let depth = 0; depth < 3 && level.length > 0; depth++) {
    const looked = level.slice(0, MOST_LOOKED_AT);
    const inside = await Promise.all(looked.map((name) => entriesOf(join(folder, name)).catch(() => [])));
    const models = looked.filter((_, i) =>
      inside[i]!.some(({ name }) => name === "config.json" || /\.gguf$/i.test(name)),
    );
    if (models.length > 0) {
      const named = models.slice(0, MOST_NAMED).map((name) => join(folder, name));
      const more = models.length > named.length ? ` (and ${models.length - named.length} more)` : "";
      throw new WeightsError(
        `${folder}: expected ${WEIGHTS}, found a folder around ${models.length === 1 ? "one" : "several"}; open ${named.join(" or ")}${more}`,
      );
    }
    level = looked.flatMap((name, i) =>
      inside[i]!.filter((entry) => entry.isDirectory()).map((entry) => join(name, entry.name)),
    );
  }
}

/** The target of the link at `path` if it is broken; else null. */
async function deadLink(path: string): Promise<string | null> {
  const found = await lstat(path).catch(() => null);
  return found?.isSymbolicLink() ? await readlink(path) : null;
}

/**
 * Opens a folder, or a file alone. @param expected in words, for the message
 * @throws WeightsError if there is neither
 */
export async function nodeFolderOrFile(path: string, expected = WEIGHTS): Promise<Opened> {
  if ((await kindOf(path)) !== "file") return { files: await nodeFiles(path, expected), file: null };
  const name = basename(path);
  return {
    files: new DiskFiles(dirname(path), dirname(path), async (subfolder) => (subfolder === undefined ? [name] : [])),
    file: name,
  };
}

/** "folder", "file", or a description of anything else. */
async function kindOf(path: string): Promise<string> {
  const found = await attempt(path, "open", () => stat(path));
  if (found === null) {
    const link = await deadLink(path);
    return link === null ? "nothing" : `a link to ${link}, which is not there`;
  }
  return found.isDirectory() ? "folder" : found.isFile() ? "file" : "something else";
}

/** Runs a file system call: null if the file does not exist, a WeightsError for other failures. */
async function attempt<T>(path: string, verb: string, call: () => Promise<T>): Promise<T | null> {
  try {
    return await call();
  } catch (error) {
    const code = (error as { code?: unknown }).code;
    if (code === "ENOENT" || code === "ENOTDIR") return null;
    throw new WeightsError(`${path}: cannot ${verb}: ${(error as Error).message}`, { cause: error });
  }
}

class DiskFiles implements Files {
  readonly label: string;
  readonly list: Files["list"];
  readonly #folder: string;
  readonly #handles = new Map<string, Promise<FileHandle>>();
  /** A handle for reads past the page cache; null if the file system does not support them. */
  readonly #direct = new Map<string, Promise<FileHandle | null>>();
  readonly #unaligned = new DirectReader();

  constructor(label: string, folder: string, list: Files["list"]) {
    this.label = label;
    this.#folder = folder;
    this.list = list;
  }

  async size(name: string): Promise<number | null> {
    const path = this.#path(name);
    const found = await attempt(path, "open", () => stat(path));
    if (found === null) {
      const link = await deadLink(path);
      if (link === null) return null;
      throw new WeightsError(
        `${path} is a link to ${link}, which is not there: download the file again, or copy the folder with its links followed (cp -L)`,
      );
    }
    // Opening a pipe would wait for a writer forever.
    if (!found.isFile())
      throw new WeightsError(`${path}: expected a file, found ${found.isDirectory() ? "a folder" : "something else"}`);
    return found.size;
  }

  async read(name: string, offset: number, into: Uint8Array, bypass: Bypass = false): Promise<void> {
    if (bypass && (await this.#readDirect(name, offset, into, bypass === "pages"))) return;
    const handle = await this.#handle(name);
    for (let done = 0; done < into.length; ) {
      const size = Math.min(MAX_READ, into.length - done);
      const path = this.#path(name);
      const result = await attempt(path, `read byte ${offset + done}`, () =>
        handle.read(into, done, size, offset + done),
      );
      // At the end of a file a read returns fewer bytes, without an error.
      if (result === null || result.bytesRead === 0)
        throw new WeightsError(
          `${path} ends at byte ${offset + done}; bytes up to ${offset + into.length} were expected: it was cut short after it was opened`,
        );
      done += result.bytesRead;
    }
  }

  /** Reads past the page cache; false if that fails: `into` may then hold anything. */
  async #readDirect(name: string, offset: number, into: Uint8Array, pages: boolean): Promise<boolean> {
    if (DIRECT === undefined || into.length > MAX_READ) return false;
    const around = pages ? pagesAround(offset, into) : null;
    const whole = around ?? into;
    const begin = offset - (into.byteOffset - whole.byteOffset);
    const aligned = [begin, whole.length, whole.byteOffset].every((at) => at % DISK_PAGE === 0);
    if (!aligned && !this.#unaligned.takes(into.length)) return false;
    let handle = this.#direct.get(name);
    if (handle === undefined) {
      handle = open(this.#path(name), constants.O_RDONLY | DIRECT).catch(() => null);
      this.#direct.set(name, handle);
    }
    // If anything fails here, a normal read follows, which works or throws a good error.
    const opened = await handle;
    if (!aligned) return opened !== null && this.#unaligned.read(opened, offset, into);
    const result = await opened?.read(whole, 0, whole.length, begin).catch(() => null);
    // At the end of a file the last page is not whole.
    return (result?.bytesRead ?? 0) >= offset - begin + into.length;
  }

  async close(): Promise<void> {
    const handles = [...this.#handles.values(), ...this.#direct.values()];
    this.#handles.clear();
    this.#direct.clear();
    this.#unaligned.close();
    await Promise.all(handles.map(async (handle) => (await handle.catch(() => null))?.close()));
  }

  #handle(name: string): Promise<FileHandle> {
    let handle = this.#handles.get(name);
    if (handle === undefined) {
      handle = this.#open(name);
      this.#handles.set(name, handle);
      handle.catch(() => this.#handles.delete(name));
    }
    return handle;
  }

  async #open(name: string): Promise<FileHandle> {
    const path = this.#path(name);
    const handle = (await this.size(name)) === null ? null : await attempt(path, "open", () => open(path, "r"));
    if (handle === null) throw new WeightsError(`${path}: no such file`);
    return handle;
  }

  #path(name: string): string {
    if (!isPlainPath(name))
      throw new WeightsError(
        `${this.label}: expected the name of a file in this folder, found ${JSON.stringify(name)}`,
      );
    return join(this.#folder, name);
  }
}

/** The pages of memory that hold `into`; null if they do not begin where those of the file do. */
function pagesAround(offset: number, { buffer, byteOffset, length }: Uint8Array): Uint8Array | null {
  const skipped = offset % DISK_PAGE;
  if (byteOffset % DISK_PAGE !== skipped) return null;
  const bytes = Math.ceil((skipped + length) / DISK_PAGE) * DISK_PAGE;
  const begin = byteOffset - skipped;
  return begin + bytes <= buffer.byteLength ? new Uint8Array(buffer, begin, bytes) : null;
}
