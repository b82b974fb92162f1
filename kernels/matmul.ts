// y = x wᵀ: every row of w is unpacked once and multiplied by all tokens.

import { dot } from "./dot.ts";
import { type Packed, unpackRow } from "./packed.ts";
import type { Scratch } from "./scratch.ts";

/**
 * Columns [from, to) of y [T, N] = x [T, D] · wᵀ, w [N, D]; sums in f64.
 */
export function matmul(
  x: Float32Array,
  T: number,
  w: Packed,
  y: Float32Array,
  from: number,
  to: number,
  scratch: Scratch,
): void {
  const { rows: N, layout } = w;
  const D = layout.cols;
  const row = scratch.floats("row", D).subarray(0, D);
  for (let n = from; n < to; n++) {
    unpackRow(w, n, row);
    for (let t = 0; t < T; t++) y[t * N + n] = dot(x, t * D, row, 0, D);
  }
}
