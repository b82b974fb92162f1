// The worker that writes a page's cache: downloads, checksums and notes, away from the thread that
// draws the page.

import { createSHA1, createSHA256 } from "hash-wasm";
import { HubError } from "../errors.ts";
import type { SyncHandle } from "../weights/web_sync_handle.ts";
import { type DownloadJob, differs, digestOfBytes, download, gitHead, type Hasher } from "./download.ts";
import { Hub } from "./hub.ts";
import type { Digest } from "./listing.ts";
import { bytesOf, openHandle, partialFile, readNote, removeFile, setSize, writeNote } from "./web_files.ts";
import { noteOf } from "./web_places.ts";
import type { FromWriter, Place, ToWriter, WriterDownload } from "./writer_protocol.ts";

const tell = (message: FromWriter): void => postMessage(message);
/** The note of a file of which nothing has come. */
const NOTHING = "{}";
/** How often a page hears of progress. */
const TELL_MS = 50;

/** Not through the browser's own cache, which would keep every byte a second time. */
const uncached: typeof fetch = (input, init) => fetch(input, { ...init, cache: "no-store" });

const running = new Map<number, AbortController>();

tell(null);
addEventListener("message", ({ data }: MessageEvent<ToWriter>) => {
  if (data.kind === "abort") {
    running.get(data.id)?.abort();
    return;
  }
  const controller = new AbortController();
  running.set(data.id, controller);
  run(data, controller.signal)
    .then(
      (digest) => tell({ id: data.id, kind: "done", digest }),
      (error) => tell({ id: data.id, kind: "failed", failure: failureOf(error) }),
    )
    .finally(() => running.delete(data.id));
});

function failureOf(error: unknown): { message: string; status: number; retryAfter: number | null } {
  if (error instanceof HubError) return { message: error.message, status: error.status, retryAfter: error.retryAfter };
  return { message: error instanceof Error ? error.message : String(error), status: 200, retryAfter: null };
}

/** @returns the digest, if it was asked for */
async function run(message: Exclude<ToWriter, { kind: "abort" }>, signal: AbortSignal): Promise<string | null> {
  switch (message.kind) {
    case "download":
      await bring(message.id, message.job, signal);
      return null;
    case "reserve":
      (await openPartial(message.place, message.size)).close();
      return null;
    case "digest": {
      const handle = await openHandle(message.place, false);
      try {
        return await digestOfBytes(bytesOf(handle), message.size, await hasher(message.of, message.size), signal);
      } finally {
        handle.close();
      }
    }
    case "remove":
      await removeFile(message.place);
      return null;
    case "note": {
      const handle = await openHandle(message.place, true);
      try {
        writeNote(handle, message.text, message.place);
      } finally {
        handle.close();
      }
      return null;
    }
  }
}

interface Partial {
  readonly file: SyncHandle;
  readonly note: SyncHandle;
  /** What the note says. */
  readonly remembered: string;
  close(): void;
}

/**
 * Opens a file that is not whole, with all the room that it needs. While its note is there, it is
 * not whole: the note comes before the file, and goes last.
 */
async function openPartial(place: Place, size: number): Promise<Partial> {
  const note = await openHandle(noteOf(place), true);
  try {
    const remembered = readNote(note);
    if (remembered === null) writeNote(note, NOTHING, place);
    const file = await openHandle(place, true);
    const close = (): void => {
      file.close();
      note.close();
    };
    try {
      setSize(file, size, place);
    } catch (error) {
      close();
      throw error;
    }
    return { file, note, remembered: remembered ?? NOTHING, close };
  } catch (error) {
    note.close();
    throw error;
  }
}

async function bring(id: number, job: WriterDownload, signal: AbortSignal): Promise<void> {
  const { place, digest, size, endpoint, token, url, name } = job;
  const hub = new Hub({ endpoint, token, fetch: uncached });
  const { file, note, remembered, close } = await openPartial(place, size);
  let found: string;
  try {
    const progress = reporter(id);
    const all: DownloadJob = {
      ...job,
      request: (headers, aborted) => hub.request(url, name, { headers, signal: aborted }),
      onBytes: progress.add,
      signal,
    };
    found = await download(all, partialFile(file, note, place), remembered, await hasher(digest.kind, size));
    progress.flush();
  } finally {
    close();
  }
  if (found !== digest.hex) await removeFile(place);
  await removeFile(noteOf(place));
  if (found !== digest.hex) throw differs(job, found);
}

function reporter(id: number): { add(bytes: number): void; flush(): void } {
  let count = 0;
  let told = Number.NEGATIVE_INFINITY; // what was there before is told at once
  const flush = (): void => {
    tell({ id, kind: "bytes", count });
    [count, told] = [0, performance.now()];
  };
  return {
    add(bytes) {
      count += bytes;
      if (performance.now() - told >= TELL_MS) flush();
    },
    flush,
  };
}

async function hasher(kind: Digest["kind"], size: number): Promise<Hasher> {
  const hash = await (kind === "git" ? createSHA1() : createSHA256());
  hash.init();
  if (kind === "git") hash.update(gitHead(size));
  return { update: (bytes) => void hash.update(bytes), hex: () => hash.digest("hex") };
}
