// Repeats the reads of a decode without computing: the limit of disk and page cache.

import { readFileSync } from "node:fs";
import type { Files } from "../../src/weights/files.ts";
import { nodeFolderOrFile } from "../../src/weights/node_files.ts";
import { processFigures, since } from "./process.ts";
import type { Read, Reads, ReplayReport, ReplayTask } from "./types.ts";

/** Bytes of one shared WebAssembly memory, and of its pages. */
const MEMORY = 2 ** 30;
const PAGE = 65536;

/**
 * Repeats a decode's reads in order, with as many in flight, into memory of the same kind and
 * size, so that the page cache has the same room. Reads before the measured tokens come
 * first, without timing.
 */
export async function replay({ folder, reads: path, residentBytes }: ReplayTask): Promise<ReplayReport> {
  const { before, measured, inFlight } = JSON.parse(readFileSync(path, "utf8")) as Reads;
  const { files } = await nodeFolderOrFile(folder);
  const own = process.memoryUsage.rss();
  const memories = Array.from({ length: Math.max(1, Math.round((residentBytes - own) / MEMORY)) }, () => {
    const pages = MEMORY / PAGE;
    const bytes = new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer);
    return bytes.fill(1); // memory is allocated on the first write
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
  let at = 0; // over all memories: each read goes to the least recently written place
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
