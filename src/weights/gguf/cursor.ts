// Reads the front of a file in order, in pieces that grow: few requests over HTTP, never more than
// the header needs.

import { WeightsError } from "../../errors.ts";
import type { Files } from "../files.ts";
import { MAX_METADATA } from "./limits.ts";

/** The first piece: what a folder over HTTP has after asking for the size. */
const FIRST = 64 * 2 ** 10;
/** The second; later ones double. */
const SECOND = 2 * 2 ** 20;
const LARGEST = 16 * 2 ** 20;

/** Little-endian values from the front of a file. */
export class Cursor {
  /** Names the file in messages. */
  readonly where: string;
  readonly size: number;
  readonly #files: Files;
  readonly #name: string;
  #bytes = new Uint8Array(0);
  #view = new DataView(this.#bytes.buffer);
  /** The file's byte at #bytes[0]. */
  #base = 0;
  /** The next byte in #bytes. */
  #at = 0;
  #piece = FIRST;

  constructor(files: Files, name: string, size: number) {
    this.where = `${files.label}: ${name}`;
    this.size = size;
    this.#files = files;
    this.#name = name;
  }

  /** The next byte of the file. */
  get position(): number {
    return this.#base + this.#at;
  }

  /** Bytes that are in memory. */
  get ready(): number {
    return this.#bytes.length - this.#at;
  }

  /**
   * Brings the next `count` bytes into memory.
   * @throws WeightsError if the file ends before, or if metadata would grow beyond its limit
   */
  async need(count: number, what: string): Promise<void> {
    if (count <= this.ready) return;
    this.check(count, what);
    const length = Math.min(Math.max(count, this.#piece), this.size - this.position);
    this.#piece = Math.min(LARGEST, this.#piece < SECOND ? SECOND : 2 * this.#piece);
    const bytes = new Uint8Array(length);
    const left = this.#bytes.subarray(this.#at);
    bytes.set(left);
    await this.#files.read(this.#name, this.position + left.length, bytes.subarray(left.length));
    this.#base = this.position;
    this.#at = 0;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }

  /** @throws WeightsError if `count` more bytes cannot be metadata of this file */
  check(count: number, what: string): void {
    const left = this.size - this.position;
    if (count > left)
      throw this.error(`${what} takes ${count} bytes, and ${left} are left: the file is damaged or cut short`);
    if (this.position + count > MAX_METADATA)
      throw this.error(`${what} takes ${count} bytes; metadata of at most ${MAX_METADATA} bytes is read`);
  }

  u32(): number {
    this.#at += 4;
    return this.#view.getUint32(this.#at - 4, true);
  }

  /** A whole number of 64 bits; rounded beyond 2^53, which no check lets pass. */
  u64(): number {
    return Number(this.big());
  }

  big(): bigint {
    this.#at += 8;
    return this.#view.getBigUint64(this.#at - 8, true);
  }

  /** The next `count` bytes, valid until the next need(). */
  take(count: number): Uint8Array {
    this.#at += count;
    return this.#bytes.subarray(this.#at - count, this.#at);
  }

  /** The file's first bytes, at most `count`, for a message. */
  async start(count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(Math.min(count, this.size));
    await this.#files.read(this.#name, 0, bytes);
    return bytes;
  }

  error(problem: string): WeightsError {
    return new WeightsError(`${this.where}: byte ${this.position}: ${problem}`);
  }
}
