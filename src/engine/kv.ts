// Blocks of the KV cache: which are free, and how the store grows with what is asked of it and what is expected.

import type { KvStore } from "../backend/ops.ts";
import { MemoryError } from "../errors.ts";

/** A list of block ids that covers the first positions of one sequence, and how many it should cover. */
export interface Reach {
  readonly blocks: number[];
  readonly positions: number;
}

/** Hands out block ids of one KvStore; several sequences share it. */
export interface BlockPool {
  readonly blockSize: number;
  /**
   * Says that `blocks` will come to cover `positions` (0: nothing more): the next grow() makes the store large enough
   * for all that is expected, as far as the budget has room, so that it need not grow later. No block is taken by it.
   */
  expect(blocks: number[], positions: number): void;
  /** Lengthens `blocks` until it covers `positions`; all or nothing. @throws MemoryError past the budget */
  grow(blocks: number[], positions: number): Promise<void>;
  /** Lengthens each list towards its positions, a block each in turn, as far as there is room; none at all is no error. */
  extend(wants: readonly Reach[]): Promise<void>;
  /** Gives back the blocks of `blocks` past those that `positions` need. */
  shrink(blocks: number[], positions: number): void;
}

/** A pool over `store`, whose blocks nobody holds, of at most `maxBytes`. The store grows by doubling, in grow() and extend() only: between steps. */
export function createBlockPool(store: KvStore, maxBytes: number): BlockPool {
  const free = Array.from({ length: store.blocks }, (_, i) => store.blocks - 1 - i); // the next one last
  const expected = new Map<number[], number>();
  const maxBlocks = Math.floor(maxBytes / store.blockBytes);
  /** Blocks that the backend refused once although the budget has room: not asked for again by those who can do without. */
  let refused = Number.POSITIVE_INFINITY;

  const missing = (blocks: readonly number[], positions: number): number =>
    Math.max(0, Math.ceil(positions / store.blockSize) - blocks.length);

  async function enlarge(blocks: number): Promise<void> {
    const had = store.blocks;
    await store.reserve(blocks);
    for (let id = store.blocks - 1; id >= had; id--) free.push(id);
  }

  /** Enlarges the store to `blocks` in all where the budget and the backend have room; whether it could. */
  async function tryEnlarge(blocks: number): Promise<boolean> {
    const want = Math.min(blocks, maxBlocks);
    if (want <= store.blocks || want >= refused) return false;
    try {
      await enlarge(want);
      return true;
    } catch (error) {
      if (!(error instanceof MemoryError)) throw error;
      refused = want;
      return false;
    }
  }

  /** Blocks that the store should have, expectations included, to give `more` of them now. */
  function wished(more: number): number {
    let coming = more;
    for (const [blocks, positions] of expected) coming += missing(blocks, positions);
    return store.blocks + coming - free.length;
  }

  return {
    blockSize: store.blockSize,
    expect(blocks, positions) {
      if (positions > 0) expected.set(blocks, positions);
      else expected.delete(blocks);
    },
    async grow(blocks, positions) {
      const want = missing(blocks, positions);
      const need = store.blocks + want - free.length;
      if (need > maxBlocks) {
        throw new MemoryError(
          `KV cache: ${need * store.blockSize} positions are needed over all sessions and the memory budget has room for ${maxBlocks * store.blockSize}; close sessions, shorten the context or raise the budget`,
        );
      }
      // What this sequence takes now is part of what is expected of it.
      const ahead = wished(want - Math.min(want, missing(blocks, expected.get(blocks) ?? 0)));
      const doubled = need > store.blocks ? Math.max(2 * store.blocks, 4) : 0;
      await tryEnlarge(Math.max(need, ahead, doubled));
      if (want > free.length) await enlarge(need);
      for (let i = 0; i < want; i++) blocks.push(free.pop()!);
    },
    async extend(wants) {
      const want = wants.reduce((sum, { blocks, positions }) => sum + missing(blocks, positions), 0);
      const need = store.blocks + want - free.length;
      if (need > store.blocks) (await tryEnlarge(Math.max(need, 2 * store.blocks))) || (await tryEnlarge(need));
      for (let short = [...wants]; short.length > 0 && free.length > 0; ) {
        short = short.filter(({ blocks, positions }) => missing(blocks, positions) > 0);
        for (const { blocks } of short) if (free.length > 0) blocks.push(free.pop()!);
      }
    },
    shrink(blocks, positions) {
      while (blocks.length > Math.ceil(positions / store.blockSize)) free.push(blocks.pop()!);
    },
  };
}
