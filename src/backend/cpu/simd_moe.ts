// The experts' FFN of a step on the CPU: each expert in turn, over the rows that go to it.

import { group } from "../../../kernels/group.ts";
import type { ExpertUse } from "../experts.ts";
import type { Heap } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import type { SimdBlock } from "./simd_load.ts";
import type { Input, SimdProducts } from "./simd_products.ts";

/** An expert's two matrices, in one heap. */
export interface ExpertBlocks {
  readonly w13: SimdBlock; // [2F, D], rows of w1 and w3 in turn
  readonly w2: SimdBlock; // [D, F]
}

/** Where a layer's step lies in the home heap: addresses. */
export interface MoeStep {
  readonly x: number; // [T, D] f32
  readonly T: number;
  readonly D: number;
  readonly ids: number; // [T, K] u32
  readonly weights: number; // [T, K] f32
  readonly K: number;
  /** [T, D] f32: what the experts add to. */
  readonly y: number;
}

export class SimdMoe {
  readonly #heaps: SimdHeaps;
  readonly #home: Heap;
  readonly #products: SimdProducts;
  #lists = new Uint32Array(0);
  #step: MoeStep | null = null;
  #starts = new Uint32Array(0);
  #tokens = 0;
  #shares = 0;
  #input: Input | null = null;
  /** Experts whose rows wait for finish(). */
  #kept: number[] = [];

  constructor(heaps: SimdHeaps, home: Heap, products: SimdProducts) {
    this.#heaps = heaps;
    this.#home = home;
    this.#products = products;
  }

  /** Sorts (token, choice) by expert and sets y to zero. Returns who is used, in ascending order. */
  begin(step: MoeStep, count: number): ExpertUse[] {
    const { T, D, K, ids, weights, y } = step;
    const n = T * K;
    if (this.#lists.length < count + 1 + n) this.#lists = new Uint32Array(count + 1 + n);
    this.#step = step;
    this.#input = null;
    this.#kept = [];
    this.#starts = this.#lists.subarray(0, count + 1);
    const sorted = this.#lists.subarray(count + 1, count + 1 + n);
    const slots = this.#heaps.slots(this.#home);
    this.#tokens = slots.at("tokens", 4 * n);
    this.#shares = slots.at("token shares", 4 * n);
    const { words, floats } = this.#home;
    floats.fill(0, y / 4, y / 4 + T * D);
    group(words.subarray(ids / 4, ids / 4 + n), count, this.#starts, sorted);
    for (let i = 0; i < n; i++) {
      words[this.#tokens / 4 + i] = Math.floor(sorted[i]! / K);
      floats[this.#shares / 4 + i] = floats[weights / 4 + sorted[i]!]!;
    }
    const use: ExpertUse[] = [];
    for (let expert = 0; expert < count; expert++) {
      const tokens = this.#starts[expert + 1]! - this.#starts[expert]!;
      if (tokens > 0) use.push({ expert, tokens });
    }
    return use;
  }

  /** Adds an expert's share to y. Sums round: for the same y the experts come in ascending order. */
  add(expert: number, blocks: ExpertBlocks): void {
    this.#addRows(expert, this.#rows(expert, blocks));
  }

  /** Computes an expert's rows, in whatever order experts come: finish() adds them as add() would have. */
  keep(expert: number, blocks: ExpertBlocks): void {
    const { D, T, K } = this.#step!;
    const rows = this.#rows(expert, blocks);
    const [from, to] = [this.#starts[expert]!, this.#starts[expert + 1]!];
    const at = this.#heaps.slots(this.#home).at("expert rows", 4 * T * K * D) + 4 * D * from;
    this.#home.bytes.copyWithin(at, rows, rows + 4 * D * (to - from));
    this.#kept.push(expert);
  }

  finish(): void {
    const { D, T, K } = this.#step!;
    const at = this.#heaps.slots(this.#home).at("expert rows", 4 * T * K * D);
    for (const expert of this.#kept.sort((a, b) => a - b)) this.#addRows(expert, at + 4 * D * this.#starts[expert]!);
  }

  /** The expert's output for its tokens [n, D]: address in the home heap. */
  #rows(expert: number, { w13, w2 }: ExpertBlocks): number {
    const { x, T } = this.#step!;
    const from = this.#starts[expert]!;
    const n = this.#starts[expert + 1]! - from;
    this.#input ??= this.#products.input(this.#home, x, T, w13, "expert input");
    return this.#products.expert(this.#input, this.#tokens + 4 * from, n, T, w13, w2);
  }

  #addRows(expert: number, rows: number): void {
    const { D, y } = this.#step!;
    const from = this.#starts[expert]!;
    const n = this.#starts[expert + 1]! - from;
    const [tokens, shares] = [this.#tokens + 4 * from, this.#shares + 4 * from];
    this.#heaps.pool.run("addWeighted", this.#home, n, this.#products.rowsOf(D), y, tokens, shares, rows, D);
  }
}
