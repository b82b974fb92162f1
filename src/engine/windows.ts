// Hands out panes, and knows who holds them. A pane is what the layers with a sliding window keep
// of a block of the KV cache (backend/kv_store.ts).
//
// A sequence holds the panes of those blocks that its next token sees, and of those that its step
// writes. As it goes on it leaves panes behind. They stay with their blocks as long as no other
// block needs them, so that texts with the same beginning can go on from there; those of
// checkpoints stay longest:
//   - the window before the end of a prompt and of an answer,
//   - the window before a place where texts were seen to part.
// A text goes on only from where its whole window has panes: else from an earlier place, at worst
// from its beginning.
//
// Example, blocks of 4, a window of 6, a sequence of 18 positions: its next token sees positions 13
// to 18, so it holds the panes of blocks 3 and 4, and leaves that of block 3 at 22.
//
// Panes belong to blocks, and are no ring a sequence, because sequences share blocks.
// A pane changes its block between two steps only; steps in flight may read it until then.

import type { PaneStore } from "../backend/ops.ts";
import { MemoryError } from "../errors.ts";
import type { PaneNeeds } from "./panes.ts";

/** Checkpoints whose panes stay although the store would have to grow for other blocks. */
const CHECKPOINTS = 8;

/** A list of block ids, which stands for its sequence. */
type Blocks = readonly number[];

export class Windows {
  readonly store: PaneStore;
  readonly #blockSize: number;
  readonly #needs: PaneNeeds;
  #most: number;
  readonly #free: number[]; // panes
  /** The block that had a pane last, which the store may still know it by. */
  readonly #owner: number[] = [];
  /** By block. */
  readonly #panes = new Map<number, number>();
  readonly #users = new Map<number, number>();
  /** The part of its blocks whose panes a sequence holds. */
  readonly #held = new Map<Blocks, { readonly from: number; readonly to: number }>();
  /** Sequences that must get all that one can need. */
  readonly #pledged = new Set<Blocks>();
  /** Blocks of checkpoints. */
  readonly #marked = new Set<number>();
  /** Blocks whose panes no sequence holds, the one left first at the front; and the marked ones. */
  readonly #idle = new Set<number>();
  readonly #kept = new Set<number>();

  /** @param most panes */
  constructor(store: PaneStore, blockSize: number, needs: PaneNeeds, most: number) {
    this.store = store;
    this.#blockSize = blockSize;
    this.#needs = needs;
    this.#most = Math.min(most, store.maxPanes ?? most);
    this.#free = Array.from({ length: store.panes }, (_, i) => store.panes - 1 - i);
  }

  /** Most panes that there can be. */
  get most(): number {
    return Math.max(this.#most, this.store.panes);
  }

  /** Panes of blocks that no sequence holds. */
  get cached(): number {
    return this.#idle.size + this.#kept.size;
  }

  /**
   * Whether there are panes for sequences of so many blocks at once, some of which are pledged all.
   */
  fits(sequences: readonly number[], pledged: number): boolean {
    const { each, chunk } = this.#needs;
    const own = sequences.reduce((sum, blocks) => sum + Math.min(each, blocks), 0);
    return own + (pledged + 1) * chunk <= this.most;
  }

  /** The first block that a token at `position` sees. */
  #first(position: number): number {
    return Math.floor(Math.max(0, position + 1 - this.store.window) / this.#blockSize);
  }

  /** The most positions, `position` at most, from which the text of `blocks` can go on. */
  usable(blocks: Blocks, position: number): number {
    for (let at = position; ; ) {
      let i = Math.ceil(at / this.#blockSize) - 1;
      const first = this.#first(at);
      while (i >= first && this.#panes.has(blocks[i]!)) i--;
      if (i < first) return at;
      at = i * this.#blockSize;
    }
  }

  /**
   * Those of the blocks that a text can go on behind; `parts`: it parts from others after them, and
   * the next one that does is to find the window there.
   */
  begun(blocks: Blocks, parts = false): number[] {
    const length = blocks.length * this.#blockSize;
    const usable = this.usable(blocks, length);
    if (parts && usable < length) this.keep(blocks, length);
    return blocks.slice(0, usable / this.#blockSize);
  }

  /**
   * Panes that tokens from `position` on to `end` lack, or that the sequence lacks of those that it
   * is pledged.
   */
  wanted(blocks: Blocks, position: number, end: number): number {
    const missing = this.missing(blocks, position, end);
    return this.#pledged.has(blocks) ? Math.max(missing, this.#owed(blocks)) : missing;
  }

  /** Panes that a sequence which is pledged all that one can need does not hold. */
  #owed(blocks: Blocks): number {
    const { from, to } = this.#held.get(blocks) ?? { from: 0, to: 0 };
    return Math.max(0, Math.min(this.most, this.#needs.each + this.#needs.chunk) - (to - from));
  }

  /** Panes that tokens from `position` on to `end` lack. */
  missing(blocks: Blocks, position: number, end: number): number {
    let missing = 0;
    for (let i = this.#first(position); i < Math.ceil(end / this.#blockSize); i++)
      if (i >= blocks.length || !this.#panes.has(blocks[i]!)) missing++;
    return missing;
  }

  /** Panes that a sequence can have without taking one that another holds, or is pledged. */
  available(blocks: Blocks | null): number {
    let owed = 0;
    for (const other of this.#pledged) if (other !== blocks) owed += this.#owed(other);
    return this.#free.length + this.cached + this.most - this.store.panes - owed;
  }

  /** Pledges the sequence all the panes that one can need at a time. */
  pledge(blocks: Blocks): void {
    this.#pledged.add(blocks);
  }

  unpledge(blocks: Blocks): void {
    this.#pledged.delete(blocks);
  }

  /** The sequence goes on at `position`, which is usable: it holds what its next token sees. */
  enter(blocks: Blocks, position: number): void {
    this.#hold(blocks, this.#first(position), blocks.length);
  }

  /** The first position whose panes a sequence of `length` positions holds. */
  seen(length: number): number {
    return this.#first(length) * this.#blockSize;
  }

  /** Leaves what a token at `position` no longer sees. */
  leave(blocks: Blocks, position: number): void {
    const { from, to } = this.#held.get(blocks) ?? { from: 0, to: 0 };
    const first = this.#first(position);
    if (first > from) this.#hold(blocks, Math.min(first, to), to);
  }

  /** The sequence is about to give back its blocks from block `count` on. */
  cut(blocks: Blocks, count: number): void {
    const held = this.#held.get(blocks);
    if (held && held.to > count) this.#hold(blocks, Math.min(held.from, count), count);
    if (count > 0) return;
    this.#held.delete(blocks);
    this.#pledged.delete(blocks);
  }

  #hold(blocks: Blocks, from: number, to: number): void {
    const before = this.#held.get(blocks) ?? { from: 0, to: 0 };
    for (let i = from; i < to; i++) if (i < before.from || i >= before.to) this.#take(blocks[i]!);
    for (let i = before.from; i < before.to; i++) if (i < from || i >= to) this.#drop(blocks[i]!);
    this.#held.set(blocks, { from, to });
  }

  #take(block: number): void {
    if (!this.#panes.has(block)) throw new Error(`block ${block} has no pane to hold`);
    this.#users.set(block, (this.#users.get(block) ?? 0) + 1);
    this.#idle.delete(block);
    this.#kept.delete(block);
  }

  #drop(block: number): void {
    const users = this.#users.get(block)! - 1;
    this.#users.set(block, users);
    if (users > 0) return;
    this.#users.delete(block);
    (this.#marked.has(block) ? this.#kept : this.#idle).add(block);
  }

  /**
   * Gives the sequence panes for its tokens from `position` on to `end`, whose blocks it has. Only
   * between steps.
   * @throws MemoryError where there are fewer than are missing
   */
  async grow(blocks: Blocks, position: number, end: number): Promise<void> {
    const [first, last] = [this.#first(position), Math.ceil(end / this.#blockSize)];
    let to = first;
    while (to < last && this.#panes.has(blocks[to]!)) to++;
    this.#hold(blocks, first, to); // so that they do not go to the others
    const want = this.missing(blocks, position, end);
    await this.#provide(want);
    if (this.#free.length < want)
      throw new MemoryError(
        `KV cache: ${want} panes of ${this.store.paneBytes} bytes are needed for layers with windows and ${this.#free.length} are free; close sessions, shorten the context or raise the budget`,
      );
    for (let i = first; i < last; i++) if (!this.#panes.has(blocks[i]!)) this.#give(blocks[i]!);
    this.#hold(blocks, first, last);
  }

  /**
   * Prepares panes for further blocks, at most `want`, as far as there is room without those of
   * checkpoints; returns how many.
   */
  async prepare(want: number): Promise<number> {
    const most = Math.max(0, Math.min(want, this.available(null) - this.#kept.size));
    await this.#provide(most);
    return Math.min(most, this.#free.length);
  }

  /** Gives a pane that was prepared to the next block of the sequence, its last one. */
  extend(blocks: Blocks): void {
    const last = blocks.length - 1;
    this.#give(blocks[last]!);
    this.#hold(blocks, this.#held.get(blocks)?.from ?? last, last + 1);
  }

  #give(block: number): void {
    const pane = this.#free.pop()!;
    const before = this.#owner[pane];
    if (before !== undefined && !this.#panes.has(before)) this.store.assign(before, null);
    this.#panes.set(block, pane);
    this.#owner[pane] = block;
    this.store.assign(block, pane);
  }

  /** Frees up to `want` panes: idle ones first, then new ones, then those of checkpoints. */
  async #provide(want: number): Promise<void> {
    this.#empty(this.#idle, want, 0);
    this.#empty(this.#kept, want, CHECKPOINTS * this.#needs.each);
    if (this.#free.length < want) await this.#enlarge(this.store.panes + want - this.#free.length);
    this.#empty(this.#kept, want, 0);
  }

  /** Takes panes of some blocks, the first ones, until `want` are free or `left` are left. */
  #empty(blocks: Set<number>, want: number, left: number): void {
    for (const block of blocks) {
      if (this.#free.length >= want || blocks.size <= left) return;
      blocks.delete(block);
      this.store.assign(block, null);
      this.#lose(block);
    }
  }

  /** Makes `need` panes, or as many as can be had, and a few more where it is easy. */
  async #enlarge(need: number): Promise<void> {
    const { panes } = this.store;
    const { each, chunk } = this.#needs;
    const ahead = Math.min(2 * panes, panes + each + chunk);
    for (const wanted of new Set([Math.max(need, ahead), need].map((count) => Math.min(count, this.#most)))) {
      if (wanted <= this.store.panes) return;
      try {
        await this.store.reserve(wanted);
      } catch (error) {
        if (!(error instanceof MemoryError)) throw error;
        this.#most = Math.min(this.#most, wanted - 1);
      }
      for (let pane = this.store.panes - 1; pane >= panes; pane--) this.#free.push(pane);
      if (this.store.panes > panes) return;
    }
  }

  /** A block is handed out: it has no pane, whatever it had before. Only between steps. */
  fresh(block: number): void {
    this.store.assign(block, null);
  }

  /** A block is free: its pane, if it has one, is as well. */
  freed(block: number): void {
    this.#marked.delete(block);
    this.#idle.delete(block);
    this.#kept.delete(block);
    this.#lose(block);
  }

  #lose(block: number): void {
    const pane = this.#panes.get(block);
    if (pane === undefined) return;
    this.#panes.delete(block);
    this.#free.push(pane);
  }

  /** Block `own` of a sequence, its block `i`, gives way to one with the same contents. */
  merge(blocks: Blocks, i: number, own: number, block: number): void {
    const held = this.#held.get(blocks);
    if (!held || i < held.from || i >= held.to) return;
    if (this.#panes.has(block)) {
      this.#take(block);
      this.#drop(own);
      return;
    }
    const pane = this.#panes.get(own)!;
    this.#panes.delete(own);
    this.#users.delete(own);
    this.#panes.set(block, pane);
    this.#users.set(block, 1);
    this.#owner[pane] = block;
    this.store.assign(block, pane);
  }

  /** Makes a checkpoint of the window before the last whole block of `length` positions. */
  keep(blocks: Blocks, length: number): void {
    const last = Math.floor(length / this.#blockSize);
    for (let i = this.#first(last * this.#blockSize); i < last; i++) {
      const block = blocks[i]!;
      this.#marked.add(block);
      if (this.#idle.delete(block)) this.#kept.add(block);
    }
  }
}
