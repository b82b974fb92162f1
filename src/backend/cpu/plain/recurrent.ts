// Layers with states on the CPU by plain kernels: one array a slot and part.

import { conv } from "../../../../kernels/conv.ts";
import { deltaFactors, deltaRule, FACTORS } from "../../../../kernels/delta_rule.ts";
import { gate } from "../../../../kernels/gate.ts";
import { rmsNorm } from "../../../../kernels/rms_norm.ts";
import { MemoryError, RequestError } from "../../../errors.ts";
import type { Tensor } from "../../../tensor/types.ts";
import type { Batch, Vector } from "../../ops.ts";
import type { Conv, Delta, RecurrentVerbs, StateStore } from "../../recurrent.ts";
import { checkSlot, runsOf } from "../../state_runs.ts";
import type { CpuTensor } from "./arena.ts";
import type { CpuVector } from "./values.ts";

export class CpuStates implements StateStore {
  readonly slotBytes: number;
  readonly #sizes: readonly number[];
  readonly #parts: Float32Array[][] = []; // [slot][part]
  #closed = false;

  constructor(sizes: readonly number[]) {
    this.#sizes = sizes;
    this.slotBytes = 4 * sizes.reduce((sum, size) => sum + size, 0);
  }

  get slots(): number {
    return this.#parts.length;
  }

  async reserve(slots: number): Promise<void> {
    if (this.#closed) throw new RequestError("states: this store is closed; create another with createKv()");
    while (this.slots < slots) this.#parts.push(this.#allocate(slots));
  }

  /** @throws MemoryError */
  #allocate(wanted: number): Float32Array[] {
    try {
      return this.#sizes.map((size) => new Float32Array(size));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      throw new MemoryError(
        `states: those of sequence ${this.slots + 1} of ${wanted} (${this.slotBytes} bytes each) could not be allocated; use fewer sessions`,
      );
    }
  }

  part(slot: number, part: number): Float32Array {
    return this.#parts[slot]![part]!;
  }

  copy(from: number, to: number): void {
    checkSlot(this, from);
    checkSlot(this, to);
    for (const [i, part] of this.#parts[from]!.entries()) this.#parts[to]![i]!.set(part);
  }

  async read(slot: number): Promise<Uint8Array> {
    checkSlot(this, slot);
    const bytes = new Uint8Array(this.slotBytes);
    this.#each(slot, (part, at) => bytes.set(part, at));
    return bytes;
  }

  async write(slot: number, bytes: Uint8Array): Promise<void> {
    checkSlot(this, slot, bytes);
    this.#each(slot, (part, at) => part.set(bytes.subarray(at, at + part.length)));
  }

  #each(slot: number, use: (part: Uint8Array, at: number) => void): void {
    let at = 0;
    for (const part of this.#parts[slot]!) {
      use(new Uint8Array(part.buffer), at);
      at += part.byteLength;
    }
  }

  close(): void {
    this.#parts.length = 0;
    this.#closed = true;
  }
}

/** @param step the batch @param floats storage of a result */
export function plainRecurrent(
  step: () => Batch,
  floats: (shape: readonly number[]) => CpuTensor & { readonly data: Float32Array },
): RecurrentVerbs {
  const data = (x: Tensor) => (x as CpuTensor).data as Float32Array;
  const values = (vector: Vector) => (vector as CpuVector).data;
  /** Each sequence's state, and its rows of tensors. */
  function* runs(states: StateStore, part: number) {
    for (const { first, rows, slot, fresh } of runsOf(step(), states)) {
      const state = (states as CpuStates).part(slot, part);
      if (fresh) state.fill(0);
      const own = (all: Float32Array, T: number) =>
        all.subarray((first * all.length) / T, ((first + rows) * all.length) / T);
      yield { state, own };
    }
  }
  return {
    conv(states, part, x, { channels, taps, weights, gated }: Conv) {
      const T = x.shape[0]!;
      const y = floats([T, channels]);
      for (const { state, own } of runs(states, part))
        conv(own(data(x), T), gated, values(weights), taps, state, own(y.data, T), 0, channels);
      return y;
    },
    delta(states, part, qkv, gates, w: Delta) {
      const T = qkv.shape[0]!;
      const y = floats([T, w.valueHeads * w.valueDim]);
      const factors = floats([T, w.valueHeads * FACTORS]).data;
      deltaFactors(w, data(qkv), data(gates), values(w.aLog), values(w.dtBias), factors, 0, T);
      for (const { state, own } of runs(states, part))
        for (let head = 0; head < w.valueHeads; head++)
          deltaRule(w, own(data(qkv), T), own(factors, T), state, own(y.data, T), head);
      return y;
    },
    gate(x, g) {
      gate(data(x), data(g), false, 0, data(x).length);
      return x;
    },
    gatedNorm(x, g, w, eps) {
      rmsNorm(data(x), values(w), eps, data(x), 0, data(x).length / w.size);
      gate(data(x), data(g), true, 0, data(x).length);
      return x;
    },
  };
}
