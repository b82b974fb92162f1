// Joins small reads of remote files into few large ones, and asks for the next ones ahead: each
// request costs one network latency. A read does not wait for a whole block, only for its bytes.

import { turn } from "../turn.ts";
import type { Coming } from "./coming.ts";

/** Bytes of a request for joined reads. */
const BLOCK = 8 * 2 ** 20;
/** Cached blocks: reads move back and forth a little, and two files may be read in turn. */
const KEPT = 6;
/** Blocks that are asked for ahead at a file's beginning, and where the one before is there. */
const AHEAD = 2;
/** A read of this many bytes is a request of its own. */
const ALONE = BLOCK / 2;
/** After this many bytes at least half must have been used, or joining stops. */
const PATIENCE = 8 * BLOCK;
/**
 * A reader that finds all bytes there lets the event loop have a turn after so long: without one
 * nothing more of the open requests is taken, and the network stands still.
 */
const TURN_MS = 5;

/** Asks for bytes of a file; `failed` is called if not exactly so many come. */
type Fetch = (name: string, offset: number, length: number, failed: () => void) => Coming;

export class JoinedReads {
  readonly #fetch: Fetch;
  /** Most recently used last. */
  readonly #blocks = new Map<string, Coming>();
  #fetched = 0;
  #used = 0;
  #turned = 0;

  constructor(fetch: Fetch) {
    this.#fetch = fetch;
  }

  /** Fills `into` from byte `offset` of a file of `size` bytes, within which it must lie. */
  async read(name: string, size: number, offset: number, into: Uint8Array): Promise<void> {
    this.#used += into.length;
    await this.#letCome();
    const wasteful = this.#fetched > PATIENCE && this.#used < this.#fetched / 2;
    if (into.length >= ALONE || wasteful) return this.#fetch(name, offset, into.length, () => {}).copy(0, into);
    const end = offset + into.length;
    for (let start = offset - (offset % BLOCK); start < end; start += BLOCK) {
      const block = this.#block(name, start, size);
      if (start === 0 || this.#blocks.has(keyOf(name, start - BLOCK))) this.#next(name, start, size);
      const from = Math.max(offset, start);
      await block.copy(from - start, into.subarray(from - offset, Math.min(end, start + BLOCK) - offset));
    }
  }

  /** Asks for what a reader from byte `offset` on will read first. */
  ahead(name: string, size: number, offset: number): void {
    const start = offset - (offset % BLOCK);
    this.#block(name, start, size);
    this.#next(name, start, size);
  }

  /** Asks for the blocks behind one. */
  #next(name: string, start: number, size: number): void {
    for (let next = start + BLOCK; next < Math.min(size, start + (1 + AHEAD) * BLOCK); next += BLOCK)
      this.#block(name, next, size);
  }

  #block(name: string, start: number, size: number): Coming {
    const key = keyOf(name, start);
    let block = this.#blocks.get(key);
    if (block) this.#blocks.delete(key);
    else {
      const length = Math.min(BLOCK, size - start);
      block = this.#fetch(name, start, length, () => this.#blocks.delete(key)); // the next read tries again
      this.#fetched += length;
    }
    this.#blocks.set(key, block);
    if (this.#blocks.size > KEPT) this.#blocks.delete(this.#blocks.keys().next().value!);
    return block;
  }

  async #letCome(): Promise<void> {
    if (performance.now() - this.#turned < TURN_MS || ![...this.#blocks.values()].some(({ open }) => open)) return;
    await turn();
    this.#turned = performance.now();
  }

  clear(): void {
    this.#blocks.clear();
  }
}

function keyOf(name: string, start: number): string {
  return `${start} ${name}`;
}
