// Keeps packed records in a file of the origin private file system, for as long as the model is
// open. In workers only: a page's own thread writes no file in place.

import { WeightsError } from "../errors.ts";
import { resize, type SyncHandle, type WorkerFile, writeAll } from "../weights/web_sync_handle.ts";
import type { Spill } from "./record_reader.ts";

/** The folder of the files. A page that has one of them open keeps others from removing it. */
const FOLDER = "hotset-packed";

/**
 * Bytes behind the records that the file takes as well, and gives back when it gets no more: a page
 * that has used up its room could not keep its conversations. How much there is, browsers do not
 * tell any more.
 */
const LEFT_FREE = 64 * 2 ** 20;

const NO_ROOM = "this browser gives the page no more room: remove a model that it keeps, or make room on the disk";

/** Whether this is a worker of a browser that has such files. */
function writesInPlace(): boolean {
  const handle = (globalThis as { FileSystemFileHandle?: { readonly prototype: object } }).FileSystemFileHandle;
  return handle !== undefined && "createSyncAccessHandle" in handle.prototype;
}

/** One page at a time: a file that was made and is not open yet looks like one that was left. */
function inTurn<T>(work: () => Promise<T>): Promise<T> {
  return navigator.locks.request("hotset packed experts", work) as Promise<T>;
}

/** Removes what pages have left that were closed with a model open, or have crashed. */
export async function removeLeftSpills(): Promise<void> {
  try {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER);
    await inTurn(async () => {
      for await (const name of folder.keys()) await folder.removeEntry(name).catch(() => {}); // in use
    });
  } catch {
    // None, or the page has no storage.
  }
}

/** A file that is made by the first write. Null where records are packed again: in a page. */
export function pageSpill(): Spill | null {
  if (!writesInPlace()) return null;
  let opened: Promise<Kept> | null = null;
  let refused: string | null = null;
  let end = 0;
  /** In the order in which they came, so that a file without room for all of them has no gaps. */
  const places = new Map<number, number>();

  return {
    get bytes() {
      return end;
    },
    get refused() {
      return refused;
    },
    async write(index, record) {
      if (refused !== null) return false;
      try {
        opened ??= create();
        const { handle } = await opened;
        try {
          resize(handle, end + record.length + LEFT_FREE);
          writeAll(handle, record, end);
        } catch (error) {
          resize(handle, end);
          throw error;
        }
        places.set(index, end);
        end += record.length;
        return true;
      } catch (error) {
        // Earlier records are still good.
        const { name, message } = error as DOMException;
        refused = name === "QuotaExceededError" ? NO_ROOM : `this browser's storage cannot be written: ${message}`;
        return false;
      }
    },
    async read(index, into) {
      const handle = (await opened)?.handle;
      const at = places.get(index)!;
      let found = 0;
      try {
        found = handle?.read(into, { at }) ?? 0;
      } catch (error) {
        throw unreadable((error as Error).message, error);
      }
      if (found < into.length) throw unreadable(`${into.length} bytes expected at byte ${at}, found ${found}`);
    },
    async close() {
      const file = await opened?.catch(() => null);
      opened = null;
      if (!file) return;
      file.handle.close();
      await file.folder.removeEntry(file.name).catch(() => {}); // the next model that is opened removes it
    },
  };
}

interface Kept {
  readonly folder: FileSystemDirectoryHandle;
  readonly name: string;
  readonly handle: SyncHandle;
}

async function create(): Promise<Kept> {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
  const name = `experts-${crypto.randomUUID()}`;
  return inTurn(async () => {
    const file: WorkerFile = await folder.getFileHandle(name, { create: true });
    return { folder, name, handle: await file.createSyncAccessHandle!() };
  });
}

function unreadable(why: string, cause?: unknown): WeightsError {
  return new WeightsError(
    `packed experts cannot be read from this browser's storage again: ${why}; open the model again`,
    {
      cause,
    },
  );
}
