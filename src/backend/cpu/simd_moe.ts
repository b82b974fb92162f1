// The experts' FFN of a step on the CPU: each expert over its rows, several small
// experts in parallel.

import { group } from "../../../kernels/group.ts";
import type { ExpertUse } from "../experts.ts";
import type { Observer } from "../ops.ts";
import type { Heap } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import type { ExpertMatrices } from "./simd_load.ts";
import type { ExpertRows, Input, SimdProducts, SimdRule } from "./simd_products.ts";

/**
 * Multiply-adds of experts that are computed together: few enough that what they keep between two
 * products stays small, and enough that threads seldom wait for each other. A larger expert alone
 * is shared among threads.
 */
const GROUP_MACS = 256e6;

/** Addresses of a layer's step in the home heap. */
export interface MoeStep {
  readonly x: number; // [T, D] f32
  readonly T: number;
  readonly D: number;
  readonly ids: number; // [T, K] u32
  readonly weights: number; // [T, K] f32
  readonly K: number;
  /** [T, D] f32, to which the experts add. */
  readonly y: number;
  /** [E, D] u32: the order of each expert's inputs; null: as they are. */
  readonly order: number | null;
  /** Null: silu without biases. */
  readonly rule: SimdRule | null;
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

  /**
   * Sorts (token, choice) by expert and sets y to zero. Returns the used experts, ascending.
   */
  begin(step: MoeStep, count: number): ExpertUse[] {
    const { T, D, K, ids, weights, y } = step;
    const n = T * K;
    if (this.#lists.length < count + 1 + n) this.#lists = new Uint32Array(count + 1 + n);
    this.#step = step;
    this.#input = null;
    this.#kept = [];
    this.#starts = this.#lists.subarray(0, count + 1);
    const sorted = this.#lists.subarray(count + 1, count + 1 + n);
    const space = this.#heaps.workspace(this.#home);
    this.#tokens = space.at("tokens", 4 * n);
    this.#shares = space.at("token shares", 4 * n);
    const { words, floats } = this.#home;
    floats.fill(0, y / 4, y / 4 + T * D);
    group(words.subarray(ids / 4, ids / 4 + n), count, this.#starts, sorted);
    byExpert(sorted, n, K, words, this.#tokens / 4, floats, weights / 4, this.#shares / 4);
    const use: ExpertUse[] = [];
    for (let expert = 0; expert < count; expert++) {
      const tokens = this.#starts[expert + 1]! - this.#starts[expert]!;
      if (tokens > 0) use.push({ expert, tokens });
    }
    return use;
  }

  /**
   * Groups of experts to compute in parallel, ascending: pass each to add().
   */
  groups(use: readonly ExpertUse[], matrices: readonly ExpertMatrices[]): ExpertUse[][] {
    const groups: ExpertUse[][] = [];
    let macs = Number.POSITIVE_INFINITY;
    for (const one of use) {
      const { w13, w2 } = matrices[one.expert]!;
      const own = one.tokens * (w13.rows * w13.cols + w2.rows * w2.cols);
      const last = groups.at(-1);
      if (last && macs + own <= GROUP_MACS && matrices[last[0]!.expert]!.w13.heap === w13.heap) {
        last.push(one);
        macs += own;
      } else {
        groups.push([one]);
        macs = own;
      }
    }
    return groups;
  }

  /**
   * Adds the outputs of consecutive experts to y. Sums round, so add experts in ascending order for
   * the same y.
   */
  *add(group: readonly ExpertUse[], matrices: readonly ExpertMatrices[]): Generator<void> {
    const experts = group.map(({ expert, tokens }) => ({ ...matrices[expert]!, expert, rows: tokens }));
    this.#addRows(group[0]!.expert, group.at(-1)!.expert, yield* this.#rows(group, experts));
  }

  /** Shows what add() has just multiplied with these experts of the nth layer of experts. */
  show(observer: Observer, layer: number, group: readonly ExpertUse[], matrices: readonly ExpertMatrices[]): void {
    const { x, D } = this.#step!;
    const { floats, words } = this.#home;
    const { heap, cols: F } = matrices[group[0]!.expert]!.w2;
    const n = group.reduce((sum, { tokens }) => sum + tokens, 0);
    // SimdProducts.experts() has left it there.
    let hidden = this.#heaps.workspace(heap).at("hidden", 4 * n * F) / 4;
    for (const { expert, tokens } of group) {
      const from = this.#starts[expert]!;
      const rows = new Float32Array(tokens * D);
      for (let i = 0; i < tokens; i++) {
        const row = x / 4 + words[this.#tokens / 4 + from + i]! * D;
        rows.set(floats.subarray(row, row + D), i * D);
      }
      const shares = this.#shares / 4 + from;
      const own = heap.floats.subarray(hidden, hidden + tokens * F);
      observer.expert(layer, expert, rows, own, floats.subarray(shares, shares + tokens));
      hidden += tokens * F;
    }
  }

  /**
   * Computes an expert's rows, with experts in any order: finish() adds them as add() does.
   */
  *keep(expert: number, matrices: ExpertMatrices): Generator<void> {
    const { D, T, K } = this.#step!;
    const [from, to] = [this.#starts[expert]!, this.#starts[expert + 1]!];
    const tokens = to - from;
    const rows = yield* this.#rows([{ expert, tokens }], [{ ...matrices, expert, rows: tokens }]);
    const at = this.#heaps.workspace(this.#home).at("expert rows", 4 * T * K * D) + 4 * D * from;
    this.#home.bytes.copyWithin(at, rows, rows + 4 * D * (to - from));
    this.#kept.push(expert);
  }

  finish(): void {
    const { D, T, K } = this.#step!;
    const at = this.#heaps.workspace(this.#home).at("expert rows", 4 * T * K * D);
    for (const expert of this.#kept.sort((a, b) => a - b))
      this.#addRows(expert, expert, at + 4 * D * this.#starts[expert]!);
  }

  /**
   * Computes the outputs [n, D] of consecutive experts in use; returns their address in the home
   * heap.
   */
  *#rows(use: readonly ExpertUse[], experts: readonly ExpertRows[]): Generator<void, number> {
    const { x, T, D, order, rule } = this.#step!;
    const { w13 } = experts[0]!;
    const tokens = this.#tokens + 4 * this.#starts[use[0]!.expert]!;
    if (order === null) {
      this.#input ??= this.#products.input(this.#home, x, T, w13, "expert input");
      return yield* this.#products.experts(this.#input, tokens, T, experts, rule);
    }
    const n = use.reduce((sum, one) => sum + one.tokens, 0);
    const rows = this.#heaps.workspace(this.#home).at("reordered rows", 4 * n * D);
    let row = 0;
    for (const { expert, tokens: count } of use) {
      const args = [x, tokens + 4 * row, order + 4 * D * expert, D, rows + 4 * D * row];
      this.#heaps.pool.run("reorder", this.#home, count, this.#products.rowsOf(D), ...args);
      row += count;
    }
    const input = this.#products.input(this.#home, rows, n, w13, "expert input");
    return yield* this.#products.experts(input, null, n, experts, rule);
  }

  #addRows(first: number, last: number, rows: number): void {
    const { D, y } = this.#step!;
    const from = this.#starts[first]!;
    const n = this.#starts[last + 1]! - from;
    const [tokens, shares] = [this.#tokens + 4 * from, this.#shares + 4 * from];
    // Two experts may add to the same token: then one thread does all.
    const grain = first === last ? this.#products.rowsOf(D) : n;
    this.#heaps.pool.run("addWeighted", this.#home, n, grain, y, tokens, shares, rows, D);
  }
}

/**
 * The token and the share of each of n assignments, in their order. A short function of its own,
 * which engines compile in a tenth of the time of begin(): a prompt makes it hot.
 */
function byExpert(
  sorted: Uint32Array,
  n: number,
  K: number,
  words: Uint32Array<ArrayBufferLike>,
  tokens: number,
  floats: Float32Array<ArrayBufferLike>,
  weights: number,
  shares: number,
): void {
  for (let i = 0; i < n; i++) {
    const assignment = sorted[i]!;
    words[tokens + i] = Math.floor(assignment / K);
    floats[shares + i] = floats[weights + assignment]!;
  }
}
