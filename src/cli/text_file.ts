// Reads a text file that the user named, with a size limit and clear error messages.

import { open } from "node:fs/promises";
import { RequestError } from "../errors.ts";

/**
 * The text of a file.
 * @param what begins every message: "--json-schema person.json"
 * @throws RequestError if it cannot be read, is not a file, is larger than `limit` bytes, or is not
 * UTF-8
 */
export async function readTextFile(path: string, what: string, limit: number): Promise<string> {
  let bytes: Buffer;
  try {
    const file = await open(path, "r");
    try {
      const { size } = await file.stat();
      // A pipe or a device has no size, and may have no end.
      bytes = Buffer.alloc(Math.min(Math.max(size, 64 * 1024), limit) + 1);
      let length = 0;
      for (;;) {
        const { bytesRead } = await file.read(bytes, length, bytes.length - length, null);
        if (bytesRead === 0) break;
        length += bytesRead;
        if (length > limit) throw new RequestError(`${what}: expected at most ${limit} bytes, found more`);
        if (length < bytes.length) continue;
        const more = Buffer.alloc(Math.min(2 * bytes.length, limit + 1));
        bytes.copy(more);
        bytes = more;
      }
      bytes = bytes.subarray(0, length);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (error instanceof RequestError) throw error;
    throw new RequestError(`${what}: cannot be read: ${(error as Error).message}`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new RequestError(`${what}: expected UTF-8 text, found other bytes`);
  }
}
