// Blocks of the KV cache: which sequences hold them, which are free, and how the store grows with
// demand and expectation.
//
// Several sessions can hold a full block that was computed once. It stays after the last of them
// has gone, until its place is needed: prefix.ts finds it. Such a block is never written to again:
// sessions write only behind their last token.

import type { KvStore } from "../backend/ops.ts";
import { MemoryError } from "../errors.ts";
import type { Claim } from "./claim.ts";
import { cacheWithin, sizesOf } from "./panes.ts";
import { PrefixIndex } from "./prefix.ts";
import { States } from "./states.ts";
import { Windows } from "./windows.ts";

/** The store does not grow beyond this to keep blocks that no session holds. */
const CACHE_BYTES = 2 ** 30;

/**
 * A list of block ids that covers the first positions of one sequence, and how many
 * it should cover.
 */
export interface Reach {
  readonly blocks: number[];
  readonly positions: number;
}

/** Tokens of a sequence, from position `from` on to `to`. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** Hands out block ids of one KvStore; several sequences share it. */
export interface BlockPool {
  readonly blockSize: number;
  /**
   * Most blocks that all sequences together can have: limited by the budget, and by what the
   * backend has refused.
   */
  readonly most: number;
  /** Blocks that are available now without evicting any that a sequence holds. */
  readonly available: number;
  /** How many blocks `blocks` lacks to cover `positions`. */
  missing(blocks: readonly number[], positions: number): number;
  /** How many of `blocks` no other sequence holds. */
  own(blocks: readonly number[]): number;
  /**
   * Full blocks of the beginning of `tokens` (without its last one) that some sequence holds:
   * adopting them takes no room. `key`, here and below: see RopeLengths.
   */
  shared(tokens: readonly number[], key?: number): number;
  /** Calls `released` whenever a block is given back. */
  watch(released: () => void): void;
  /**
   * Announces that `blocks` will grow to cover `positions` (0: no further growth). The next grow()
   * makes the store large enough for everything announced, as far as the budget allows, so that it
   * need not grow later. Takes no block.
   */
  expect(blocks: number[], positions: number): void;
  /**
   * Lengthens `blocks` until it covers `positions`; all or nothing. With windows: the next step
   * takes the tokens of `span`, by default all, and their panes are there.
   * @throws MemoryError past the budget
   */
  grow(blocks: number[], positions: number, span?: Span): Promise<void>;
  /**
   * Lengthens each list towards its positions, one block each in turn, as far as there is
   * room, if any.
   */
  extend(wants: readonly Reach[]): Promise<void>;
  /** Gives back the blocks of `blocks` past those that `positions` need. */
  shrink(blocks: number[], positions: number): void;
  /**
   * Extends `blocks`, whose first `held` positions hold the beginning of `tokens`, by what other
   * sequences have computed of it, and makes the block after that writable. Returns the positions
   * held then: at most all tokens but the last. They are fewer than `held` where that ends within a
   * block that others hold as well: the block is left to them.
   */
  adopt(blocks: number[], tokens: readonly number[], held: number, key?: number): number;
  /** The states of a model that has any; null: all of a sequence is in its blocks. */
  readonly states: States | null;
  /** Where layers have panes; null: all layers keep all blocks. */
  readonly windows: Windows | null;
  /**
   * adopt() for a sequence. With states: from where they are, if that is `held`, else from the last
   * checkpoint, else from the beginning.
   */
  resume(claim: Claim, tokens: readonly number[], held: number): number;
  /**
   * Where a step of at most `most` of `total` tokens should end that begins at `at`. With states:
   * at a whole block, where others can go on, and at the last before the end, which is `kept` for
   * them.
   */
  stepEnd(total: number, at: number, most: number): { readonly end: number; readonly kept: boolean };
  /**
   * Makes a checkpoint of a sequence with states that ends with a block; `kept`: beside its last
   * one.
   */
  checkpoint(claim: Claim, kept: boolean): void;
  /**
   * Lets others find the full blocks of `tokens`, whose keys and values are in `blocks`. Blocks
   * with the same contents are merged: the one found first replaces the other in `blocks`.
   * Steps in flight may still use the one that was given back, because blocks are handed out
   * between steps only.
   */
  publish(blocks: number[], tokens: readonly number[], key?: number): void;
  usage(): KvUsage;
}

/**
 * Blocks of the KV cache: `most` that the memory budget has room for, `blocks` that exist, `free`
 * ones that are empty, and `cached` ones that no session holds and that may be reused.
 */
export interface KvUsage {
  /** Positions of a block. */
  readonly blockSize: number;
  /** The most blocks that there can be. */
  readonly most: number;
  /** Blocks that there are. */
  readonly blocks: number;
  /** Blocks that hold nothing. */
  readonly free: number;
  /** Blocks that are only kept for reuse. */
  readonly cached: number;
  /** The same of panes, where layers have windows. */
  readonly panes?: { readonly most: number; readonly panes: number; readonly cached: number };
}

/**
 * A pool over an unused `store`, of at most `maxBytes`. The store grows by doubling, in grow() and
 * extend() only: between steps.
 * @param chunk most tokens of a step
 */
export function createBlockPool(store: KvStore, maxBytes: number, chunk = 1): BlockPool {
  // the next one last
  const free = Array.from({ length: store.blocks }, (_, i) => store.blocks - 1 - i);
  const expected = new Map<number[], number>();
  const users: number[] = []; // by block: the number of sessions that hold it
  const states = store.states ? new States(store.states) : null;
  const sizes = sizesOf(store, chunk);
  const room = cacheWithin(maxBytes, sizes);
  const windows = store.panes ? new Windows(store.panes, store.blockSize, sizes.needs, room.panes) : null;
  const index = new PrefixIndex(store.blockSize, (block) => states?.forget(block));
  const maxBlocks = Math.min(room.blocks, store.maxBlocks ?? Number.POSITIVE_INFINITY);
  const cacheBlocks = Math.min(maxBlocks, Math.floor(CACHE_BYTES / (store.blockBytes || sizes.paneBytes)));
  /**
   * A size that the backend refused although the budget has room: not requested again where it is
   * not essential.
   */
  let refused = Number.POSITIVE_INFINITY;
  /** Most blocks that the backend can have, once it has refused essential ones. */
  let ceiling = Number.POSITIVE_INFINITY;
  let released = (): void => {};

  const most = (): number => Math.max(store.blocks, Math.min(maxBlocks, ceiling));

  const missing = (blocks: readonly number[], positions: number): number =>
    Math.max(0, Math.ceil(positions / store.blockSize) - blocks.length);

  async function enlarge(blocks: number): Promise<void> {
    const had = store.blocks;
    await store.reserve(blocks);
    for (let id = store.blocks - 1; id >= had; id--) free.push(id);
  }

  /** Enlarges the store because it must, and remembers a refusal. @throws MemoryError */
  async function mustEnlarge(blocks: number): Promise<void> {
    try {
      await enlarge(blocks);
    } catch (error) {
      if (error instanceof MemoryError) ceiling = Math.min(ceiling, blocks - 1);
      throw error;
    }
  }

  /**
   * Enlarges the store to `blocks` in total if the budget and the backend have room; returns
   * whether it could.
   */
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

  /** Blocks that the store should have to hand out `more` now, announced ones included. */
  function wished(more: number): number {
    let coming = more;
    for (const [blocks, positions] of expected) coming += missing(blocks, positions);
    const all = store.blocks + coming - free.length;
    return Math.max(Math.min(all, cacheBlocks), all - index.idle);
  }

  /** Evicts blocks that no session holds until `want` are free, if there are enough. */
  function evict(want: number): void {
    while (free.length < want) {
      const block = index.evict();
      if (block === null) return;
      freed(block);
    }
  }

  function freed(block: number): void {
    windows?.freed(block);
    free.push(block);
  }

  /** The next free block, with one user. */
  function take(): number {
    const block = free.pop()!;
    users[block] = 1;
    windows?.fresh(block);
    return block;
  }

  function share(block: number): void {
    users[block] = (users[block] ?? 0) + 1;
    index.wake(block);
  }

  function release(block: number): void {
    users[block] = users[block]! - 1;
    if (users[block] > 0) return;
    if (index.has(block)) index.rest(block);
    else freed(block);
    released();
  }

  /**
   * The blocks of the beginning of `tokens`, without the last one, behind which a text can go on.
   */
  function begun(tokens: readonly number[], key?: number): number[] {
    const found = index.find(tokens, Math.floor((tokens.length - 1) / store.blockSize), key);
    while (states && found.length > 0 && !states.has(found.at(-1)!)) found.pop();
    return windows?.begun(found) ?? found;
  }

  function shrink(blocks: number[], positions: number): void {
    const count = Math.ceil(positions / store.blockSize);
    windows?.cut(blocks, count);
    while (blocks.length > count) release(blocks.pop()!);
  }

  function adopt(blocks: number[], tokens: readonly number[], held: number, key?: number): number {
    const own = windows?.usable(blocks, held) ?? held;
    const most = Math.floor((tokens.length - 1) / store.blockSize);
    const found = most * store.blockSize > own ? index.find(tokens, most, key) : [];
    const at = goOn(blocks, windows?.begun(found, true) ?? found, own);
    if (!windows) return at;
    const usable = windows.usable(blocks, at);
    shrink(blocks, usable);
    windows.enter(blocks, usable);
    return usable;
  }

  /** adopt() of blocks that were found, or of the first `held` positions. */
  function goOn(blocks: number[], found: readonly number[], held: number): number {
    shrink(blocks, held);
    const begun = held % store.blockSize;
    if (found.length * store.blockSize > held) {
      for (const block of found) share(block);
      shrink(blocks, 0);
      blocks.push(...found);
      return found.length * store.blockSize;
    }
    const last = blocks[blocks.length - 1];
    if (begun === 0 || last === undefined || !index.has(last)) return held;
    if (users[last]! > 1) {
      shrink(blocks, held - begun);
      return held - begun;
    }
    for (const block of index.forget(last)) freed(block);
    return held;
  }

  return {
    blockSize: store.blockSize,
    get most() {
      return most();
    },
    get available() {
      return free.length + index.idle + most() - store.blocks;
    },
    missing,
    own: (blocks) => blocks.reduce((sum, block) => sum + (users[block] === 1 ? 1 : 0), 0),
    shared(tokens, key) {
      return begun(tokens, key).reduce((sum, block) => sum + ((users[block] ?? 0) > 0 ? 1 : 0), 0);
    },
    watch(listener) {
      released = listener;
    },
    expect(blocks, positions) {
      if (positions > 0) expected.set(blocks, positions);
      else expected.delete(blocks);
    },
    async grow(blocks, positions, span = { from: 0, to: positions }) {
      const want = missing(blocks, positions);
      if (store.blocks + want - free.length > cacheBlocks) evict(want);
      const need = store.blocks + want - free.length;
      if (need > maxBlocks) {
        throw new MemoryError(
          `KV cache: ${need * store.blockSize} positions are needed over all sessions and the memory budget has room for ${maxBlocks * store.blockSize}; close sessions, shorten the context or raise the budget`,
        );
      }
      // The blocks that this sequence takes now are part of what it has announced.
      const ahead = wished(want - Math.min(want, missing(blocks, expected.get(blocks) ?? 0)));
      const doubled = need > store.blocks ? Math.max(2 * store.blocks, 4) : 0;
      await tryEnlarge(Math.max(need, ahead, need > cacheBlocks ? doubled : Math.min(doubled, cacheBlocks)));
      evict(want); // where the backend has no room
      if (want > free.length) await mustEnlarge(store.blocks + want - free.length);
      for (let i = 0; i < want; i++) blocks.push(take());
      await windows?.grow(blocks, span.from, span.to);
    },
    async extend(wants) {
      const want = wants.reduce((sum, { blocks, positions }) => sum + missing(blocks, positions), 0);
      if (store.blocks + want - free.length > cacheBlocks) evict(want);
      const need = store.blocks + want - free.length;
      if (need > store.blocks) (await tryEnlarge(Math.max(need, 2 * store.blocks))) || (await tryEnlarge(need));
      let left = Math.min(want, free.length);
      if (windows) left = await windows.prepare(left);
      for (let short = [...wants]; short.length > 0 && left > 0; ) {
        short = short.filter(({ blocks, positions }) => missing(blocks, positions) > 0);
        for (const { blocks } of short) {
          if (left-- <= 0) break;
          blocks.push(take());
          windows?.extend(blocks);
        }
      }
    },
    shrink,
    adopt,
    states,
    windows,
    resume(claim, tokens, held) {
      if (!states) return adopt(claim.blocks, tokens, held, claim.key);
      const { blocks, state } = claim;
      const at = state?.position === held ? held : 0;
      const found = begun(tokens, claim.key);
      const reached = found.length * store.blockSize;
      if (reached > at) {
        for (const block of found) share(block);
        shrink(blocks, 0);
        if (states.load(claim, found.at(-1)!, reached)) {
          blocks.push(...found);
          return reached;
        }
        for (const block of found.toReversed()) release(block);
        return 0;
      }
      shrink(blocks, at);
      if (state) state.position = at;
      return at;
    },
    stepEnd(total, at, most) {
      const end = Math.min(total, at + most);
      const last = Math.floor((total - 1) / store.blockSize) * store.blockSize;
      const whole = Math.floor(Math.min(end, last) / store.blockSize) * store.blockSize;
      return states && whole > at ? { end: whole, kept: whole === last } : { end, kept: false };
    },
    checkpoint(claim, kept) {
      const { blocks, state, length } = claim;
      const last = blocks[length / store.blockSize - 1];
      if (states && state?.position === length && last !== undefined && index.has(last)) states.keep(claim, last, kept);
    },
    publish(blocks, tokens, key) {
      const full = Math.floor(tokens.length / store.blockSize);
      let i = full;
      while (i > 0 && !index.has(blocks[i - 1]!)) i--;
      for (; i < full; i++) {
        const own = blocks[i]!;
        const block = index.add(own, i === 0 ? null : blocks[i - 1]!, tokens, i, key);
        if (block === own) continue;
        windows?.merge(blocks, i, own, block);
        share(block);
        blocks[i] = block;
        release(own);
      }
      windows?.leave(blocks, tokens.length);
    },
    usage: () => ({
      blockSize: store.blockSize,
      most: most(),
      blocks: store.blocks,
      free: free.length,
      cached: index.idle,
      ...(windows && { panes: { most: windows.most, panes: windows.store.panes, cached: windows.cached } }),
    }),
  };
}
