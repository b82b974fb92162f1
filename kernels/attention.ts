// y = softmax(scale q kᵀ) v over a sequence's paged keys: online softmax, grouped
// queries, sliding window.

import { HALF_TO_FLOAT } from "../src/tensor/half.ts";
import { q8RowBytes } from "../src/tensor/q8_row.ts";
import type { KvPlane } from "./append.ts";
import { unpackQ8 } from "./append_q8.ts";
import { dot } from "./dot.ts";
import { rotate } from "./rotate.ts";
import type { Scratch } from "./scratch.ts";

/** One token's place among the cached keys. */
export interface AttentionSpan {
  /** Keys and values of one layer, by block id; undefined in blocks before all that are seen. */
  readonly keys: readonly (KvPlane | undefined)[];
  readonly values: readonly (KvPlane | undefined)[];
  readonly blockSize: number;
  /** Block ids of the token's sequence, in order of position. */
  readonly table: Uint32Array;
  /** First position seen and the position after the last (the token's own + 1). */
  readonly first: number;
  readonly end: number;
}

export interface AttentionHeads {
  readonly heads: number; // H
  readonly kvHeads: number; // Hkv
  readonly headDim: number; // Dh
  /** kv: values are the last numbers of keys, in their planes; absent: Dh, in their own. */
  readonly latent?: number;
  readonly scale: number;
  /** [H]: a logit a head that joins the softmax and has no value; null: none. */
  readonly sinks: Float32Array | null;
}

/**
 * Heads of KV heads [from, to) for one token: q [H, Dh] at qAt, y [H, Dh] or [H, kv] at yAt. Block
 * by block: with m the largest score so far and l = Σ exp(score - m), a larger score rescales l and
 * y once.
 */
export function attention(
  q: Float32Array,
  qAt: number,
  span: AttentionSpan,
  shape: AttentionHeads,
  y: Float32Array,
  yAt: number,
  from: number,
  to: number,
  scratch: Scratch,
): void {
  const { heads, kvHeads, headDim, latent, scale, sinks } = shape;
  const valueDim = latent ?? headDim;
  const { blockSize, table, first, end } = span;
  const group = heads / kvHeads; // query heads that share a KV head
  const width = kvHeads * headDim;
  const scores = scratch.doubles("scores", blockSize);
  const max = scratch.doubles("max", group);
  const total = scratch.doubles("total", group);
  const sums = scratch.doubles("attended", group * valueDim);
  if (span.keys[table[Math.floor(first / blockSize)]!] instanceof Uint8Array && !latent) {
    // Keys of q8 are rotated, and so are the queries that meet them.
    const rotated = scratch.floats("rotated", heads * headDim);
    rotated.set(q.subarray(qAt, qAt + heads * headDim));
    for (let h = 0; h < heads; h++) rotate(rotated, h * headDim, headDim);
    q = rotated;
    qAt = 0;
  }
  for (let kvHead = from; kvHead < to; kvHead++) {
    // A sink is what the softmax has seen before the first key.
    for (let h = 0; h < group; h++) max[h] = sinks ? sinks[kvHead * group + h]! : Number.NEGATIVE_INFINITY;
    total.fill(sinks ? 1 : 0, 0, group);
    sums.fill(0, 0, group * valueDim);
    for (let block = Math.floor(first / blockSize); block * blockSize < end; block++) {
      const low = Math.max(first - block * blockSize, 0);
      const high = Math.min(end - block * blockSize, blockSize);
      const k = asFloats(span.keys[table[block]!]!, low, high, width, kvHead * headDim, headDim, scratch, "keys");
      const v = latent
        ? k
        : asFloats(span.values[table[block]!]!, low, high, width, kvHead * headDim, headDim, scratch, "values");
      for (let h = 0; h < group; h++) {
        const query = qAt + (kvHead * group + h) * headDim;
        let peak = max[h]!;
        for (let p = low; p < high; p++) {
          const score = dot(q, query, k, p * width + kvHead * headDim, headDim) * scale;
          scores[p] = score;
          if (score > peak) peak = score;
        }
        const fade = Math.exp(max[h]! - peak);
        max[h] = peak;
        if (fade !== 1) {
          total[h] = total[h]! * fade;
          for (let d = 0; d < valueDim; d++) sums[h * valueDim + d] = sums[h * valueDim + d]! * fade;
        }
        for (let p = low; p < high; p++) {
          const weight = Math.exp(scores[p]! - peak);
          total[h] = total[h]! + weight;
          const at = p * width + (kvHead + 1) * headDim - valueDim;
          for (let d = 0; d < valueDim; d++) sums[h * valueDim + d] = sums[h * valueDim + d]! + weight * v[at + d]!;
        }
      }
    }
    for (let h = 0; h < group; h++)
      for (let d = 0; d < valueDim; d++)
        y[yAt + (kvHead * group + h) * valueDim + d] = sums[h * valueDim + d]! / total[h]!;
  }
}

/**
 * A plane's positions [low, high) of one KV head as f32, at the plane's own indices; f32 planes as
 * they are.
 */
function asFloats(
  plane: KvPlane,
  low: number,
  high: number,
  width: number,
  offset: number,
  headDim: number,
  scratch: Scratch,
  name: string,
): Float32Array {
  if (plane instanceof Float32Array) return plane;
  if (plane instanceof Uint8Array) {
    const bytes = q8RowBytes(headDim);
    const floats = scratch.floats(name, (plane.length / bytes) * headDim);
    for (let p = low; p < high; p++) {
      const at = p * width + offset;
      unpackQ8(plane, (at / headDim) * bytes, headDim, floats, at);
    }
    return floats;
  }
  const floats = scratch.floats(name, plane.length);
  for (let p = low; p < high; p++)
    for (let i = p * width + offset; i < p * width + offset + headDim; i++) floats[i] = HALF_TO_FLOAT[plane[i]!]!;
  return floats;
}
