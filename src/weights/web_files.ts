// A folder of weights in a browser: files that the user picked, handles of the file system, files
// that the browser keeps, or those below a URL (http_files.ts).

import { WeightsError } from "../errors.ts";
import type { Files, Opened } from "./files.ts";
import type { SyncHandle, WorkerFile } from "./web_sync_handle.ts";

export { httpFolderOrFile } from "./http_files.ts";

/**
 * Files picked by the user (an <input webkitdirectory>, drag and drop, the origin
 * private file system).
 */
export function pickedFiles(picked: readonly File[], label = "picked files"): Files {
  return namedFiles(new Map(picked.map((file) => [pathOf(file), file])), label);
}

/** Files by their paths in the folder. */
function namedFiles(byName: ReadonlyMap<string, File>, label: string): Files {
  return {
    label,
    list: async (subfolder) => {
      const start = subfolder === undefined ? "" : `${subfolder}/`;
      const below = [...byName.keys()].filter((path) => path.startsWith(start)).map((path) => path.slice(start.length));
      return below.filter((path) => !path.includes("/"));
    },
    size: async (name) => byName.get(name)?.size ?? null,
    async read(name, offset, into) {
      const file = byName.get(name);
      if (!file) throw new WeightsError(`${label}: ${name} is missing`);
      const bytes = await file.slice(offset, offset + into.length).arrayBuffer();
      fill(into, bytes, `${label}: ${name}`, offset);
    },
    close: async () => {},
  };
}

/** A file, and where it is from. */
export interface HandledFile {
  readonly file: File;
  readonly handle: FileSystemFileHandle;
}

/**
 * Files of handles, by their paths in the folder. Those of the origin private file system are read
 * in place where a worker reads, which is tens of times as fast as a File; other pages can read
 * them too, and cannot write or remove them meanwhile.
 */
export function handledFiles(byName: ReadonlyMap<string, HandledFile>, label: string): Files {
  const plain = namedFiles(new Map([...byName].map(([name, { file }]) => [name, file])), label);
  const open = new Map<string, Promise<SyncHandle | null>>();
  const inPlace = (name: string): Promise<SyncHandle | null> => {
    let found = open.get(name);
    if (!found) {
      found = openForReading(byName.get(name)?.handle);
      open.set(name, found);
    }
    return found;
  };
  return {
    ...plain,
    async read(name, offset, into) {
      const handle = await inPlace(name);
      if (!handle) return plain.read(name, offset, into);
      const count = handle.read(into, { at: offset });
      if (count < into.length) throw short(`${label}: ${name}`, into.length, offset, count);
    },
    async close() {
      for (const handle of open.values()) (await handle)?.close();
      open.clear();
    },
  };
}

/** Null where it can only be read as a File: in a page, or on the user's disk. */
async function openForReading(file?: WorkerFile): Promise<SyncHandle | null> {
  try {
    const handle = await file?.createSyncAccessHandle?.({ mode: "read-only" });
    if (handle === undefined || handle.mode === "read-only") return handle ?? null;
    handle.close(); // a browser that knows no modes keeps all other pages out
  } catch {
    // Not of the origin private file system, or another page writes it.
  }
  return null;
}

/** Entries of a picked folder, its subfolders included; no model has as many. */
const MOST_ENTRIES = 20_000;

/**
 * What a handle of the file system is: a folder, with its subfolders, or a file.
 * @throws WeightsError for a folder with far more in it than a model has
 */
export async function openHandle(handle: FileSystemHandle): Promise<Opened> {
  const found = new Map<string, HandledFile>();
  let entries = 0;
  const visit = async (folder: FileSystemDirectoryHandle, path: string, deep: number): Promise<void> => {
    for await (const [name, entry] of folder.entries()) {
      if (++entries > MOST_ENTRIES)
        throw new WeightsError(`${handle.name}: more than ${MOST_ENTRIES} entries: expected the folder of one model`);
      if (entry.kind === "file") {
        const file = entry as FileSystemFileHandle;
        found.set(path + name, { handle: file, file: await file.getFile() });
      } else if (deep > 0) await visit(entry as FileSystemDirectoryHandle, `${path}${name}/`, deep - 1);
    }
  };
  if (handle.kind === "directory") await visit(handle as FileSystemDirectoryHandle, "", 1);
  else {
    const file = handle as FileSystemFileHandle;
    found.set(handle.name, { handle: file, file: await file.getFile() });
  }
  return { files: handledFiles(found, handle.name), file: handle.kind === "file" ? handle.name : null };
}

/** The path within the picked folder; only the name if files were picked one by one. */
function pathOf(file: File): string {
  const path = file.webkitRelativePath ?? "";
  return path.includes("/") ? path.slice(path.indexOf("/") + 1) : file.name;
}

function fill(into: Uint8Array, bytes: ArrayBuffer, where: string, offset: number): void {
  if (bytes.byteLength !== into.length) {
    throw short(where, into.length, offset, bytes.byteLength);
  }
  into.set(new Uint8Array(bytes));
}

function short(where: string, expected: number, offset: number, found: number): WeightsError {
  return new WeightsError(`${where}: ${expected} bytes expected at byte ${offset}, found ${found}`);
}
