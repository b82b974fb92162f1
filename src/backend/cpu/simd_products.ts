// Products with packed weights: quantizes or pads inputs, and runs in the weights' heap
// on useful threads.

import type { Activation } from "../../tensor/activation.ts";
import { GROUP, PANEL_ROWS } from "../../tensor/format.ts";
import type { Heap } from "./heap.ts";
import type { Pool } from "./pool.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import type { ExpertMatrices, SimdMatrix } from "./simd_load.ts";
import { Slices } from "./slices.ts";

/** Rows of x for products: f32 padded to whole groups, or quantized. */
export interface Input {
  readonly at: number;
  readonly rowBytes: number;
}

/** An expert and the number of its rows. */
export interface ExpertRows extends ExpertMatrices {
  /** Its number in the layer. */
  readonly expert: number;
  readonly rows: number;
}

/** ExpertRule with addresses of biases in the home heap; 0: none. */
export interface SimdRule {
  readonly activation: Activation;
  readonly limit: number;
  readonly up: number; // [E, 2F]
  readonly down: number; // [E, D]
}

/** By their numbers in kernels/activate.simd.ts. */
const ACTIVATIONS: readonly Activation[] = ["silu", "gelu", "gelu_tanh", "relu2", "swiglu_oai"];
/** u32s of an expert in the kernels' table (kernels/lib/simd/experts.simd.ts). */
const EXPERT_WORDS = 3;
// Work that is computed faster than handed to another thread, which takes a few microseconds.
const GRAIN = { int8Macs: 200_000, floatMacs: 50_000, values: 8192 } as const;

export class SimdProducts {
  /**
   * Work that stays on the calling thread, in multiply-adds of either kind, or in values that are
   * read and written once.
   */
  readonly grain: { readonly int8Macs: number; readonly floatMacs: number; readonly values: number };
  readonly #heaps: SimdHeaps;
  readonly #home: Heap;
  readonly #pool: Pool;
  readonly #rounds: boolean;
  /** Runs jobs that may be long. */
  readonly slices: Slices;

  /** `int8`: multiplies by activations rounded to int8 if the format allows it. */
  constructor(heaps: SimdHeaps, home: Heap, int8: boolean) {
    this.slices = new Slices(heaps.pool);
    this.#heaps = heaps;
    this.#home = home;
    this.#pool = heaps.pool;
    this.#rounds = int8;
    this.grain = heaps.limits.shareAll ? { int8Macs: 0, floatMacs: 0, values: 0 } : GRAIN;
  }

  /**
   * x [T, D] · wᵀ + its bias, both x and y in the home heap, as columns of rows of `width` values.
   * Yields where the event loop may run, like the following methods.
   */
  *product(x: number, T: number, w: SimdMatrix, y: number, width = w.rows): Generator<void> {
    const { heap } = w;
    const input = this.input(this.#home, x, T, w, "input");
    const from = this.inHeap(heap, "copied input", input.at, T * input.rowBytes);
    const direct = heap === this.#home && (T === 1 || width === w.rows);
    const to = direct ? y : this.#heaps.workspace(heap).at("output", 4 * T * w.rows);
    const panels = Math.ceil(w.rows / PANEL_ROWS);
    const { groups, rows } = w;
    const args = [Number(this.#int8(w)), w.at, groups, rows, from, T, to];
    yield* this.slices.run(
      "matmul",
      this.#heaps.kernels(w.format, heap),
      panels,
      this.#grain(w, T, 4),
      macsOf(w, T),
      args,
    );
    const { bytes } = this.#home;
    for (let t = 0; t < T && !direct; t++) {
      const from = to + 4 * t * rows;
      bytes.set(heap.bytes.subarray(from, from + 4 * rows), y + 4 * t * width);
    }
    if (w.bias !== null) this.#pool.run("addBias", this.#home, T, this.rowsOf(rows), y, width, 0, w.bias, rows);
  }

  /**
   * T rows of each head [H T, cols] by its own matrix, all in one heap: the address in the home
   * heap of [H T, rows].
   */
  *heads(x: number, T: number, matrices: readonly SimdMatrix[]): Generator<void, number> {
    const w = matrices[0]!;
    const { heap } = w;
    const n = T * matrices.length;
    const input = this.input(this.#home, x, n, w, "heads' input");
    const from = this.inHeap(heap, "copied heads' input", input.at, n * input.rowBytes);
    const y = this.#heaps.workspace(heap).at("heads' output", 4 * n * w.rows);
    const all = matrices.map((own, expert) => ({ w13: own, w2: own, expert, rows: T }));
    yield* this.#expertJob("expertDown", all, n, ({ w2 }) => w2, from, y);
    if (heap === this.#home) return y;
    const to = this.#heaps.workspace(this.#home).at("heads' output", 4 * n * w.rows);
    this.copy(heap, y, this.#home, to, 4 * n * w.rows);
    return to;
  }

  /** Rows of a table for tokens, to y [T, D] in the home heap. */
  embed(tokens: Uint32Array, { heap, format, at, groups, rows, cols }: SimdMatrix, y: number): void {
    const T = tokens.length;
    const space = this.#heaps.workspace(heap);
    const ids = space.at("ids", 4 * T);
    heap.words.set(tokens, ids / 4);
    const to = heap === this.#home ? y : space.at("rows", 4 * T * cols);
    const own = this.#heaps.kernels(format, heap);
    this.#pool.run("embed", own, T, this.rowsOf(cols), ids, at, groups, rows, cols, to);
    this.copy(heap, to, this.#home, y, 4 * T * cols);
  }

  /** Rows of x, both in the home heap, of D values. */
  rows(x: number, rows: Uint32Array, D: number, y: number): void {
    for (const [i, row] of rows.entries())
      this.#home.floats.copyWithin(y / 4 + i * D, x / 4 + row * D, x / 4 + (row + 1) * D);
  }

  /**
   * Computes rows of `all` [T, D] by their experts: `tokens` (u32 in the home heap) lists the rows
   * of the first expert, then of the next; null: they are those of `all`, in order. All weights are
   * in one heap. Returns the results' address [n, D] in the home heap. @param rule null: silu
   * without biases
   */
  *experts(
    all: Input,
    tokens: number | null,
    T: number,
    experts: readonly ExpertRows[],
    rule: SimdRule | null,
  ): Generator<void, number> {
    const { w13, w2 } = experts[0]!;
    const { heap } = w13;
    const space = this.#heaps.workspace(heap);
    const n = experts.reduce((sum, { rows }) => sum + rows, 0);
    let gathered = all.at;
    if (tokens !== null && (experts.length > 1 || n < T)) {
      gathered = this.#heaps.workspace(this.#home).at("gathered", n * all.rowBytes);
      this.#pool.run("rows", this.#home, n, this.rowsOf(all.rowBytes / 4), all.at, tokens, all.rowBytes, gathered);
    }
    const x = this.inHeap(heap, "gathered rows", gathered, n * all.rowBytes);
    const F = w13.rows / 2;
    const h = space.at("hidden", 4 * n * F);
    if (rule === null) yield* this.#expertJob("expertUp", experts, n, ({ w13 }) => w13, x, h);
    else {
      const both = space.at("gate and up", 8 * n * F);
      yield* this.#expertJob("expertDown", experts, n, ({ w13 }) => w13, x, both);
      yield;
      this.#activate(heap, experts, rule, both, h);
    }
    yield;
    const input = this.input(heap, h, n, w2, "hidden input");
    const y = space.at("down", 4 * n * w2.rows);
    yield* this.#expertJob("expertDown", experts, n, ({ w2 }) => w2, input.at, y);
    if (rule?.down) this.#addBiases(heap, experts, rule.down, y);
    if (heap === this.#home) return y;
    const down = this.#heaps.workspace(this.#home).at("down", 4 * n * w2.rows);
    this.copy(heap, y, this.#home, down, 4 * n * w2.rows);
    return down;
  }

  /** both [n, 2F] -> h [n, F], in a heap. */
  #activate(heap: Heap, experts: readonly ExpertRows[], rule: SimdRule, both: number, h: number): void {
    const { rows: width } = experts[0]!.w13; // 2F
    const kind = ACTIVATIONS.indexOf(rule.activation);
    let row = 0;
    for (const { expert, rows } of experts) {
      const bias = rule.up && this.inHeap(heap, "expert bias", rule.up + 4 * width * expert, 4 * width);
      const args = [kind, rule.limit, both + 4 * width * row, bias, width / 2, h + 2 * width * row];
      this.#pool.run("activateRows", heap, rows, this.rowsOf(width), ...args);
      row += rows;
    }
  }

  /** y [n, D] += each row's bias, in a heap. */
  #addBiases(heap: Heap, experts: readonly ExpertRows[], biases: number, y: number): void {
    const { rows: D } = experts[0]!.w2;
    let row = 0;
    for (const { expert, rows } of experts) {
      const bias = this.inHeap(heap, "expert bias", biases + 4 * D * expert, 4 * D);
      this.#pool.run("addBias", heap, rows, this.rowsOf(D), y + 4 * D * row, D, 0, bias, D);
      row += rows;
    }
  }

  /** A kernel of lib/simd/experts.simd.ts over one matrix of each expert. */
  *#expertJob(
    job: "expertUp" | "expertDown",
    experts: readonly ExpertRows[],
    n: number,
    matrix: (expert: ExpertRows) => SimdMatrix,
    x: number,
    y: number,
  ): Generator<void> {
    const w = matrix(experts[0]!);
    const { heap, groups } = w;
    const table = this.#heaps.workspace(heap).at("expert table", EXPERT_WORDS * 4 * experts.length);
    const { words } = heap;
    let row = 0;
    for (const [i, expert] of experts.entries()) {
      words.set([matrix(expert).at, row, expert.rows], table / 4 + EXPERT_WORDS * i);
      row += expert.rows;
    }
    const panels = Math.ceil(w.rows / PANEL_ROWS);
    const each = n / experts.length; // rows of an expert, on average
    const grain = this.#grain(w, each, job === "expertUp" ? 8 : 4);
    const args = [Number(this.#int8(w)), table, panels, groups, w.rows, x, y];
    yield* this.slices.run(
      job,
      this.#heaps.kernels(w.format, heap),
      panels * experts.length,
      grain,
      macsOf(w, each),
      args,
    );
  }

  /** Whether x is rounded to int8 for a matrix. */
  #int8({ format }: SimdMatrix): boolean {
    return this.#rounds && format.arithmetics.includes("int8");
  }

  /**
   * The smallest number of panels to share for T tokens. Ranges are whole pairs of cache lines
   * (`lines` panels), so that no two threads write to one.
   */
  #grain(w: SimdMatrix, T: number, lines: number): number {
    const macs = macsOf(w, Math.max(T, 1));
    const alone = this.#int8(w) ? this.grain.int8Macs : this.grain.floatMacs;
    return lines * Math.max(1, Math.ceil(alone / (lines * macs)));
  }

  /**
   * Rows [T, D] at `x` in a heap as the kernels for `w` take them: quantized or padded to whole
   * groups, in the workspace under `name`.
   */
  input(heap: Heap, x: number, T: number, w: SimdMatrix, name: string): Input {
    const D = w.cols;
    const space = this.#heaps.workspace(heap);
    if (this.#int8(w)) {
      const own = this.#heaps.kernels(w.format, heap);
      const rowBytes = own.kernels.quantizedBytes(w.groups);
      const to = space.at(name, T * rowBytes);
      this.#pool.run("quantize", own, T, this.rowsOf(D), x, D, w.groups, to);
      return { at: to, rowBytes };
    }
    const padded = w.groups * GROUP;
    if (padded === D) return { at: x, rowBytes: 4 * D };
    const to = space.at(name, 4 * T * padded);
    const { floats } = heap;
    for (let t = 0; t < T; t++) {
      floats.copyWithin(to / 4 + t * padded, x / 4 + t * D, x / 4 + (t + 1) * D);
      floats.fill(0, to / 4 + t * padded + D, to / 4 + (t + 1) * padded);
    }
    return { at: to, rowBytes: 4 * padded };
  }

  /**
   * Bytes of the home heap where `heap` can read them: themselves, or a copy under `name`.
   */
  inHeap(heap: Heap, name: string, at: number, bytes: number): number {
    if (heap === this.#home) return at;
    const to = this.#heaps.workspace(heap).at(name, bytes);
    this.copy(this.#home, at, heap, to, bytes);
    return to;
  }

  copy(from: Heap, at: number, to: Heap, there: number, bytes: number): void {
    if (from !== to) to.bytes.set(from.bytes.subarray(at, at + bytes), there);
  }

  /** Rows of `width` values that are computed faster than handed to another thread. */
  rowsOf(width: number): number {
    return Math.max(1, Math.ceil(this.grain.values / width));
  }
}

/** Multiply-adds of a panel of rows by T tokens. */
function macsOf({ groups }: SimdMatrix, T: number): number {
  return PANEL_ROWS * groups * GROUP * T;
}
