// Folders and files of the local disk (Node only).

import { constants } from "node:fs";
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { WeightsError } from "../errors.ts";
import { type Files, isPlainName } from "./files.ts";

/** Bytes asked of the system at once; Node refuses 2^31 and more. */
const MAX_READ = 2 ** 30;
/** What reads past the page cache start and end at: no disk asks for more. */
const PAGE = 4096;
/** Of open(2), on Linux. */
const DIRECT: number | undefined = constants.O_DIRECT;

/**
 * A folder on disk. A name may be a symbolic link to a file elsewhere, as in the hub's cache (snapshots/ links to
 * blobs/): whoever owns the folder made the link. The name itself cannot lead out of the folder.
 * @throws WeightsError if there is no such folder.
 */
export async function nodeFiles(folder: string): Promise<Files> {
  const found = await kindOf(folder);
  if (found !== "folder")
    throw new WeightsError(`${folder}: expected a folder with config.json and safetensors files, found ${found}`);
  return new DiskFiles(folder, folder, async () => {
    const names = (await attempt(folder, "list", () => readdir(folder, { withFileTypes: true }))) ?? [];
    return names.filter((entry) => !entry.isDirectory()).map((entry) => entry.name);
  });
}

/** What a path given by a person is: a folder, or a single file seen as a folder that holds nothing else. */
export type Opened = { readonly files: Files; readonly file: string | null };

/** Opens a folder, or a file alone. @throws WeightsError if there is neither. */
export async function nodeFolderOrFile(path: string): Promise<Opened> {
  if ((await kindOf(path)) !== "file") return { files: await nodeFiles(path), file: null };
  const name = basename(path);
  return { files: new DiskFiles(dirname(path), dirname(path), async () => [name]), file: name };
}

async function kindOf(path: string): Promise<"folder" | "file" | "nothing" | "something else"> {
  const found = await attempt(path, "open", () => stat(path));
  if (found === null) return "nothing";
  return found.isDirectory() ? "folder" : found.isFile() ? "file" : "something else";
}

/** Runs a call of the file system: null where the file does not exist, a WeightsError where it fails otherwise. */
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
  readonly list: () => Promise<readonly string[]>;
  private readonly folder: string;
  private readonly handles = new Map<string, Promise<FileHandle>>();
  /** For reads past the page cache; null where the file system has none. */
  private readonly direct = new Map<string, Promise<FileHandle | null>>();

  constructor(label: string, folder: string, list: () => Promise<readonly string[]>) {
    this.label = label;
    this.folder = folder;
    this.list = list;
  }

  async size(name: string): Promise<number | null> {
    const path = this.path(name);
    const found = await attempt(path, "open", () => stat(path));
    if (found === null) return null;
    // Opening a pipe would wait for ever for someone to write to it.
    if (!found.isFile())
      throw new WeightsError(`${path}: expected a file, found ${found.isDirectory() ? "a folder" : "something else"}`);
    return found.size;
  }

  async read(name: string, offset: number, into: Uint8Array, bypass = false): Promise<void> {
    if (bypass && (await this.readDirect(name, offset, into))) return;
    const handle = await this.handle(name);
    for (let done = 0; done < into.length; ) {
      const size = Math.min(MAX_READ, into.length - done);
      const path = this.path(name);
      const result = await attempt(path, `read byte ${offset + done}`, () =>
        handle.read(into, done, size, offset + done),
      );
      // At the end of a file a read gives less than asked without an error: what stands in `into` is not the file's.
      if (result === null || result.bytesRead === 0)
        throw new WeightsError(
          `${path} ends at byte ${offset + done}; bytes up to ${offset + into.length} were expected: it was cut short after it was opened`,
        );
      done += result.bytesRead;
    }
  }

  /** Reads past the page cache; false where that cannot be, or not all of it: `into` may hold anything then. */
  private async readDirect(name: string, offset: number, into: Uint8Array): Promise<boolean> {
    const aligned = [offset, into.length, into.byteOffset].every((at) => at % PAGE === 0);
    if (DIRECT === undefined || !aligned || into.length > MAX_READ) return false;
    let handle = this.direct.get(name);
    if (handle === undefined) {
      handle = open(this.path(name), constants.O_RDONLY | DIRECT).catch(() => null);
      this.direct.set(name, handle);
    }
    // Whatever fails here, the usual way works, or has an error for the person.
    const result = await (await handle)?.read(into, 0, into.length, offset).catch(() => null);
    return result?.bytesRead === into.length;
  }

  async close(): Promise<void> {
    const handles = [...this.handles.values(), ...this.direct.values()];
    this.handles.clear();
    this.direct.clear();
    await Promise.all(handles.map(async (handle) => (await handle.catch(() => null))?.close()));
  }

  private handle(name: string): Promise<FileHandle> {
    let handle = this.handles.get(name);
    if (handle === undefined) {
      handle = this.open(name);
      this.handles.set(name, handle);
      handle.catch(() => this.handles.delete(name));
    }
    return handle;
  }

  private async open(name: string): Promise<FileHandle> {
    const path = this.path(name);
    const handle = (await this.size(name)) === null ? null : await attempt(path, "open", () => open(path, "r"));
    if (handle === null) throw new WeightsError(`${path}: no such file`);
    return handle;
  }

  private path(name: string): string {
    if (!isPlainName(name))
      throw new WeightsError(
        `${this.label}: expected the name of a file in this folder, found ${JSON.stringify(name)}`,
      );
    return join(this.folder, name);
  }
}
