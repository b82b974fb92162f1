// Panes of the fake backend: they hold tokens beside its blocks, and every token must see in them
// what its blocks hold.

import type { Batch, PaneStore } from "../../src/backend/ops.ts";
import { turn } from "../../src/turn.ts";

/** The pane of each block. */
export type OfBlocks = readonly (number | undefined)[];

export class FakePanes {
  readonly store: PaneStore;
  /** From now on; steps in flight have those of when they began. */
  ofBlocks: OfBlocks = [];
  readonly #memory: number[][] = [];
  #count = 0;

  /** @param quiet throws while steps are in flight */
  constructor(window: number, quiet: () => void) {
    const count = (): number => this.#count;
    this.store = {
      ...{ window, paneBytes: 100 },
      get panes() {
        return count();
      },
      reserve: async (panes) => {
        quiet();
        await turn();
        this.#count = Math.max(this.#count, panes);
      },
      assign: (block, pane) => {
        if (pane !== null && pane >= this.#count) throw new Error(`pane ${pane} does not exist`);
        const changed = this.ofBlocks.slice();
        changed[block] = pane ?? undefined;
        this.ofBlocks = changed;
      },
    };
  }

  /** Writes a batch's tokens, and checks what each sees. @param memory of blocks of 4 positions */
  look({ positions, sequence, tables }: Batch, own: OfBlocks, memory: readonly (readonly number[])[]): void {
    const block = (t: number, position: number) => tables[sequence[t]!]![Math.floor(position / 4)]!;
    const pane = (t: number, position: number): number[] => {
      const id = own[block(t, position)];
      if (id === undefined) throw new Error(`position ${position} of a token at ${positions[t]} has no pane`);
      this.#memory[id] ??= [];
      return this.#memory[id];
    };
    const held = (t: number, position: number) => memory[block(t, position)]![position % 4]!;
    for (const [t, position] of positions.entries()) pane(t, position)[position % 4] = held(t, position);
    for (const [t, position] of positions.entries())
      for (let p = Math.max(0, position + 1 - this.store.window); p <= position; p++)
        if (pane(t, p)[p % 4] !== held(t, p)) throw new Error(`a pane has something else at position ${p}`);
  }
}
