// x = most / 127 * level: a head's key or value as int8, with the largest magnitude of every 32
// numbers as f16, so that the range is f16's.
//
// A row is ceil(Dh / 32) groups: the levels of all, zeros past Dh, then the magnitudes, padded to
// eight bytes. Keys are rotated first (rotate.ts), as the queries that meet them are; values are
// not, nor are latents, which are values too.

import { HALF_TO_FLOAT, toFiniteHalf } from "../src/tensor/half.ts";
import { q8RowBytes } from "../src/tensor/q8_row.ts";
import { rotate } from "./rotate.ts";

/** `headDim` values of x at `at` to the row at byte `to`; `values` [headDim] is overwritten. */
export function packQ8(
  x: Float32Array,
  at: number,
  headDim: number,
  rotated: boolean,
  rows: Uint8Array,
  to: number,
  values: Float64Array,
): void {
  for (let i = 0; i < headDim; i++) values[i] = x[at + i]!;
  if (rotated) rotate(values, 0, headDim);
  const groups = Math.ceil(headDim / 32);
  rows.fill(0, to, to + q8RowBytes(headDim));
  for (let g = 0; g < groups; g++) {
    const end = Math.min(32 * g + 32, headDim);
    let most = 0;
    for (let i = 32 * g; i < end; i++) most = Math.max(most, Math.abs(values[i]!));
    const half = toFiniteHalf(most);
    const scale = HALF_TO_FLOAT[half]! / 127;
    rows[to + 32 * groups + 2 * g] = half & 0xff;
    rows[to + 32 * groups + 2 * g + 1] = half >> 8;
    if (!(scale > 0)) continue; // zeros, and what is not a number
    for (let i = 32 * g; i < end; i++)
      rows[to + i] = Math.max(-127, Math.min(127, Math.round(values[i]! / scale))) & 0xff;
  }
}

/** The row at byte `at` as `headDim` values of y at `to`, rotated if it is. */
export function unpackQ8(rows: Uint8Array, at: number, headDim: number, y: Float32Array, to: number): void {
  const magnitudes = at + 32 * Math.ceil(headDim / 32);
  for (let i = 0; i < headDim; i++) {
    const g = magnitudes + 2 * (i >> 5);
    const most = HALF_TO_FLOAT[rows[g]! | (rows[g + 1]! << 8)]!;
    y[to + i] = (most / 127) * ((rows[at + i]! << 24) >> 24);
  }
}
