// A claim: one sequence's blocks of the KV cache, and the state of the work that wants them.

import type { RopeLengths } from "../backend/rope.ts";

/**
 * A consumer that has not requested a token for this many milliseconds is idle: other answers may
 * evict its blocks.
 */
export const PAUSE_MS = 1000;

export class Claim {
  /** Block ids, in order, that cover the first positions of the sequence. */
  readonly blocks: number[] = [];
  /** Positions whose keys and values are in the cache. */
  length = 0;
  /**
   * Where the model's layers have states: the sequence's slot (states.ts), and how many positions
   * it has taken in; null: unknown, during a step and after one that failed.
   */
  state: { readonly slot: number; position: number | null } | null = null;
  /** The length at which its text was last read as a prompt, and its key: see RopeLengths. */
  anchor = 0;
  key = 0;
  /** Place of the current work in the order of arrival; null: there is no work. */
  order: number | null = null;
  /** Most positions that the work may use. */
  limit = 0;
  /**
   * Positions that the work needs from the start, and how many of their blocks others held when it
   * was admitted.
   */
  size = 0;
  shared = 0;
  /** Whether it may take blocks. */
  admitted = false;
  /** Holds all the blocks that it will need, and cannot be interrupted. */
  pinned = false;
  /** Whether a consumer waits for the next token. */
  asked = false;
  /** When `asked` was last true, or when the work ended: performance.now(). */
  since = 0;
  /**
   * Called between steps, before the blocks are taken away: saves what is needed to compute the
   * sequence again.
   */
  onEvict: () => void = () => {};

  /** Whether even younger work may evict the blocks: no consumer waits for this work. */
  get idle(): boolean {
    if (this.pinned) return false;
    return !this.admitted || (!this.asked && performance.now() - this.since >= PAUSE_MS);
  }

  /**
   * The text is read as a prompt of n tokens. False: its keys and values in the cache are not those
   * of such a text.
   */
  readAs(n: number, lengths: RopeLengths | null): boolean {
    const key = lengths?.key(n) ?? 0;
    const same = key === this.key;
    this.anchor = lengths ? n : 0;
    this.key = key;
    return same;
  }

  /** The consumer waits for a token. */
  ask(): void {
    this.asked = true;
  }

  /** The consumer has its token. */
  rest(): void {
    this.asked = false;
    this.since = performance.now();
  }

  /** Whether its states, if it has any, are those of its positions. */
  get whole(): boolean {
    return !this.state || this.state.position === this.length;
  }

  /** A step that takes in positions from `position` on begins. */
  stepping(position: number): void {
    if (!this.state) return;
    const { position: at } = this.state;
    if (at !== position) throw new Error(`a step at position ${position} of a sequence whose states are at ${at}`);
    this.state.position = null;
  }

  /** The steps that have begun are over: its states, if it has any, have taken in so many. */
  stepped(positions: number): void {
    if (this.state) this.state.position = positions;
  }

  /** The step has computed all positions up to `length`. */
  reached(length: number): void {
    this.length = length;
    this.stepped(length);
  }

  /** The blocks are about to be taken away. */
  evict(): void {
    this.admitted = false;
    this.onEvict();
    this.length = 0;
  }
}

/**
 * What a step rejects with when the blocks of its sequence were evicted: its tokens must be
 * computed again.
 */
export class Evicted extends Error {
  override readonly name = "Evicted";
}
