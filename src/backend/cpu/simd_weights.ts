// Loads what a model keeps on the SIMD backend, and counts its bytes.

import { type Format, panelLayout } from "../../tensor/format.ts";
import { type ExpertShape, recordLayout } from "../../tensor/record.ts";
import type { ExpertSource, MatrixSource } from "../../tensor/types.ts";
import type { ExpertRule, Experts, Ffn, HeadMatrices, InputOrder, Matrix, Vector } from "../ops.ts";
import type { Heap } from "./heap.ts";
import { SimdExpertSlots } from "./simd_experts.ts";
import type { SimdFfns } from "./simd_ffn.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import { type ExpertMatrices, loadEach, loadExpert, loadMatrix } from "./simd_load.ts";
import type { SimdProducts } from "./simd_products.ts";
import type { LoadedMatrix, SimdExperts, SimdHeads, SimdOrder, SimdVector } from "./simd_values.ts";

export class SimdWeights {
  readonly #heaps: SimdHeaps;
  readonly #home: Heap;
  readonly #products: SimdProducts;
  #expertLayers = 0; // that are loaded
  /** Of all that was loaded. */
  bytes = 0;

  constructor(heaps: SimdHeaps, home: Heap, products: SimdProducts) {
    this.#heaps = heaps;
    this.#home = home;
    this.#products = products;
  }

  async matrix(source: MatrixSource, format: Format): Promise<Matrix> {
    const packed = await loadMatrix(this.#heaps, this.#home, source, format);
    const { name, rows, cols } = source;
    const bytes = panelLayout(format, rows, cols).bytes + (source.bias ? 4 * rows : 0);
    this.bytes += bytes;
    const matrix: LoadedMatrix = { name, rows, cols, format, bytes, packed };
    return matrix;
  }

  async heads(sources: readonly MatrixSource[], format: Format): Promise<HeadMatrices> {
    const { rows, cols } = sources[0]!;
    const matrices = await loadEach(this.#heaps, sources, format);
    const bytes = sources.length * panelLayout(format, rows, cols).bytes;
    this.bytes += bytes;
    const heads: SimdHeads = { heads: sources.length, rows, cols, format, bytes, matrices };
    return heads;
  }

  async vector(source: MatrixSource): Promise<Vector> {
    const data = new Float32Array(source.rows * source.cols);
    await source.readRows(0, source.rows, data);
    const at = this.#home.allocate(data.byteLength, source.name);
    this.#home.floats.set(data, at / 4);
    this.bytes += data.byteLength;
    const vector: SimdVector = { size: data.length, bytes: data.byteLength, at };
    return vector;
  }

  order(lists: Uint32Array, cols: number): InputOrder {
    const bytes = lists.byteLength;
    const at = this.#home.allocate(bytes, "the order of inputs");
    this.#home.words.set(lists, at / 4);
    this.bytes += bytes;
    const order: SimdOrder = { count: lists.length / cols, cols, bytes, at };
    return order;
  }

  async experts(sources: readonly ExpertSource[], up: Format, down: Format, rule?: ExpertRule): Promise<Experts> {
    const matrices: ExpertMatrices[] = [];
    for (const source of sources) matrices.push(await loadExpert(this.#heaps, source, up, down));
    const { rows: hidden, cols: intermediate } = sources[0]!.w2;
    const layout = recordLayout({ hidden, intermediate, up, down });
    const bytes = sources.length * (layout.up.bytes + layout.down.bytes);
    this.bytes += bytes;
    const layer = this.#expertLayers++;
    const experts: SimdExperts = {
      count: sources.length,
      ...{ hidden, intermediate, up, down, bytes, rule, layer, matrices },
    };
    return experts;
  }

  async ffn(ffns: SimdFfns, source: ExpertSource, gate: Matrix | null, up: Format, down: Format): Promise<Ffn> {
    const ffn = await ffns.load(source, gate, up, down);
    this.bytes += ffn.bytes;
    return ffn;
  }

  async slots(shape: ExpertShape, slots: number): Promise<SimdExpertSlots> {
    const made = await SimdExpertSlots.create(shape, slots, this.#heaps, this.#home, this.#products);
    this.bytes += made.bytes;
    return made;
  }
}
