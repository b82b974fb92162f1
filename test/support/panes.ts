// Panes of a KV store for tests of its kernels.

import type { KvStore } from "../../src/backend/ops.ts";

/** `count` tokens of a sequence from position `from`. */
export type Run = readonly [sequence: number, from: number, count: number];

/**
 * Gives blocks panes as long as a sequence sees them, and no longer: the last free one first, and
 * never more than a step needs.
 */
export class Panes {
  readonly #store: KvStore;
  readonly #tables: readonly (readonly number[])[];
  readonly #panes = new Map<number, number>(); // by block
  readonly #free: number[] = [];
  readonly #lengths: number[]; // of sequences so far

  /** @param tables block ids of each sequence */
  constructor(store: KvStore, tables: readonly (readonly number[])[]) {
    this.#store = store;
    this.#tables = tables;
    this.#lengths = tables.map(() => 0);
  }

  /** Before a step of these runs, whose blocks exist. */
  async place(runs: readonly Run[]): Promise<void> {
    const { panes, blockSize } = this.#store;
    if (!panes) return;
    const ends = [...this.#lengths];
    for (const [sequence, from, count] of runs) ends[sequence] = from + count;
    const seen = this.#tables.flatMap((table, s) => {
      const first = Math.floor(Math.max(0, this.#lengths[s]! + 1 - panes.window) / blockSize);
      return table.slice(first, Math.ceil(ends[s]! / blockSize));
    });
    for (const [block, pane] of this.#panes) {
      if (seen.includes(block)) continue;
      this.#panes.delete(block);
      this.#free.push(pane);
      panes.assign(block, null);
    }
    const lacking = seen.filter((block) => !this.#panes.has(block));
    const had = panes.panes;
    await panes.reserve(had + Math.max(0, lacking.length - this.#free.length));
    for (let pane = had; pane < panes.panes; pane++) this.#free.push(pane);
    for (const block of lacking) {
      const pane = this.#free.pop()!;
      panes.assign(block, pane);
      this.#panes.set(block, pane);
    }
    for (const [s, end] of ends.entries()) this.#lengths[s] = end;
  }
}
