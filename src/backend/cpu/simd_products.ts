// Products with packed weights: inputs quantized or padded, run in the heap that holds the weights, on as many threads as pay.

import { GROUP } from "../../tensor/pack.ts";
import { PRECISIONS } from "../../tensor/types.ts";
import type { Heap } from "./heap.ts";
import type { Pool } from "./pool.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import type { SimdBlock } from "./simd_load.ts";

/** Rows of x as the products take them: f32 padded to whole groups, or quantized. */
export interface Input {
  readonly at: number;
  readonly rowBytes: number;
}

/** Rows of weights in a block: a lane each. */
const BLOCK_ROWS = 8;
/** Added to a precision's number where activations are quantized (kernels/lib/product.simd.ts). */
const INT8_FORM = 4;
// What is sooner computed than handed to another thread, which takes a few microseconds.
const GRAIN = { int8Macs: 200_000, floatMacs: 50_000, values: 8192 } as const;

export class SimdProducts {
  /** Work that stays on the calling thread, in multiply-adds of either kind, or in values that are read and written once. */
  readonly grain: { readonly int8Macs: number; readonly floatMacs: number; readonly values: number };
  readonly #heaps: SimdHeaps;
  readonly #home: Heap;
  readonly #pool: Pool;
  readonly #int8: boolean;

  /** `int8`: q8 and q4 weights are multiplied by activations rounded to int8. */
  constructor(heaps: SimdHeaps, home: Heap, int8: boolean) {
    this.#heaps = heaps;
    this.#home = home;
    this.#pool = heaps.pool;
    this.#int8 = int8;
    this.grain = heaps.limits.shareAll ? { int8Macs: 0, floatMacs: 0, values: 0 } : GRAIN;
  }

  /** x [T, D] · wᵀ, both x and y in the home heap. */
  product(x: number, T: number, w: SimdBlock, y: number): void {
    const { heap } = w;
    const input = this.input(this.#home, x, T, w, "input");
    const from = this.inHeap(heap, "copied input", input.at, T * input.rowBytes);
    const to = heap === this.#home ? y : this.#heaps.slots(heap).at("output", 4 * T * w.rows);
    this.#multiply("matmul", w, from, T, to);
    this.copy(heap, to, this.#home, y, 4 * T * w.rows);
  }

  /** Rows of `all` that `tokens` (address, count n) name, through one expert: address of [n, D] in the home heap. */
  expert(all: Input, tokens: number, n: number, T: number, w13: SimdBlock, w2: SimdBlock): number {
    const { heap } = w13;
    const slots = this.#heaps.slots(heap);
    let gathered = all.at;
    if (n < T) {
      gathered = this.#heaps.slots(this.#home).at("gathered", n * all.rowBytes);
      this.#pool.run("rows", this.#home, n, this.rowsOf(all.rowBytes / 4), all.at, tokens, all.rowBytes, gathered);
    }
    const x = this.inHeap(heap, "gathered rows", gathered, n * all.rowBytes);
    const F = w13.rows / 2;
    const h = slots.at("hidden", 4 * n * F);
    this.#multiply("expertUp", w13, x, n, h);
    const input = this.input(heap, h, n, w2, "hidden input");
    const y = slots.at("down", 4 * n * w2.rows);
    this.#multiply("matmul", w2, input.at, n, y);
    if (heap === this.#home) return y;
    const down = this.#heaps.slots(this.#home).at("down", 4 * n * w2.rows);
    this.copy(heap, y, this.#home, down, 4 * n * w2.rows);
    return down;
  }

  /** A kernel of lib/product.simd.ts over all rows of w. */
  #multiply(job: "matmul" | "expertUp", w: SimdBlock, x: number, T: number, y: number): void {
    const blocks = Math.ceil(w.rows / BLOCK_ROWS);
    const int8 = this.#int8 && w.precision >= 2;
    const form = w.precision + (int8 ? INT8_FORM : 0);
    const macs = BLOCK_ROWS * w.groups * GROUP * Math.max(T, 1);
    // Ranges of columns that end within a pair of cache lines would make two threads write to it in turns.
    const lines = job === "expertUp" ? 8 : 4;
    const grain = lines * Math.max(1, Math.ceil((int8 ? this.grain.int8Macs : this.grain.floatMacs) / (lines * macs)));
    this.#pool.run(job, w.heap, blocks, grain, form, w.quants, w.scales, w.groups, w.rows, x, T, y);
  }

  /** Rows [T, D] at `x` in a heap as the kernels for `w` take them: quantized or padded to whole groups, in slot `name`. */
  input(heap: Heap, x: number, T: number, w: SimdBlock, name: string): Input {
    const D = w.cols;
    const slots = this.#heaps.slots(heap);
    if (this.#int8 && w.precision >= 2) {
      const bytes = PRECISIONS[w.precision] === "q8" ? 1 : 0;
      const rowBytes = heap.kernels.quantizedBytes(D, bytes);
      const to = slots.at(name, T * rowBytes);
      this.#pool.run("quantize", heap, T, this.rowsOf(D), x, D, bytes, to);
      return { at: to, rowBytes };
    }
    const padded = w.groups * GROUP;
    if (padded === D) return { at: x, rowBytes: 4 * D };
    const to = slots.at(name, 4 * T * padded);
    const { floats } = heap;
    for (let t = 0; t < T; t++) {
      floats.copyWithin(to / 4 + t * padded, x / 4 + t * D, x / 4 + (t + 1) * D);
      floats.fill(0, to / 4 + t * padded + D, to / 4 + (t + 1) * padded);
    }
    return { at: to, rowBytes: 4 * padded };
  }

  /** Bytes of the home heap where `heap` can read them: themselves, or a copy in the slot `name`. */
  inHeap(heap: Heap, name: string, at: number, bytes: number): number {
    if (heap === this.#home) return at;
    const to = this.#heaps.slots(heap).at(name, bytes);
    this.copy(this.#home, at, heap, to, bytes);
    return to;
  }

  copy(from: Heap, at: number, to: Heap, there: number, bytes: number): void {
    if (from !== to) to.bytes.set(from.bytes.subarray(at, at + bytes), there);
  }

  /** Rows of `width` values that are sooner computed than handed to another thread. */
  rowsOf(width: number): number {
    return Math.max(1, Math.ceil(this.grain.values / width));
  }
}
