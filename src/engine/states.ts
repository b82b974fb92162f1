// Slots of a state store: one for each sequence that has begun, the others for checkpoints.
//
// Layers with states (backend/recurrent.ts) cannot go back to an earlier position. So the states
// after a block of a text are copied to a slot of their own, a checkpoint, and a text that shares
// the block's beginning goes on from there. Checkpoints are made
//   - at the last whole block of a prompt, and of an answer, as far as it has come: steps that run
//     ahead wait there (stream.ts), because what they do beyond an answer's end is lost with them,
//   - every INTERVAL positions of a long text.
// Where slots run short, the checkpoint that was used least recently is given up; sequences give up
// theirs as they give up their blocks (room.ts).

import type { StateStore } from "../backend/recurrent.ts";
import type { Claim } from "./claim.ts";

/** Positions between checkpoints within a text. */
const INTERVAL = 1024;

export class States {
  readonly store: StateStore;
  readonly #free: number[];
  /** Slots by the block whose end they belong to, the least recently used first. */
  readonly #checkpoints = new Map<number, number>();
  /** The last checkpoint of a sequence that goes on: replaced by its next one. */
  readonly #last = new Map<Claim, number>();

  constructor(store: StateStore) {
    this.store = store;
    this.#free = Array.from({ length: store.slots }, (_, i) => store.slots - 1 - i);
  }

  /** Slots that exist: most sequences that can go on at once. */
  get most(): number {
    return this.store.slots;
  }

  /** Whether a slot can be had without taking one from a sequence. */
  get available(): boolean {
    return this.#free.length > 0 || this.#checkpoints.size > 0;
  }

  /** Whether a text can go on behind this block. */
  has(block: number): boolean {
    return this.#checkpoints.has(block);
  }

  /**
   * Gives a sequence a slot, which holds nothing yet, if it has none and one is to be had.
   */
  take(claim: Claim): boolean {
    if (claim.state) return true;
    const slot = this.#free.pop() ?? this.#giveUp();
    if (slot === null) return false;
    claim.state = { slot, position: 0 };
    return true;
  }

  /** Takes a sequence's slot back. */
  release(claim: Claim): void {
    this.#last.delete(claim);
    if (!claim.state) return;
    this.#free.push(claim.state.slot);
    claim.state = null;
  }

  /**
   * Brings a sequence to the end of `block`, its `position`; false where it can have no slot.
   */
  load(claim: Claim, block: number, position: number): boolean {
    const slot = this.#checkpoints.get(block);
    if (slot === undefined) return false;
    this.#checkpoints.delete(block); // not to be given up for the sequence's own slot
    const taken = this.take(claim);
    this.#checkpoints.set(block, slot);
    if (!taken) return false;
    this.store.copy(slot, claim.state!.slot);
    claim.state!.position = position;
    this.#last.delete(claim);
    return true;
  }

  /**
   * Makes a checkpoint of a sequence that has come to the end of `block`, in place of its last one
   * unless that is to be kept.
   */
  keep(claim: Claim, block: number, kept: boolean): void {
    const { state } = claim;
    if (!state?.position || this.has(block)) return;
    const last = this.#last.get(claim);
    this.#last.delete(claim);
    if (last !== undefined) this.forget(last);
    const slot = this.#free.pop() ?? this.#giveUp();
    if (slot === null) return;
    this.store.copy(state.slot, slot);
    this.#checkpoints.set(block, slot);
    if (!kept && state.position % INTERVAL !== 0) this.#last.set(claim, block);
  }

  /** A block's contents are about to change. */
  forget(block: number): void {
    const slot = this.#checkpoints.get(block);
    if (slot === undefined) return;
    this.#checkpoints.delete(block);
    this.#free.push(slot);
  }

  /** The slot of the least recently used checkpoint, or null. */
  #giveUp(): number | null {
    for (const [block, slot] of this.#checkpoints) {
      this.#checkpoints.delete(block);
      return slot;
    }
    return null;
  }
}
