// Turns q and k, writes keys and values to the cache, and computes attention over it, in the heaps
// that hold the cache.

import { clip } from "../../../kernels/clip.ts";
import { rowOf } from "../kv_block.ts";
import type { Attention, Batch, Vector } from "../ops.ts";
import type { Rope } from "../rope.ts";
import { angleTable } from "./angles.ts";
import type { Heap } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import type { SimdKv } from "./simd_kv.ts";
import type { SimdProducts } from "./simd_products.ts";
import type { SimdVector } from "./simd_values.ts";

/** q, k and v of a step's tokens, [T, width] f32 at an address of the home heap. */
export interface Projected {
  readonly at: number;
  readonly width: number;
}

export class SimdAttention {
  readonly #heaps: SimdHeaps;
  readonly #home: Heap;
  readonly #products: SimdProducts;
  #turned: Rope | null = null; // the RoPE of the step's table of angles

  constructor(heaps: SimdHeaps, home: Heap, products: SimdProducts) {
    this.#heaps = heaps;
    this.#home = home;
    this.#products = products;
  }

  /** Forgets the angles of an earlier step. */
  begin(): void {
    this.#turned = null;
  }

  /** q and k of rows [T, width] at `at`, normed as the layer says and turned, in place. */
  turn({ at, width }: Projected, batch: Batch, shape: Attention): void {
    const { heads, kvHeads, headDim, rope, qkNorm, clip: limit } = shape;
    const T = batch.tokens.length;
    const pairs = rope.inverse.length;
    const table = this.#heaps.workspace(this.#home).at("rope", 8 * T * pairs);
    if (rope !== this.#turned)
      angleTable(rope, batch, this.#home.floats.subarray(table / 4, table / 4 + 2 * T * pairs));
    this.#turned = rope;
    if (qkNorm) {
      this.norm({ at, width }, T, 0, heads * headDim, qkNorm.q, qkNorm.eps);
      this.norm({ at, width }, T, heads * headDim, kvHeads * headDim, qkNorm.k, qkNorm.eps);
    }
    // By one thread: no published model is cut.
    if (limit !== undefined) clip(this.#home.floats.subarray(at / 4, at / 4 + T * width), limit);
    const grain = this.#products.rowsOf(width);
    this.#heaps.pool.run("rope", this.#home, T, grain, at, width, heads + kvHeads, headDim, pairs, table);
  }

  /** RMS norms of `values` floats of each row, from float `first` on, in runs as long as `w`. */
  norm({ at, width }: Projected, T: number, first: number, values: number, w: Vector, eps: number): void {
    const args = [at, width, first, values / w.size, (w as SimdVector).at, eps, w.size];
    this.#heaps.pool.run("qkNorm", this.#home, T, this.#products.rowsOf(width), ...args);
  }

  /** Writes keys and values. */
  append(store: SimdKv, layer: number, batch: Batch, { at, width }: Projected, shape: Attention): void {
    const { heap } = store.part(layer);
    const T = batch.tokens.length;
    const from = this.#products.inHeap(heap, "qkv", at, 4 * T * width);
    const { q, kv } = rowOf(shape);
    const kind = kindOf(store, shape);
    const { pool } = this.#heaps;
    const { kvHeads, headDim } = shape;
    const grain = this.#products.rowsOf(kv);
    for (let plane = 0; plane < store.planes; plane++) {
      const addresses = store.addresses(store.part(layer), batch, store.offset(layer) + plane * store.planeBytes);
      const args = [from, width, q + plane * kv, addresses];
      const rotated = Number(kind === KINDS.rotated && plane === 0);
      if (kind >= KINDS.q8) pool.run("appendQ8", heap, T, grain, ...args, kvHeads, headDim, rotated);
      else pool.run("append", heap, T, grain, ...args, kv, kind);
    }
  }

  /**
   * Attention's results [rows, H Dh], or [rows, H kv] of a latent, at `y` in the home heap, where
   * `sinks` lie too. `rows` fewer than the batch's: of its output rows. Yields where the event loop
   * may run.
   */
  *attend(
    store: SimdKv,
    layer: number,
    all: Batch,
    { at, width }: Projected,
    shape: Attention,
    sinks: number | null,
    y: number,
    rows: number,
  ): Generator<void> {
    if (rows === 0) return;
    let batch = all;
    let queries = at;
    if (rows < all.tokens.length) {
      batch = outputsOf(all);
      queries = this.#heaps.workspace(this.#home).at("queries", 4 * rows * width);
      this.#products.rows(at, all.outputs, width, queries);
    }
    const part = store.part(layer);
    const { heap } = part;
    const { pool } = this.#heaps;
    const { positions, tables } = store.lists(part, batch);
    const { heads, headDim, scale, latent } = shape;
    const { valueDim } = rowOf(shape);
    const kvHeads = latent ? sharesOf(heads) : shape.kvHeads;
    const { blockSize } = store;
    const T = batch.tokens.length;
    const q = this.#products.inHeap(heap, "qkv", queries, 4 * T * width);
    const space = this.#heaps.workspace(heap);
    const to = heap === this.#home ? y : space.at("attended", 4 * T * heads * valueDim);
    const kind = kindOf(store, shape);
    const scratchBytes = heap.kernels.attentionScratch(blockSize, heads, kvHeads, headDim, valueDim, kind);
    const scratch = space.at("attention", scratchBytes * pool.threads);
    const keys = store.offset(layer);
    const values = keys + (latent ? valuesAt(kind, headDim - latent) : store.planeBytes);
    const window = shape.window ?? 0;
    const logits = sinks === null ? 0 : this.#products.inHeap(heap, "sinks", sinks, 4 * heads);
    const units = T * kvHeads;
    // The units of a range share reads: few tokens take adjacent heads each, many tokens all heads
    // of several.
    const grain = T < 4 * pool.threads ? Math.ceil(units / pool.threads) : 4 * kvHeads;
    let seen = 0; // pairs of a token and a position
    for (const position of batch.positions) seen += window > 0 ? Math.min(position + 1, window) : position + 1;
    const macs = heads * (headDim + valueDim) * seen;
    const alone = macs <= this.#products.grain.floatMacs;
    // biome-ignore format: the kernel's arguments in order
    const args = [q, width, positions, tables, keys, values, blockSize, heads, kvHeads, headDim, scale, logits, window, kind, scratch, scratchBytes, to, valueDim, shape.kvHeads];
    yield* this.#products.slices.run("attention", heap, units, alone ? units : grain, macs / units, args);
    this.#products.copy(heap, to, this.#home, y, 4 * T * heads * valueDim);
  }
}

/** The output rows of a batch as one. */
function outputsOf(batch: Batch): Batch {
  const { tokens, positions, sequence, outputs } = batch;
  const taken = (values: Uint32Array): Uint32Array => Uint32Array.from(outputs, (row) => values[row]!);
  return {
    ...batch,
    ...{ tokens: taken(tokens), positions: taken(positions), sequence: taken(sequence) },
    outputs: Uint32Array.from(outputs.keys()),
  };
}

/** What rows of a cache are, as the kernel counts them. */
const KINDS = { f32: 0, f16: 1, q8: 2, rotated: 3 } as const;

/** Keys of q8 are rotated unless they are latents, whose values would be too. */
function kindOf({ precision }: SimdKv, { latent }: Attention): number {
  return precision === "q8" && !latent ? KINDS.rotated : KINDS[precision];
}

/** Where values that are a part of keys begin in a row; of q8 the kernel knows. */
function valuesAt(kind: number, skipped: number): number {
  return kind >= KINDS.q8 ? 0 : skipped * (kind === KINDS.f16 ? 2 : 4);
}

/** Parts that heads of one key are cut into, of eight heads at most: threads take them apart. */
function sharesOf(heads: number): number {
  let parts = Math.ceil(heads / 8);
  while (heads % parts !== 0) parts++;
  return parts;
}
