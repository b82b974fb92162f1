// A feed-forward layer that every token takes: loaded, and computed, as one expert.

import { scaleRows } from "../../../kernels/scale_rows.ts";
import type { Format } from "../../tensor/format.ts";
import { recordLayout } from "../../tensor/record.ts";
import type { ExpertSource } from "../../tensor/types.ts";
import type { Ffn, Matrix, Observer } from "../ops.ts";
import type { Heap } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import { type ExpertMatrices, loadExpert } from "./simd_load.ts";
import type { SimdProducts } from "./simd_products.ts";
import { ruleAt } from "./simd_values.ts";

export interface SimdFfn extends Ffn {
  /** Names of w1 and w2, for an observer. */
  readonly names: readonly [up: string, down: string];
  readonly matrices: ExpertMatrices;
}

export class SimdFfns {
  readonly #heaps: SimdHeaps;
  readonly #home: Heap;
  readonly #products: SimdProducts;

  constructor(heaps: SimdHeaps, home: Heap, products: SimdProducts) {
    this.#heaps = heaps;
    this.#home = home;
    this.#products = products;
  }

  /** @throws WeightsError, MemoryError */
  async load(source: ExpertSource, gate: Matrix | null, up: Format, down: Format): Promise<SimdFfn> {
    const matrices = await loadExpert(this.#heaps, source, up, down);
    const { rows: hidden, cols: intermediate } = source.w2;
    const layout = recordLayout({ hidden, intermediate, up, down });
    const bytes = layout.up.bytes + layout.down.bytes;
    const names = [source.w1.name, source.w2.name] as const;
    return { hidden, intermediate, up, down, gate, bytes, names, matrices };
  }

  /**
   * y [T, D] = w2(silu(w1 x) * (w3 x)), or what the rule says, of rows [T, D], both in the home
   * heap; `gate` [T]: there too, logits by whose sigmoids it is multiplied, or null.
   */
  *run(
    x: number,
    T: number,
    { matrices, names, rule }: SimdFfn,
    gate: number | null,
    y: number,
    observer: Observer | undefined,
  ): Generator<void> {
    const { w13, w2 } = matrices;
    const [D, F] = [w13.cols, w2.cols];
    const input = this.#products.input(this.#home, x, T, w13, "input");
    const rows = yield* this.#products.experts(input, null, T, [{ ...matrices, expert: 0, rows: T }], ruleAt(rule));
    if (observer) {
      const h = this.#heaps.workspace(w2.heap).at("hidden", 4 * T * F) / 4; // where experts() has left it
      observer.input(names[0], D, this.#home.floats.subarray(x / 4, x / 4 + T * D));
      observer.input(names[1], F, w2.heap.floats.subarray(h, h + T * F));
    }
    this.#home.bytes.copyWithin(y, rows, rows + 4 * T * D);
    if (gate === null) return;
    const { floats } = this.#home;
    scaleRows(floats.subarray(y / 4, y / 4 + T * D), D, floats.subarray(gate / 4, gate / 4 + T));
  }
}
