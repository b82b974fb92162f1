// Blocks of the KV cache: which are free, and how the store grows with what is asked of it.

import type { KvStore } from "../backend/ops.ts";
import { MemoryError } from "../errors.ts";

/** Hands out block ids of one KvStore; several sequences share it. */
export interface BlockPool {
  readonly blockSize: number;
  /** Lengthens `blocks` until it covers `positions`; all or nothing. @throws MemoryError past the budget */
  grow(blocks: number[], positions: number): Promise<void>;
  /** Gives back the blocks of `blocks` past those that `positions` need. */
  shrink(blocks: number[], positions: number): void;
}

/** A pool over `store` of at most `maxBytes`. The store grows by doubling, and only between steps. */
export function createBlockPool(store: KvStore, maxBytes: number): BlockPool {
  const free: number[] = [];
  const maxBlocks = Math.floor(maxBytes / store.blockBytes);
  return {
    blockSize: store.blockSize,
    async grow(blocks, positions) {
      const want = Math.ceil(positions / store.blockSize) - blocks.length;
      if (want > free.length) {
        const had = store.blocks;
        const need = had + want - free.length;
        if (need > maxBlocks) {
          throw new MemoryError(
            `KV cache: ${need * store.blockSize} positions are needed over all sessions and the memory budget has room for ${maxBlocks * store.blockSize}; close sessions, shorten the context or raise the budget`,
          );
        }
        await store.reserve(Math.min(maxBlocks, Math.max(need, 2 * had, 4)));
        for (let id = store.blocks - 1; id >= had; id--) free.push(id);
      }
      for (let i = 0; i < want; i++) blocks.push(free.pop()!);
    },
    shrink(blocks, positions) {
      while (blocks.length > Math.ceil(positions / store.blockSize)) free.push(blocks.pop()!);
    },
  };
}
