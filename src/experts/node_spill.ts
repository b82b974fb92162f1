// Packed records in a file without a name: it goes with the process, however that ends. Node only.

import { type FileHandle, mkdir, open, statfs, unlink } from "node:fs/promises";
import { join } from "node:path";
import { WeightsError } from "../errors.ts";
import type { Spill } from "./records.ts";

/** Bytes of the disk that are left to others. */
const LEFT_FREE = 8 * 2 ** 30;

/** A file in `directory`, made when the first record is written. */
export function fileSpill(directory: string): Spill {
  let file: Promise<FileHandle | null> | null = null;
  let full = false;

  async function create(): Promise<FileHandle | null> {
    try {
      await mkdir(directory, { recursive: true });
      const path = join(directory, `experts-${process.pid}-${Date.now()}.tmp`);
      const handle = await open(path, "wx+", 0o600);
      await unlink(path); // Windows deletes it when it is closed
      return handle;
    } catch {
      return null; // a read-only home: records are packed again
    }
  }

  return {
    async write(index, record) {
      if (full) return false;
      file ??= create();
      const handle = await file;
      if (!handle) return false;
      try {
        const { bavail, bsize } = await statfs(directory);
        if (bavail * bsize < LEFT_FREE + record.length) full = true;
        else await all(record, index, (part, at) => handle.write(part, 0, part.length, at));
      } catch {
        full = true; // ENOSPC, EIO: what was written before is still good
      }
      return !full;
    },
    async read(index, into) {
      const handle = await file;
      if (!handle) throw new Error("nothing was written");
      try {
        await all(into, index, async (part, at) => {
          const { bytesRead } = await handle.read(part, 0, part.length, at);
          return { bytesWritten: bytesRead };
        });
      } catch (error) {
        throw new WeightsError(`${directory}: packed experts cannot be read again: ${(error as Error).message}`, {
          cause: error,
        });
      }
    },
    async close() {
      await (await file)?.close();
      file = null;
    },
  };
}

/** Moves a record's bytes, in as many calls as the system takes. */
async function all(
  record: Uint8Array,
  index: number,
  move: (part: Uint8Array, at: number) => Promise<{ readonly bytesWritten: number }>,
): Promise<void> {
  for (let done = 0; done < record.length; ) {
    const { bytesWritten } = await move(record.subarray(done), index * record.length + done);
    if (bytesWritten === 0) throw new Error(`the file ends at byte ${index * record.length + done}`);
    done += bytesWritten;
  }
}
