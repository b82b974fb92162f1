// Writes keys and values to the cache, and computes attention over it, in the heaps that
// hold the cache.

import type { Attention, Batch } from "../ops.ts";
import type { Heap } from "./heap.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import type { SimdKv } from "./simd_kv.ts";
import type { SimdProducts } from "./simd_products.ts";

/** q, k and v of a step's tokens, [T, width] f32 at an address of the home heap. */
export interface Projected {
  readonly at: number;
  readonly width: number;
}

export class SimdAttention {
  readonly #heaps: SimdHeaps;
  readonly #home: Heap;
  readonly #products: SimdProducts;

  constructor(heaps: SimdHeaps, home: Heap, products: SimdProducts) {
    this.#heaps = heaps;
    this.#home = home;
    this.#products = products;
  }

  /** Writes keys and values. */
  append(store: SimdKv, layer: number, batch: Batch, { at, width }: Projected, shape: Attention): void {
    const { heap } = store.part(layer);
    const T = batch.tokens.length;
    const from = this.#products.inHeap(heap, "qkv", at, 4 * T * width);
    const kvWidth = shape.kvHeads * shape.headDim;
    const half = store.precision === "f16" ? 1 : 0;
    for (const plane of [0, 1]) {
      const addresses = store.addresses(store.part(layer), batch, store.offset(layer) + plane * store.planeBytes);
      const first = shape.heads * shape.headDim + plane * kvWidth;
      const grain = this.#products.rowsOf(kvWidth);
      this.#heaps.pool.run("append", heap, T, grain, from, width, first, addresses, kvWidth, half);
    }
  }

  /**
   * Attention's results [T, H Dh] at `y` in the home heap, where `sinks` lie too. Yields where the
   * event loop may run.
   */
  *attend(
    store: SimdKv,
    layer: number,
    batch: Batch,
    { at, width }: Projected,
    shape: Attention,
    sinks: number | null,
    y: number,
  ): Generator<void> {
    const part = store.part(layer);
    const { heap } = part;
    const { pool } = this.#heaps;
    const { positions, tables } = store.lists(part, batch);
    const { heads, kvHeads, headDim, scale } = shape;
    const { blockSize, planeBytes } = store;
    const T = batch.tokens.length;
    const q = this.#products.inHeap(heap, "qkv", at, 4 * T * width);
    const space = this.#heaps.workspace(heap);
    const to = heap === this.#home ? y : space.at("attended", 4 * T * heads * headDim);
    const scratchBytes = heap.kernels.attentionScratch(blockSize, heads, kvHeads, headDim);
    const scratch = space.at("attention", scratchBytes * pool.threads);
    const keys = store.offset(layer);
    const half = store.precision === "f16" ? 1 : 0;
    const window = shape.window ?? 0;
    const logits = sinks === null ? 0 : this.#products.inHeap(heap, "sinks", sinks, 4 * heads);
    const units = T * kvHeads;
    // The units of a range share reads: few tokens take adjacent heads each, many tokens all heads
    // of several.
    const grain = T < 4 * pool.threads ? Math.ceil(units / pool.threads) : 4 * kvHeads;
    let seen = 0; // pairs of a token and a position
    for (const position of batch.positions) seen += window > 0 ? Math.min(position + 1, window) : position + 1;
    const macs = 2 * heads * headDim * seen;
    const alone = macs <= this.#products.grain.floatMacs;
    // biome-ignore format: the kernel's arguments in order
    const args = [q, width, positions, tables, keys, keys + planeBytes, blockSize, heads, kvHeads, headDim, scale, logits, window, half, scratch, scratchBytes, to];
    yield* this.#products.slices.run("attention", heap, units, alone ? units : grain, macs / units, args);
    this.#products.copy(heap, to, this.#home, y, 4 * T * heads * headDim);
  }
}
