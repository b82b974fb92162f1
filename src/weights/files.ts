// A folder of files as the reader sees it, so that the same reader serves a disk, a browser and a test.

import { WeightsError } from "../errors.ts";

/** Read access to one folder. Names are plain file names of that folder. */
export interface Files {
  /** What to call the folder in messages. */
  readonly label: string;
  /** Names of the files in the folder. */
  list(): Promise<readonly string[]>;
  /** Size in bytes, or null where there is no such file. */
  size(name: string): Promise<number | null>;
  /**
   * Fills `into` from byte `offset` of the file.
   * @param bypass past the system's page cache, where that is possible: the file and the places in it and in memory have to
   * allow it (multiples of a page do)
   * @throws WeightsError, naming the file and byte, if the file ends before that.
   */
  read(name: string, offset: number, into: Uint8Array, bypass?: boolean): Promise<void>;
  /** Releases open handles. */
  close(): Promise<void>;
}

/** Whether `name` can only mean a file right in the folder: no separator, no `..`, nothing that a path could hide in. */
export function isPlainName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a NUL ends a path in the system call
  return name !== "" && name !== "." && name !== ".." && !/[/\\:\u0000]/.test(name);
}

/**
 * A small file of the folder whole, or null where there is none.
 * @throws WeightsError if it is larger than `limit` bytes.
 */
export async function readBytes(files: Files, name: string, limit: number): Promise<Uint8Array | null> {
  const size = await files.size(name);
  if (size === null) return null;
  if (size > limit)
    throw new WeightsError(`${files.label}: ${name} is ${size} bytes; a file of this name has at most ${limit}`);
  const bytes = new Uint8Array(size);
  await files.read(name, 0, bytes);
  return bytes;
}

/**
 * The same as text.
 * @throws WeightsError if it is larger than `limit` bytes or not UTF-8.
 */
export async function readText(files: Files, name: string, limit: number): Promise<string | null> {
  const bytes = await readBytes(files, name, limit);
  if (bytes === null) return null;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new WeightsError(`${files.label}: ${name} is not valid UTF-8 text`);
  }
}

/**
 * A small JSON file of the folder, or undefined where there is none.
 * @throws WeightsError as readText does, or if it is not JSON.
 */
export async function readJson(files: Files, name: string, limit: number): Promise<unknown> {
  const text = await readText(files, name, limit);
  if (text === null) return undefined;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new WeightsError(`${files.label}: ${name} is not valid JSON: ${(error as Error).message}`);
  }
}
