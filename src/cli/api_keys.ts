// Reads the file of `hotset serve --api-key-file`: one key on each line, so that a new key can be
// handed out beside the old.

import { RequestError } from "../errors.ts";
import { readTextFile } from "./text_file.ts";

const MOST_BYTES = 1_000_000;

/**
 * The keys in a file; none without a path. Empty lines and lines that begin with # are skipped.
 * @throws RequestError
 */
export async function readKeys(path: string | undefined): Promise<readonly string[]> {
  if (path === undefined) return [];
  const what = `--api-key-file ${path}`;
  const lines = (await readTextFile(path, what, MOST_BYTES)).replace(/^\uFEFF/, "").split("\n");
  const keys: string[] = [];
  for (const [i, line] of lines.entries()) {
    const key = line.trim();
    if (key === "" || key.startsWith("#")) continue;
    if (!/^[\x21-\x7e]+$/.test(key)) {
      throw new RequestError(`${what}: line ${i + 1}: expected a key of ASCII characters without spaces`);
    }
    keys.push(key);
  }
  if (keys.length === 0) throw new RequestError(`${what}: expected a key a line, found none`);
  return keys;
}
