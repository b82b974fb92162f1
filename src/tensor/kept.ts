// A cache of matrices that can only be converted whole (transposed, or unpacked by columns), and
// whose rows are read in pieces: made for the first rows, dropped after the last.

interface Converted<T> {
  readonly value: Promise<T>;
  readonly bytes: number;
  /** 1: the row was read. */
  readonly done: Uint8Array;
  left: number; // rows that were not
}

/**
 * Converted matrices, the last used last, up to a number of bytes: each until all its rows were
 * read.
 */
export class Kept<T> {
  readonly #limit: number;
  readonly #all = new Map<string, Converted<T>>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * The matrix of this name, for its rows first, first + step, ..., `count` of them.
   * @param bytes of what `read` makes
   */
  get(
    { name, rows, bytes }: { readonly name: string; readonly rows: number; readonly bytes: number },
    { first, count, step = 1 }: { readonly first: number; readonly count: number; readonly step?: number },
    read: () => Promise<T>,
  ): Promise<T> {
    const known = this.#all.get(name);
    const found = known ?? { value: read(), bytes, done: new Uint8Array(rows), left: rows };
    if (!known) found.value.catch(() => this.#all.delete(name));
    this.#all.delete(name);
    for (let i = 0; i < count; i++) {
      const row = first + i * step;
      found.left -= 1 - found.done[row]!;
      found.done[row] = 1;
    }
    if (found.left === 0) return found.value;
    let held = found.bytes;
    for (const { bytes } of this.#all.values()) held += bytes;
    for (const [oldest, { bytes }] of this.#all) {
      if (held <= this.#limit) break;
      this.#all.delete(oldest);
      held -= bytes;
    }
    this.#all.set(name, found);
    return found.value;
  }
}
