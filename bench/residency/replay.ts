// The reads of a decode once more, with no computing between them: what disk and page cache allow.

import { readFileSync } from "node:fs";
import type { Files } from "../../src/weights/files.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { processFigures, since } from "./process.ts";
import type { Read, Reads, ReplayReport, ReplayTask } from "./types.ts";

/** Bytes of one shared WebAssembly memory, and of its pages. */
const MEMORY = 2 ** 30;
const PAGE = 65536;

/**
 * Reads what a decode has read, in its order and as many at a time as it had at most, into memory of the same kind and size,
 * so that the page cache has as much room; what came before the measured tokens is read first and not timed.
 */
export async function replay({ folder, reads: path, residentBytes }: ReplayTask): Promise<ReplayReport> {
  const { before, measured, inFlight } = JSON.parse(readFileSync(path, "utf8")) as Reads;
  const files = await nodeFiles(folder);
  const own = process.memoryUsage.rss();
  const memories = Array.from({ length: Math.max(1, Math.round((residentBytes - own) / MEMORY)) }, () => {
    const pages = MEMORY / PAGE;
    const bytes = new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer);
    return bytes.fill(1); // memory that nobody has written to is not there
  });
  await readAll(files, before, inFlight, memories);
  const start = processFigures();
  const began = performance.now();
  await readAll(files, measured, inFlight, memories);
  const ms = performance.now() - began;
  const figures = since(start);
  await files.close();
  return { bytes: measured.reduce((sum, [, , bytes]) => sum + bytes, 0), ms, process: figures };
}

async function readAll(files: Files, reads: readonly Read[], inFlight: number, memories: readonly Uint8Array[]) {
  let next = 0;
  let at = 0; // in all memories: each read goes to where none has lately gone
  const lane = async (): Promise<void> => {
    for (let read = reads[next++]; read; read = reads[next++]) {
      const [name, offset, bytes, bypass] = read;
      if (bytes > MEMORY) throw new Error(`a read of ${bytes} bytes at once`);
      if ((at % MEMORY) + bytes > MEMORY) at = Math.ceil(at / MEMORY) * MEMORY;
      const memory = memories[Math.floor(at / MEMORY) % memories.length]!;
      const into = memory.subarray(at % MEMORY, (at % MEMORY) + bytes);
      at += bytes;
      await files.read(name, offset, into, bypass);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}
