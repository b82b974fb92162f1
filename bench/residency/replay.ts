// Repeats the reads of a decode without computing: the limit of disk and page cache.

import { readFileSync } from "node:fs";
import type { Files } from "../../src/weights/files.ts";
import { nodeFolderOrFile } from "../../src/weights/node_files.ts";
import { processFigures, since } from "./process.ts";
import type { Read, Reads, ReplayReport, ReplayTask } from "./types.ts";

/** Bytes of one shared WebAssembly memory, and of its pages. */
const MEMORY = 2 ** 30;
const PAGE = 65536;

/** Memory past which a direct read is aligned as the file is. */
const DISK_PAGE = 4096;

/**
 * Reads of the same sizes and ways, each of the place of its size that was read longest ago: of
 * those in `done`, and of these themselves. Reads through the page cache stay as they are.
 */
export function elsewhere(done: readonly Read[], reads: readonly Read[]): Read[] {
  const places = new Map<number, Map<string, Read>>(); // by size; those read longest ago first
  const visit = (read: Read): void => {
    const [name, offset, bytes] = read;
    const ofSize = places.get(bytes) ?? new Map<string, Read>();
    places.set(bytes, ofSize);
    ofSize.delete(`${name} ${offset}`);
    ofSize.set(`${name} ${offset}`, read);
  };
  const direct = ([, , , bypass]: Read): boolean => bypass !== false;
  for (const read of done.filter(direct)) visit(read);
  return reads.map((read) => {
    const [name, offset, bytes, bypass] = read;
    const oldest = direct(read) ? places.get(bytes)?.values().next().value : undefined;
    const other: Read = [oldest?.[0] ?? name, oldest?.[1] ?? offset, bytes, bypass];
    if (direct(read)) visit(other);
    return other;
  });
}

/**
 * Repeats a decode's reads in order, with as many in flight, into memory of the same kind and
 * size, so that the page cache has the same room. Reads before the measured tokens come
 * first, without timing.
 */
export async function replay({ folder, reads: path, residentBytes, ...how }: ReplayTask): Promise<ReplayReport> {
  const kept = JSON.parse(readFileSync(path, "utf8")) as Reads;
  const { before, measured, inFlight } = how.elsewhere ? otherPlaces(kept) : kept;
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

/** As many untimed reads go before as are measured: the disk is busy then, and not rested. */
function otherPlaces({ before, measured, inFlight }: Reads): Reads {
  const untimed = before.slice(-measured.length);
  const all = elsewhere([...before, ...measured], [...untimed, ...measured]);
  return { before: all.slice(0, untimed.length), measured: all.slice(untimed.length), inFlight };
}

async function readAll(files: Files, reads: readonly Read[], inFlight: number, memories: readonly Uint8Array[]) {
  let next = 0;
  let at = 0; // over all memories: each read goes to the least recently written place
  const lane = async (): Promise<void> => {
    for (let read = reads[next++]; read; read = reads[next++]) {
      const [name, offset, bytes, bypass] = read;
      if (bytes + 2 * DISK_PAGE > MEMORY) throw new Error(`a read of ${bytes} bytes at once`);
      if ((at % MEMORY) + bytes + 2 * DISK_PAGE > MEMORY) at = Math.ceil(at / MEMORY) * MEMORY;
      const memory = memories[Math.floor(at / MEMORY) % memories.length]!;
      if (bypass !== false) at = Math.ceil(at / DISK_PAGE) * DISK_PAGE;
      const begin = (at % MEMORY) + (bypass === "pages" ? offset % DISK_PAGE : 0);
      const into = memory.subarray(begin, begin + bytes);
      at += bytes + (begin - (at % MEMORY));
      await files.read(name, offset, into, bypass);
    }
  };
  await Promise.all(Array.from({ length: inFlight }, lane));
}
