// Layers with states: a slot is one array in a heap, home or one of their own, where its layers'
// verbs are computed.

import { deltaFactors, FACTORS } from "../../../kernels/delta_rule.ts";
import { RequestError } from "../../errors.ts";
import type { Tensor } from "../../tensor/types.ts";
import type { Batch, Vector } from "../ops.ts";
import type { Conv, Delta, RecurrentVerbs, StateStore } from "../recurrent.ts";
import { checkSlot, runsOf } from "../state_runs.ts";
import type { Heap } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import type { SimdProducts } from "./simd_products.ts";
import { at, type SimdTensor, type SimdVector, sizes } from "./simd_values.ts";
import type { Pending } from "./slices.ts";

/** Channels of a unit of the convolution (kernels/conv.simd.ts). */
const BLOCK = 64;

export class SimdStates implements StateStore {
  readonly slotBytes: number;
  readonly #offsets: number[] = []; // of each part, in bytes
  readonly #slots: number[] = []; // addresses
  readonly #heaps: SimdHeaps;
  #heap: Heap | null = null;
  #closed = false;

  constructor(parts: readonly number[], heaps: SimdHeaps) {
    let bytes = 0;
    for (const part of parts) {
      this.#offsets.push(bytes);
      bytes += 4 * part;
    }
    this.slotBytes = bytes;
    this.#heaps = heaps;
  }

  get slots(): number {
    return this.#slots.length;
  }

  /** The heap of all slots. */
  get heap(): Heap {
    return this.#heap!;
  }

  async reserve(slots: number): Promise<void> {
    if (this.#closed) throw new RequestError("states: this store is closed; create another with createKv()");
    this.#heap ??= await this.#heaps.forKv(slots * this.slotBytes <= this.#heaps.limits.homeKv);
    while (this.slots < slots)
      this.#slots.push(this.heap.allocate(this.slotBytes, `state ${this.slots + 1} of ${slots} sequences`));
  }

  /** A table of the batch's runs for kernels: [n, 4] u32 in the heap. */
  table(batch: Batch, part: number): { readonly at: number; readonly runs: number } {
    const runs = runsOf(batch, this);
    const at = this.#heaps.workspace(this.heap).at("runs", 16 * runs.length);
    const offset = this.#offsets[part]!;
    for (const [i, { first, rows, slot, fresh }] of runs.entries())
      this.heap.words.set([first, rows, this.#slots[slot]! + offset, Number(fresh)], at / 4 + 4 * i);
    return { at, runs: runs.length };
  }

  copy(from: number, to: number): void {
    checkSlot(this, from);
    checkSlot(this, to);
    this.heap.bytes.set(this.#bytes(from), this.#slots[to]!);
  }

  async read(slot: number): Promise<Uint8Array> {
    checkSlot(this, slot);
    return Uint8Array.from(this.#bytes(slot));
  }

  async write(slot: number, bytes: Uint8Array): Promise<void> {
    checkSlot(this, slot, bytes);
    this.#bytes(slot).set(bytes);
  }

  #bytes(slot: number): Uint8Array {
    const at = this.#slots[slot]!;
    return this.heap.bytes.subarray(at, at + this.slotBytes);
  }

  close(): void {
    for (const at of this.#slots) this.heap.free(at, this.slotBytes);
    this.#slots.length = 0;
    this.#closed = true;
  }
}

/** What the verbs need of the backend. */
interface Context {
  readonly heaps: SimdHeaps;
  readonly home: Heap;
  readonly products: SimdProducts;
  readonly later: Pending;
  step(): Batch;
  tensor(verb: string, T: number, width: number): SimdTensor;
}

export function simdRecurrent({ heaps, home, products, later, step, tensor }: Context): RecurrentVerbs {
  const { pool } = heaps;
  const floats = (at: number, count: number) => home.floats.subarray(at / 4, at / 4 + count);
  const weightsAt = (vector: Vector) => (vector as SimdVector).at;
  /** The batch and the states of a verb. Reports a missing slot immediately. */
  const ready = (store: StateStore) => {
    const [batch, states] = [step(), store as SimdStates];
    runsOf(batch, states);
    return { batch, states };
  };
  /** Where a kernel in `heap` writes what goes to `y` [bytes] in the home heap. */
  const target = (heap: Heap, y: number, bytes: number) =>
    heap === home ? y : heaps.workspace(heap).at("recurrent", bytes);

  const gateLater = (x: Tensor, g: Tensor, silu: boolean) => {
    const [T, width] = sizes(x);
    later.push(() => pool.run("gate", home, T * width, products.rowsOf(1), at(x), at(g), Number(silu)));
  };

  return {
    conv(store: StateStore, part: number, x: Tensor, { channels, taps, weights, gated }: Conv) {
      const { batch, states } = ready(store);
      const [T, width] = sizes(x);
      const y = tensor("conv", T, channels);
      later.push(() => {
        const { heap } = states;
        const table = states.table(batch, part);
        const from = products.inHeap(heap, "recurrent input", at(x), 4 * T * width);
        const w = products.inHeap(heap, "conv weights", weightsAt(weights), 4 * taps * channels);
        const to = target(heap, y.at, 4 * T * channels);
        const grain = products.rowsOf((Math.min(BLOCK, channels) * taps * T) / table.runs);
        const units = Math.ceil(channels / BLOCK) * table.runs;
        pool.run("conv", heap, units, grain, from, Number(gated), w, taps, channels, table.at, to);
        products.copy(heap, to, home, y.at, 4 * T * channels);
      });
      return y;
    },

    delta(store: StateStore, part: number, qkv: Tensor, gates: Tensor, w: Delta) {
      const { batch, states } = ready(store);
      const { keyHeads, valueHeads, keyDim, valueDim } = w;
      const [T, width] = sizes(qkv);
      const values = valueHeads * valueDim;
      const y = tensor("delta", T, values);
      later.push(function* () {
        const { heap } = states;
        const count = T * valueHeads * FACTORS;
        const made = heaps.workspace(home).at("delta factors", 4 * count);
        const [aLog, dtBias] = [w.aLog, w.dtBias].map((v) => floats(weightsAt(v), valueHeads));
        const [u, g] = [floats(at(qkv), T * width), floats(at(gates), 2 * T * valueHeads)];
        deltaFactors(w, u, g, aLog!, dtBias!, floats(made, count), 0, T);
        const table = states.table(batch, part);
        const from = products.inHeap(heap, "recurrent input", at(qkv), 4 * T * width);
        const factors = products.inHeap(heap, "recurrent factors", made, 4 * count);
        const to = target(heap, y.at, 4 * T * values);
        const units = table.runs * valueHeads;
        const macs = (4 * keyDim * values * T) / units;
        const grain = Math.max(1, Math.ceil(products.grain.floatMacs / macs));
        const args = [from, factors, keyHeads, valueHeads, keyDim, valueDim, Number(w.tiled), table.at, to];
        yield* products.slices.run("deltaRule", heap, units, grain, macs, args);
        products.copy(heap, to, home, y.at, 4 * T * values);
      });
      return y;
    },

    gate(x: Tensor, g: Tensor) {
      gateLater(x, g, false);
      return x;
    },

    gatedNorm(x: Tensor, g: Tensor, w: Vector, eps: number) {
      const [T, width] = sizes(x);
      const [runs, D] = [(T * width) / w.size, w.size];
      later.push(() => pool.run("rmsNorm", home, runs, products.rowsOf(D), at(x), weightsAt(w), eps, D, at(x)));
      gateLater(x, g, true);
      return x;
    },
  };
}
