// Files of the origin private file system as a worker reads and writes them: in place, so that what
// was written outlives the page.

import { HubError } from "../errors.ts";
import { resize, type SyncHandle, type WorkerFile, writeAll } from "../weights/web_sync_handle.ts";
import type { Bytes, PartialFile } from "./download.ts";
import type { Place } from "./writer_protocol.ts";

/** The folder of a place, made where it is missing. @throws DOMException if it is missing */
async function folderOf(place: Place, create: boolean): Promise<FileSystemDirectoryHandle> {
  let folder = await navigator.storage.getDirectory();
  for (const name of place.slice(0, -1)) folder = await folder.getDirectoryHandle(name, { create });
  return folder;
}

/**
 * Opens a file for this worker alone.
 * @throws HubError if another page has it open, or there is no room
 */
export async function openHandle(place: Place, create: boolean): Promise<SyncHandle> {
  try {
    const folder = await folderOf(place, create);
    const file: WorkerFile = await folder.getFileHandle(place.at(-1)!, { create });
    return await file.createSyncAccessHandle!();
  } catch (error) {
    throw failureOf(error, place);
  }
}

/** Removes a file; nothing happens if it is not there. */
export async function removeFile(place: Place): Promise<void> {
  try {
    await (await folderOf(place, false)).removeEntry(place.at(-1)!);
  } catch (error) {
    if ((error as DOMException).name !== "NotFoundError") throw failureOf(error, place);
  }
}

/** What the browser's refusal means, and what to do. */
function failureOf(error: unknown, place: Place): HubError {
  const { name, message } = error as DOMException;
  const where = place.join("/");
  const why =
    name === "NoModificationAllowedError"
      ? "another page is writing it: wait for that one, or close it"
      : name === "QuotaExceededError"
        ? FULL
        : message;
  return new HubError(`${where} cannot be written: ${why}`, 200, { cause: error });
}

/** In messages, where a browser refuses more. */
export const FULL =
  "the browser gives this page no more room: remove a model, or make room on the disk; a pull goes on where it was";

/** The end of a note: what a longer one has left behind it does not count. */
const END = "\n";

/** Replaces a note, a small text, by one write: a kill leaves the old one or the new one. */
export function writeNote(handle: SyncHandle, text: string, place: Place): void {
  writeTo(handle, new TextEncoder().encode(text + END), 0, place);
  handle.flush();
}

/** The text of a note; null if none was written to its end. */
export function noteIn(contents: string): string | null {
  const end = contents.indexOf(END);
  return end < 0 ? null : contents.slice(0, end);
}

/** The note in a file that is open. */
export function readNote(handle: SyncHandle): string | null {
  const bytes = new Uint8Array(handle.getSize());
  handle.read(bytes, { at: 0 });
  return noteIn(new TextDecoder().decode(bytes));
}

/** Gives a file its size. @throws HubError if there is no room for it */
export function setSize(handle: SyncHandle, size: number, place: Place): void {
  try {
    resize(handle, size);
  } catch (error) {
    throw failureOf(error, place);
  }
}

function writeTo(handle: SyncHandle, bytes: Uint8Array, at: number, place: Place): void {
  try {
    writeAll(handle, bytes, at);
  } catch (error) {
    throw failureOf(error, place);
  }
}

/** The bytes of an open file. */
export function bytesOf(handle: SyncHandle): Bytes {
  return { read: (at, into) => handle.read(into, { at }) };
}

/** A download and its note, both open. */
export function partialFile(file: SyncHandle, note: SyncHandle, place: Place): PartialFile {
  return {
    ...bytesOf(file),
    write: async (at, bytes) => writeTo(file, bytes, at, place),
    async remember(text) {
      writeNote(note, text, place);
    },
    flush: async () => file.flush(),
  };
}
