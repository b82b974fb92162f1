// y += weight * w2 h: the second half of an expert, added to the rows of the tokens that chose it.

import { matmul } from "./matmul.ts";
import type { Packed } from "./packed.ts";
import type { Scratch } from "./scratch.ts";

/**
 * Columns [from, to) of y [rows, D]: y[tokens[i]] += weights[i] * (w2 h[i]), for the n =
 * tokens.length rows of h [n, F]; w2 [D, F]. @param bias [D] that w2 h gets, or null
 */
export function expertDown(
  h: Float32Array,
  tokens: Uint32Array,
  weights: Float32Array,
  w2: Packed,
  y: Float32Array,
  from: number,
  to: number,
  scratch: Scratch,
  bias: Float32Array | null = null,
): void {
  const D = w2.rows;
  const down = scratch.floats("down", tokens.length * D);
  matmul(h, tokens.length, w2, down, from, to, scratch);
  for (let i = 0; i < tokens.length; i++) {
    const row = tokens[i]! * D;
    const weight = weights[i]!;
    for (let d = from; d < to; d++) y[row + d] = y[row + d]! + weight * (down[i * D + d]! + (bias ? bias[d]! : 0));
  }
}
