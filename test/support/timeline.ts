// What a KV store must return, in float64 and from the formulas.

import type { KvPrecision } from "../../src/backend/ops.ts";
import { HALF_TO_FLOAT, toHalf } from "../../src/tensor/half.ts";
import type { Geometry, Numbers } from "./reference.ts";

/**
 * Keys and values by sequence and position: what a KV store must return, whatever its blocks.
 */
export class Timeline {
  readonly #rows = new Map<string, Float64Array>(); // k | v, each [Hkv, Dh]
  readonly #precision: KvPrecision;
  readonly #shape: Geometry | undefined;

  /** @param shape of q8: how rows are cut into heads */
  constructor(precision: KvPrecision, shape?: Geometry) {
    this.#precision = precision;
    this.#shape = shape;
  }

  append(sequence: number, position: number, kv: Numbers): void {
    this.#rows.set(`${sequence} ${position}`, this.#kept(kv));
  }

  /** What the cache holds of a position's keys and values. */
  #kept(kv: Numbers): Float64Array {
    if (this.#precision === "f32") return Float64Array.from(kv);
    if (this.#precision === "f16") return Float64Array.from(kv, (value) => HALF_TO_FLOAT[toHalf(value)]!);
    const { headDim, kvHeads, latent } = this.#shape!;
    const heads = Array.from({ length: kv.length / headDim }, (_, h) =>
      q8Head(Float64Array.from(kv.subarray(h * headDim, (h + 1) * headDim)), !latent && h < kvHeads),
    );
    return Float64Array.from(heads.flatMap((head) => [...head]));
  }

  /** softmax(scale q kᵀ) v for one token: q [H, Dh] -> [H, Dh]. */
  attend(sequence: number, position: number, q: Numbers, g: Geometry): Float64Array {
    const { heads, kvHeads, headDim } = g;
    const size = g.latent ?? headDim; // of a value
    const first = g.window === null ? 0 : Math.max(0, position - g.window + 1);
    const seen: Float64Array[] = [];
    for (let p = first; p <= position; p++) seen.push(this.#rows.get(`${sequence} ${p}`)!);
    const y = new Float64Array(heads * size);
    for (let h = 0; h < heads; h++) {
      const kvHead = Math.floor((h * kvHeads) / heads);
      const at = kvHead * headDim;
      const value = g.latent ? headDim - size : kvHeads * headDim + at;
      const scores = seen.map((row) => {
        let sum = 0;
        for (let d = 0; d < headDim; d++) sum += q[h * headDim + d]! * row[at + d]!;
        return sum * g.scale;
      });
      const sink = g.logits?.[h] ?? Number.NEGATIVE_INFINITY;
      const max = Math.max(sink, ...scores);
      const total = scores.reduce((sum, score) => sum + Math.exp(score - max), Math.exp(sink - max));
      seen.forEach((row, p) => {
        const weight = Math.exp(scores[p]! - max) / total;
        for (let d = 0; d < size; d++) y[h * size + d]! += weight * row[value + d]!;
      });
    }
    return y;
  }
}

/** A head's numbers as they are read again; of keys they were rotated meanwhile. */
function q8Head(head: Float64Array, rotated: boolean): Float64Array {
  return rotated ? hadamard(rounded(hadamard(head))) : rounded(head);
}

/** (-1)^bits(i) */
const SIGNS = Array.from({ length: 1024 }, (_, i) => (-1) ** i.toString(2).replaceAll("0", "").length);

/** x by blocks of falling powers of two: row i of a block of n has (-1)^bits(i & j) / sqrt(n). */
function hadamard(x: Float64Array): Float64Array {
  const y = new Float64Array(x.length);
  for (let at = 0; at < x.length; ) {
    const n = 2 ** Math.floor(Math.log2(x.length - at));
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) y[at + i]! += (SIGNS[i & j]! * x[at + j]!) / Math.sqrt(n);
    at += n;
  }
  return y;
}

/** x as int8 with the largest magnitude of every 32 numbers as f16. */
function rounded(x: Float64Array): Float64Array {
  return x.map((value, i) => {
    const group = x.subarray(i - (i % 32), i - (i % 32) + 32);
    const scale = HALF_TO_FLOAT[toHalf(Math.max(...group.map(Math.abs)))]! / 127;
    return scale > 0 ? scale * Math.max(-127, Math.min(127, Math.round(value / scale))) : 0;
  });
}
