// Where tuning is remembered in Node: small files in a directory. Node only.

import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TuningStore } from "./autotune.ts";

/**
 * Files in `directory`. What cannot be read or written is measured again next time: no
 * reason to stop.
 */
export function fileStore(directory: string): TuningStore {
  const path = (name: string): string => join(directory, `${name.replace(/[^\w.-]+/g, "-")}.json`);
  return {
    read: (name) => readFile(path(name), "utf8").catch(() => null),
    async write(name, text) {
      try {
        await mkdir(directory, { recursive: true });
        const half = `${path(name)}.${process.pid}.tmp`;
        await writeFile(half, text);
        await rename(half, path(name)); // whole or not at all, whatever other processes write
      } catch {
        // A read-only home, a full disk.
      }
    },
  };
}
