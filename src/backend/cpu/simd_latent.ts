// Multi-head latent attention: products of each head, and what queries and the key are made of.

import { latent } from "../../../kernels/latent.ts";
import type { Attention, Batch, HeadMatrices, Latent } from "../ops.ts";
import type { Heap } from "./heap.ts";
import type { Projected, SimdAttention } from "./simd_attention.ts";
import type { SimdHeaps } from "./simd_heaps.ts";
import type { SimdProducts } from "./simd_products.ts";
import type { SimdHeads } from "./simd_values.ts";

/** Rows, and where they have the values of head h: from float first + h * each on. */
interface Columns extends Projected {
  readonly first: number;
  readonly each: number;
}

export class SimdLatent {
  readonly #heaps: SimdHeaps;
  readonly #home: Heap;
  readonly #products: SimdProducts;
  readonly #attention: SimdAttention;

  constructor(heaps: SimdHeaps, home: Heap, products: SimdProducts, attention: SimdAttention) {
    this.#heaps = heaps;
    this.#home = home;
    this.#products = products;
    this.#attention = attention;
  }

  /** Ops.latent() of q and c to rows y [T, (H + 1) (dr + kv)], all in the home heap. */
  *queries(
    q: number,
    c: number,
    y: number,
    batch: Batch,
    { absorb, norm, eps }: Latent,
    shape: Attention,
  ): Generator<void> {
    const T = batch.tokens.length;
    const { heads: H, headDim, latent: kv = 0 } = shape;
    const [nope, rope, width] = [absorb.cols, headDim - kv, (H + 1) * headDim];
    const { floats } = this.#home;
    const rows = (at: number, width: number) => floats.subarray(at / 4, at / 4 + T * width);
    latent(rows(q, H * (nope + rope)), rows(c, headDim), { heads: H, nope, rope, latent: kv }, rows(y, width), 0, T);
    const own = { at: q, width: H * (nope + rope), first: 0, each: nope + rope };
    yield* this.#multiply(own, T, absorb, { at: y, width, first: rope, each: headDim });
    this.#attention.norm({ at: y, width }, T, H * headDim + rope, kv, norm, eps);
    this.#attention.turn({ at: y, width }, batch, shape);
  }

  /** Ops.heads() of x [T, H cols] to y [T, H rows], both in the home heap. */
  heads(x: number, T: number, w: HeadMatrices, y: number): Generator<void> {
    const { heads: H, rows, cols } = w;
    return this.#multiply({ at: x, width: H * cols, first: 0, each: cols }, T, w, {
      at: y,
      width: H * rows,
      first: 0,
      each: rows,
    });
  }

  *#multiply(own: Columns, T: number, w: HeadMatrices, into: Columns): Generator<void> {
    const { matrices, heads: H, rows, cols } = w as SimdHeads;
    let x = own.at;
    if (T > 1 || own.first > 0 || own.each !== cols) {
      x = this.#heaps.workspace(this.#home).at("rows of heads", 4 * H * T * cols);
      this.#each(own, T, H, (at, n) => this.#home.floats.copyWithin(x / 4 + n * cols, at, at + cols));
    }
    const y = yield* this.#products.heads(x, T, matrices);
    this.#each(into, T, H, (at, n) => this.#home.floats.copyWithin(at, y / 4 + n * rows, y / 4 + (n + 1) * rows));
  }

  /** The first float of each head of each row, and its number in [H, T]. */
  #each({ at, width, first, each }: Columns, T: number, H: number, use: (at: number, n: number) => void): void {
    for (let h = 0; h < H; h++) for (let t = 0; t < T; t++) use(at / 4 + t * width + first + h * each, h * T + t);
  }
}
