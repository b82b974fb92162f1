// Joins small reads of remote files into few large ones, and asks for the next ones ahead: each
// request costs one network latency.

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

export class JoinedReads {
  readonly #fetch: (name: string, offset: number, length: number) => Promise<Uint8Array>;
  /** Most recently used last. */
  readonly #blocks = new Map<string, Promise<Uint8Array>>();
  #fetched = 0;
  #used = 0;

  /** @param fetch returns exactly `length` bytes of a file */
  constructor(fetch: (name: string, offset: number, length: number) => Promise<Uint8Array>) {
    this.#fetch = fetch;
  }

  /** Fills `into` from byte `offset` of a file of `size` bytes, within which it must lie. */
  async read(name: string, size: number, offset: number, into: Uint8Array): Promise<void> {
    this.#used += into.length;
    const wasteful = this.#fetched > PATIENCE && this.#used < this.#fetched / 2;
    if (into.length >= ALONE || wasteful) {
      into.set(await this.#fetch(name, offset, into.length));
      return;
    }
    const end = offset + into.length;
    for (let start = offset - (offset % BLOCK); start < end; start += BLOCK) {
      const reading = this.#block(name, start, size);
      if (start === 0 || this.#blocks.has(keyOf(name, start - BLOCK)))
        for (let next = start + BLOCK; next < Math.min(size, start + (1 + AHEAD) * BLOCK); next += BLOCK)
          void this.#block(name, next, size);
      const block = await reading;
      const from = Math.max(offset, start);
      into.set(block.subarray(from - start, Math.min(end, start + BLOCK) - start), from - offset);
    }
  }

  #block(name: string, start: number, size: number): Promise<Uint8Array> {
    const key = keyOf(name, start);
    let block = this.#blocks.get(key);
    if (block) this.#blocks.delete(key);
    else {
      const length = Math.min(BLOCK, size - start);
      block = this.#fetch(name, start, length);
      this.#fetched += length;
      block.catch(() => this.#blocks.delete(key)); // the next read tries again
    }
    this.#blocks.set(key, block);
    if (this.#blocks.size > KEPT) this.#blocks.delete(this.#blocks.keys().next().value!);
    return block;
  }

  clear(): void {
    this.#blocks.clear();
  }
}

function keyOf(name: string, start: number): string {
  return `${start} ${name}`;
}
