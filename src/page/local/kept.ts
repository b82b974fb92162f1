// Models that this browser keeps: those of the hub, which the library stores, and copies of picked
// files, each a folder of the origin private file system.

import { cachedModels, type Place, prepareRemoval } from "../../browser.ts";
import { bytes } from "./bytes.ts";

/** The folder of copies. */
const COPIES = "hotset-copies";
/** Ends the name of a copy that is not whole. */
const PARTIAL = ".part";

/** A model that is kept. */
export interface KeptModel {
  /** "owner/name", "owner/name:tag", or the name of a picked folder or file. */
  readonly id: string;
  readonly bytes: number;
  open(): Promise<Place>;
  remove(): Promise<void>;
}

async function copies(): Promise<FileSystemDirectoryHandle> {
  return (await navigator.storage.getDirectory()).getDirectoryHandle(COPIES, { create: true });
}

/** All of them, by name; none where the browser stores nothing. */
export async function keptModels(): Promise<KeptModel[]> {
  const found: KeptModel[] = [];
  try {
    for (const { name, path, bytes } of await cachedModels())
      found.push({
        id: name,
        bytes,
        open: async () => path,
        remove: async () => void (await (await prepareRemoval(name)).remove()),
      });
    const folder = await copies();
    const whole = new Map<string, FileSystemDirectoryHandle>();
    const partial: string[] = [];
    for await (const [id, entry] of folder.entries())
      if (id.endsWith(PARTIAL)) partial.push(id.slice(0, -PARTIAL.length));
      else if (entry.kind === "directory") whole.set(id, entry as FileSystemDirectoryHandle);
    for (const id of partial) {
      whole.delete(id);
      void removeLeft(folder, id);
    }
    for (const [id, handle] of whole)
      found.push({
        id,
        bytes: await bytesIn(handle),
        open: async () => handle,
        remove: () => folder.removeEntry(id, { recursive: true }),
      });
  } catch {
    // A private window, or a page of http: nothing is kept.
  }
  return found.sort((a, b) => (a.id < b.id ? -1 : 1));
}

async function bytesIn(folder: FileSystemDirectoryHandle): Promise<number> {
  let sum = 0;
  for await (const [, entry] of folder.entries())
    sum +=
      entry.kind === "file"
        ? (await (entry as FileSystemFileHandle).getFile()).size
        : await bytesIn(entry as FileSystemDirectoryHandle);
  return sum;
}

/** A picked file, and its path in the model's folder. */
export interface PickedFile {
  readonly path: string;
  readonly file: File;
}

/** Held while a copy is made. */
const lockOf = (id: string): string => `hotset copy ${id}`;

/** Removes what a page has left of a copy that was closed; nothing of one that is being made. */
async function removeLeft(all: FileSystemDirectoryHandle, id: string): Promise<void> {
  await navigator.locks.request(lockOf(id), { ifAvailable: true }, async (lock) => {
    if (lock) for (const name of [id, id + PARTIAL]) await all.removeEntry(name, { recursive: true }).catch(() => {});
  });
}

/** The name of a copy: another one where a copy of something else has it. */
async function freeName(all: FileSystemDirectoryHandle, id: string, total: number): Promise<string> {
  for (let n = 1; ; n++) {
    const name = n === 1 ? id : `${id} (${n})`;
    const before = await all.getDirectoryHandle(name).catch(() => null);
    if (before === null || (await bytesIn(before)) === total) return name;
    if (await all.getDirectoryHandle(name + PARTIAL).catch(() => null)) return name;
  }
}

/**
 * Copies picked files. A copy of as many bytes is replaced; others are left, and this one gets
 * another name.
 * @throws the signal's reason, an Error where there is no room; nothing of it is left then
 */
export async function keepCopy(
  wanted: string,
  picked: readonly PickedFile[],
  onProgress: (done: number, total: number) => void,
  signal: AbortSignal,
): Promise<KeptModel> {
  const all = await copies();
  const total = picked.reduce((sum, { file }) => sum + file.size, 0);
  const id = await freeName(all, wanted, total);
  return navigator.locks.request(lockOf(id), { signal }, () => copied(all, id, picked, total, onProgress, signal));
}

async function copied(
  all: FileSystemDirectoryHandle,
  id: string,
  picked: readonly PickedFile[],
  total: number,
  onProgress: (done: number, total: number) => void,
  signal: AbortSignal,
): Promise<KeptModel> {
  const partial = id + PARTIAL;
  const { usage = 0, quota = 0 } = await navigator.storage.estimate();
  let done = 0;
  try {
    const mark = await all.getDirectoryHandle(partial, { create: true });
    await all.removeEntry(id, { recursive: true }).catch(() => {});
    const folder = await all.getDirectoryHandle(id, { create: true });
    for (const { path, file } of picked) {
      const names = path.split("/");
      let below = folder;
      for (const name of names.slice(0, -1)) below = await below.getDirectoryHandle(name, { create: true });
      const target = await (await below.getFileHandle(names.at(-1)!, { create: true })).createWritable();
      const counted = new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
        transform(chunk, controller) {
          done += chunk.length;
          onProgress(done, total);
          controller.enqueue(chunk);
        },
      });
      await file.stream().pipeThrough(counted).pipeTo(target, { signal });
    }
    await all.removeEntry(mark.name, { recursive: true });
    return { id, bytes: total, open: async () => folder, remove: () => all.removeEntry(id, { recursive: true }) };
  } catch (error) {
    for (const name of [id, partial]) await all.removeEntry(name, { recursive: true }).catch(() => {});
    if ((error as Error).name !== "QuotaExceededError") throw error;
    const room = `a copy of ${id} takes ${bytes(total)}; this browser has room for ${bytes(quota - usage)}`;
    throw new Error(`${room}: remove models below, free space on the disk, or open it without a copy`);
  }
}
