// y_h = w_h x_h: each head's own product.

import { dot } from "./dot.ts";
import { type Packed, unpackRow } from "./packed.ts";
import type { Scratch } from "./scratch.ts";

/** Where rows of `width` floats have the values of head h: from float first + h * each on. */
export interface HeadColumns {
  readonly width: number;
  readonly first: number;
  readonly each: number;
}

/**
 * Heads [from, to), w [H] matrices [N, D]: columns `own` of x [T, own.width] -> `into` of y
 * [T, into.width]; sums in f64.
 */
export function heads(
  x: Float32Array,
  own: HeadColumns,
  T: number,
  w: readonly Packed[],
  y: Float32Array,
  into: HeadColumns,
  from: number,
  to: number,
  scratch: Scratch,
): void {
  const { rows: N, layout } = w[0]!;
  const D = layout.cols;
  const row = scratch.floats("row", D).subarray(0, D);
  for (let h = from; h < to; h++)
    for (let n = 0; n < N; n++) {
      unpackRow(w[h]!, n, row);
      const at = into.first + h * into.each + n;
      for (let t = 0; t < T; t++) y[t * into.width + at] = dot(x, t * own.width + own.first + h * own.each, row, 0, D);
    }
}
