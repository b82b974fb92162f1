// The interface of a folder, so that the same reader works on a disk, in a browser and in tests.

import { WeightsError } from "../errors.ts";
import type { Bypass } from "../tensor/types.ts";

/** Alignment of reads past the page cache: the largest that any disk needs. */
export const DISK_PAGE = 4096;
/** Shorter reads past the page cache through a copy are not worth it. */
export const LEAST_COPIED = 2 ** 18;

/** Read access to one folder. Names are relative paths, such as "config.json" or "sub/file.txt". */
export interface Files {
  /** The folder's name in messages. */
  readonly label: string;
  /** Names of the files in the folder, or in a subfolder (empty if it does not exist). */
  list(subfolder?: string): Promise<readonly string[]>;
  /** Size in bytes, or null if the file does not exist. */
  size(name: string): Promise<number | null>;
  /**
   * Fills `into` from byte `offset` of the file.
   * @throws WeightsError, naming the file and byte, if the file ends before that.
   */
  read(name: string, offset: number, into: Uint8Array, bypass?: Bypass): Promise<void>;
  /**
   * Reads a small file whole, or returns null if it does not exist. Present if that is cheaper than
   * asking for the size first.
   * @throws WeightsError if it is larger than `limit` bytes
   */
  whole?(name: string, limit: number): Promise<Uint8Array | null>;
  /**
   * Says that these small files will soon be read whole, whether they exist or not, so that all can
   * be asked for at once. Present where each would take a latency of its own.
   */
  soon?(names: readonly string[]): void;
  /**
   * Says that this file will soon be read from byte `offset` on. Present where a read takes a
   * latency of its own.
   */
  ahead?(name: string, offset: number): void;
  /** Releases open handles. */
  close(): Promise<void>;
}

/** What a path or URL is: a folder, or a file in a folder, of which nothing else is listed. */
export interface Opened {
  readonly files: Files;
  /** Its name, or null for a folder. */
  readonly file: string | null;
}

/** Whether `name` is a plain file name in the folder: no separator, no `..`. */
export function isPlainName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a NUL ends a path in the system call
  return name !== "" && name !== "." && name !== ".." && !/[/\\:\u0000]/.test(name);
}

/** Whether `path` stays in the folder: plain names with "/" between them. */
export function isPlainPath(path: string): boolean {
  return path.split("/").every(isPlainName);
}

/**
 * Rejects what a failed download leaves in place of a file: a Git LFS or Xet pointer, or
 * a web page.
 * @param start the first bytes of the file; `where` names it
 * @throws WeightsError saying what was found and how to get the file
 */
export function refusePlaceholder(start: Uint8Array, where: string): void {
  const text = String.fromCharCode(...start.subarray(0, 512));
  if (text.startsWith("version https://git-lfs.github.com/") || text.startsWith("# xet version")) {
    const size = /^(?:size |filesize = )(\d+)$/m.exec(text)?.[1];
    const [kind, remedy] = text.startsWith("version")
      ? ["Git LFS", "run `git lfs pull` in the folder, or download the file"]
      : ["Xet storage", "download the file from the model hub"];
    throw new WeightsError(
      `${where} is not the file itself but a pointer to it, as ${kind} leaves it${size ? ` (the file has ${size} bytes)` : ""}: ${remedy}`,
    );
  }
  if (/^\s*<(?:!doctype html|html)\b/i.test(text)) {
    throw new WeightsError(
      `${where} is a web page, not the file itself: download it again from the address that gives the raw file (on the model hub "resolve" in place of "blob")`,
    );
  }
}

/**
 * Reads a small file of the folder; null if it does not exist.
 * @throws WeightsError if it is larger than `limit` bytes.
 */
export async function readBytes(files: Files, name: string, limit: number): Promise<Uint8Array | null> {
  const bytes = await (files.whole ? files.whole(name, limit) : wholeOf(files, name, limit));
  if (bytes === null) return null;
  refusePlaceholder(bytes, `${files.label}/${name}`);
  return bytes;
}

async function wholeOf(files: Files, name: string, limit: number): Promise<Uint8Array | null> {
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
 * Reads a small JSON file of the folder; undefined if it does not exist. NaN and Infinity, which
 * Python writes, are read as null and as the infinite number.
 * @throws WeightsError as readText does, or if it is not JSON.
 */
export async function readJson(files: Files, name: string, limit: number): Promise<unknown> {
  const text = await readText(files, name, limit);
  if (text === null) return undefined;
  try {
    return parseJson(text);
  } catch (error) {
    throw new WeightsError(`${files.label}: ${name} is not valid JSON: ${(error as Error).message}`);
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (!/NaN|Infinity/.test(text)) throw error;
    // Strings first, so that their contents stay.
    const plain = text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?Infinity|NaN/g, (found) =>
      found === "NaN" ? "null" : found.endsWith("Infinity") ? found.replace("Infinity", "1e999") : found,
    );
    return JSON.parse(plain);
  }
}
