// A dispatch that waits for the next verb, which may take its place with one that does both.

import type { Tensor } from "../../../tensor/types.ts";
import type { Buffer } from "../device/device.ts";
import type { Cache } from "./kv.ts";
import type { ExpertRows } from "./routing.ts";
import type { GpuTensor } from "./scratch.ts";

/** Products q | k | v of tokens of different sequences. */
export interface Unturned {
  readonly projection: Buffer;
  /** Of the cache that they go to. */
  readonly keys: Buffer;
  /** Encodes what turns them, without the append. */
  readonly turn: () => void;
}

/**
 * A verb's last dispatch, not encoded until the next verb is known. That verb may replace it by one
 * dispatch that does both: a sum with the residual, a projection with the append to the cache, or a
 * router with the rows that its experts take.
 */
export interface PendingDispatch {
  readonly tensor: GpuTensor;
  /** Encodes it with a sum into `to`, which it may not read. */
  readonly addTo?: (to: GpuTensor) => void;
  readonly reads?: Buffer;
  /** Whether it may wait on while ffn() of the same rows is encoded. */
  readonly waits?: boolean;
  /** Encodes it with an append to the cache; returns what of it waits for attention. */
  readonly append?: (cache: Cache) => PendingDispatch | null;
  /** It turns this projection and appends it, which attention may do itself. */
  readonly unturned?: Unturned;
  /** Encodes it with rows for the experts, made of those of `rowsOf`. */
  readonly rows?: (to: ExpertRows) => void;
  readonly rowsOf?: GpuTensor;
  /** Encodes it alone. */
  readonly alone: () => void;
}

/** What waits: the dispatch of the last verb, and perhaps one beside it. */
export class Waiting {
  last: PendingDispatch | null = null;
  /** Of the experts of a layer that has shared ones too. */
  beside: PendingDispatch | null = null;
  /** What attention has turned for itself: the tensor is not written. */
  #left: PendingDispatch | null = null;

  clear(): void {
    this.last = null;
    this.beside = null;
    this.#left = null;
  }

  /** Encodes both, and what was left of `used`. */
  settle(used?: Tensor): void {
    const left = this.#left;
    const waiting = [this.beside, this.last, left?.tensor === used ? left : null];
    this.clear();
    if (left && left.tensor !== used) this.#left = left;
    for (const one of waiting) one?.alone();
  }

  /**
   * Encodes the projection that makes `tensor`, if it waits, with an append to the cache: not to
   * one of q8, whose rows no workgroup of a projection has whole.
   */
  append(tensor: Tensor, cache: Cache): boolean {
    const { last } = this;
    if (!last?.append || last.tensor !== tensor || cache.store.precision === "q8") return false;
    this.last = null; // so that nothing below settles it
    this.last = last.append(cache);
    return true;
  }

  /** Takes the projection of `tensor` from its turn and append to the same cache, if that waits. */
  takeUnturned(tensor: Tensor, keys: Buffer): Buffer | null {
    const { last } = this;
    if (!last?.unturned || last.tensor !== tensor || last.unturned.keys !== keys) return null;
    this.last = null;
    this.#left = { tensor: last.tensor, alone: last.unturned.turn };
    return last.unturned.projection;
  }

  /**
   * Takes the sum over experts of the rows that ffn() computes of too: its last dispatch reads
   * nothing that this writes. Encodes what waits else, if a gate reads it.
   */
  takeBeside(gate: boolean): PendingDispatch | null {
    if (this.last?.waits) [this.beside, this.last] = [this.last, null];
    else if (gate) this.settle();
    const { beside } = this;
    this.beside = null; // so that nothing settles it
    return beside;
  }

  /** The projection of what is left is about to be overwritten. @returns the tensor of it */
  takeLeft(): GpuTensor | null {
    const left = this.#left;
    this.#left = null;
    return left?.tensor ?? null;
  }

  /** Takes the one that makes `from`, if it can be encoded with a sum into `to`. */
  takeSum(from: GpuTensor, to: GpuTensor): PendingDispatch["addTo"] {
    if (this.last?.tensor === to || this.beside?.tensor === to) return undefined; // to be written yet
    const fits = (one: PendingDispatch | null) => one?.addTo && one.tensor === from && one.reads !== to.buffer;
    const found = [this.last, this.beside].find(fits);
    if (found === this.last) this.last = null;
    else if (found) this.beside = null;
    return found?.addTo;
  }
}
