// Keeps packed records in an unlinked temporary file, which disappears with the process. Node only.

import { type FileHandle, mkdir, open, statfs, unlink } from "node:fs/promises";
import { join } from "node:path";
import { WeightsError } from "../errors.ts";
import type { Spill } from "./record_reader.ts";

/** Files made so far, for their names: a model may have several. */
let made = 0;

/** Bytes to leave free on the disk. */
const LEFT_FREE = 8 * 2 ** 30;

/** A temporary file in `directory`, created by the first write. */
export function fileSpill(directory: string): Spill {
  let file: Promise<FileHandle | null> | null = null;
  let refused: string | null = null;
  let bytes = 0;

  async function create(): Promise<FileHandle | null> {
    try {
      await mkdir(directory, { recursive: true });
      const path = join(directory, `experts-${process.pid}-${Date.now()}-${made++}.tmp`);
      const handle = await open(path, "wx+", 0o600);
      await unlink(path); // Windows deletes it on close
      return handle;
    } catch (error) {
      refused = `${directory} cannot be written: ${(error as Error).message}`; // a read-only home
      return null;
    }
  }

  return {
    get bytes() {
      return bytes;
    },
    get refused() {
      return refused;
    },
    async write(index, record) {
      if (refused !== null) return false;
      file ??= create();
      const handle = await file;
      if (!handle) return false;
      try {
        const { bavail, bsize } = await statfs(directory);
        if (bavail * bsize < LEFT_FREE + record.length) {
          refused = `the disk of ${directory} has no more room`;
          return false;
        }
        await all(record, index, (part, at) => handle.write(part, 0, part.length, at));
        bytes += record.length;
        return true;
      } catch (error) {
        // ENOSPC, EIO: earlier records are still good.
        refused = `${directory} cannot be written: ${(error as Error).message}`;
        return false;
      }
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

/** Reads or writes a record, in as many calls as the system needs. */
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
