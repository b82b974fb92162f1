// Storage of a step's tensors: one slab that every step reuses.

import type { Tensor } from "../../../tensor/types.ts";

/** A tensor of the CPU backend: f32 values, or u32 ids. */
export interface CpuTensor extends Tensor {
  readonly data: Float32Array | Uint32Array;
}

// Fits all tensors of a decoding step of a model with 141 billion parameters (8.7 MB). A long
// prompt's tensors do not fit and are garbage collected instead: keeping them would cost a
// gigabyte, and allocating them costs nothing compared with their arithmetic.
const SLAB_BYTES = 16 * 2 ** 20;

export class Arena {
  #slab = new ArrayBuffer(0);
  #used = 0;

  get bytes(): number {
    return this.#slab.byteLength;
  }

  /** Ends the life of all tensors. */
  reset(): void {
    this.#used = 0;
  }

  /** Frees the slab. */
  close(): void {
    this.#slab = new ArrayBuffer(0);
    this.reset();
  }

  /** n floats with undefined contents. */
  floats(n: number): Float32Array {
    const at = this.#take(n);
    return at === null ? new Float32Array(n) : new Float32Array(this.#slab, at, n);
  }

  /** n integers with undefined contents. */
  ids(n: number): Uint32Array {
    const at = this.#take(n);
    return at === null ? new Uint32Array(n) : new Uint32Array(this.#slab, at, n);
  }

  /** Byte offset of 4n free bytes of the slab, or null if they do not fit. */
  #take(n: number): number | null {
    if (this.#slab.byteLength === 0) this.#slab = new ArrayBuffer(SLAB_BYTES);
    const at = this.#used;
    if (at + 4 * n > SLAB_BYTES) return null;
    this.#used += 4 * n;
    return at;
  }
}
