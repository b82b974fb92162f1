// How many panes of the KV cache (backend/kv_store.ts) sequences need, and how a budget is divided
// between blocks and panes.

import type { KvStore } from "../backend/ops.ts";
import { DEPTH } from "./depth.ts";

/** Sequences for whose windows there is room at once, where memory allows. */
const TOGETHER = 32;
/** Panes take at most this many bytes for each of blocks, beside the least. */
const OF_BLOCKS = 1 / 3;
/** Blocks where they take no bytes, because all layers have windows. */
const MOST_BLOCKS = 2 ** 20;

export interface PaneNeeds {
  /** Panes of a sequence that decodes. */
  readonly each: number;
  /** Further ones that the chunks of a step write. */
  readonly chunk: number;
}

/**
 * A window that ends anywhere in its last block begins anywhere in its first one; ids that the
 * consumer has not taken yet (stream.ts) make it longer, and a chunk may begin a block of its own.
 */
export function paneNeeds(window: number, chunk: number, blockSize: number): PaneNeeds {
  return { each: Math.ceil((window + DEPTH + 1) / blockSize) + 2, chunk: Math.ceil(chunk / blockSize) };
}

/** Bytes of blocks and of panes, and how many panes sequences need; no panes: 0 bytes. */
export interface CacheSizes {
  readonly blockBytes: number;
  readonly paneBytes: number;
  readonly needs: PaneNeeds;
}

export function sizesOf({ blockBytes, blockSize, panes }: KvStore, chunk: number): CacheSizes {
  return { blockBytes, paneBytes: panes?.paneBytes ?? 0, needs: paneNeeds(panes?.window ?? 1, chunk, blockSize) };
}

/** Panes that go with so many blocks: at least what one sequence needs, but no more than blocks. */
function panesFor(blocks: number, { blockBytes, paneBytes, needs }: CacheSizes): number {
  if (paneBytes === 0) return 0;
  const { each, chunk } = needs;
  const share = Math.floor((OF_BLOCKS * blocks * blockBytes) / paneBytes);
  return Math.min(blocks, Math.max(each + chunk, Math.min(share, TOGETHER * each + chunk)));
}

/** Bytes of so many blocks, and of the panes that go with them. */
export function cacheBytes(blocks: number, sizes: CacheSizes): number {
  return blocks * sizes.blockBytes + panesFor(blocks, sizes) * sizes.paneBytes;
}

/** The most blocks that `bytes` have room for, and their panes. */
export function cacheWithin(bytes: number, sizes: CacheSizes): { readonly blocks: number; readonly panes: number } {
  const { blockBytes, paneBytes, needs } = sizes;
  if (paneBytes === 0) return { blocks: Math.floor(bytes / blockBytes), panes: 0 };
  if (blockBytes === 0) {
    const panes = Math.floor(bytes / paneBytes);
    return { blocks: panes < needs.each + needs.chunk ? panes : MOST_BLOCKS, panes };
  }
  let [low, high] = [0, Math.floor(bytes / blockBytes)];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (cacheBytes(middle, sizes) <= bytes) low = middle;
    else high = middle - 1;
  }
  return { blocks: low, panes: panesFor(low, sizes) };
}
