// A claim: one sequence's blocks of the KV cache, and what is known of the work that wants them.

import type { Sequence } from "./work.ts";

/** An answer whose consumer has not asked for so many milliseconds is not counted on: its blocks are there for others. */
export const PAUSE_MS = 1000;

export class Claim implements Sequence {
  readonly blocks: number[] = [];
  length = 0;
  /** Place in the order of arrival of the work under way; null: none is. */
  order: number | null = null;
  /** Positions that the work may come to use. */
  limit = 0;
  /** Positions that it needs from the start, and how many blocks of them others held when it was admitted. */
  size = 0;
  shared = 0;
  /** Whether it may take blocks. */
  admitted = false;
  /** Has all the blocks that it will need, and cannot be interrupted. */
  pinned = false;
  /** Whether a consumer waits for the work's next token. */
  asked = false;
  /** When that was last so, or when the work ended: performance.now(). */
  since = 0;
  /** Keeps what is needed to compute the sequence again, before its blocks are taken away: between steps. */
  onGiveUp: () => void = () => {};

  /** Whether others may take the blocks although this work is older, or no younger: nobody waits for it. */
  get idle(): boolean {
    if (this.pinned) return false;
    return !this.admitted || (!this.asked && performance.now() - this.since >= PAUSE_MS);
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

  /** The blocks are about to be taken away. */
  giveUp(): void {
    this.admitted = false;
    this.onGiveUp();
    this.length = 0;
  }
}

/** What a step rejects with when its sequence has given up its blocks: its tokens are to be computed again. */
export class GivenUp extends Error {
  override readonly name = "GivenUp";
}
