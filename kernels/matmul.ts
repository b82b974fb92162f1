// y = x wᵀ for every precision of w: many tokens share each unpacked row, few tokens multiply the packed form itself.

import { dot, tile1x4 } from "./dot.ts";
import { matmulVec } from "./matmul_vec.ts";
import { type Packed, unpackRow } from "./packed.ts";
import type { Scratch } from "./scratch.ts";

// From this many tokens on, unpacking a row once and reusing it beats multiplying the packed form token by token.
const SHARED_FROM = { f32: 4, f16: 4, q8: 5, q4: 9 } as const;

/**
 * Columns [from, to) of y [T, N] = x [T, D] · wᵀ, w [N, D]; sums in f64. Ranges that do not overlap may run at once,
 * each thread with its own scratch.
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
  const { rows: N, cols: D, precision } = w.layout;
  if (T < SHARED_FROM[precision]) {
    for (let t = 0; t < T; t++) matmulVec(x, t * D, w, y, t * N, from, to, scratch);
    return;
  }
  const panel = precision === "f32" ? w.floats : scratch.floats("panel", 4 * w.stride);
  for (let n = from; n < to; n += 4) {
    const count = Math.min(4, to - n);
    const at = precision === "f32" ? n * w.stride : 0;
    if (precision !== "f32") for (let i = 0; i < count; i++) unpackRow(w, n + i, panel, i * w.stride);
    if (count < 4) {
      for (let t = 0; t < T; t++)
        for (let i = 0; i < count; i++) y[t * N + n + i] = dot(x, t * D, panel, at + i * w.stride, D);
      continue;
    }
    let t = 0;
    for (; t + 4 <= T; t += 4) tile4x4(x, t * D, panel, at, w.stride, D, y, t * N + n, N);
    for (; t < T; t++) tile1x4(x, t * D, panel, at, w.stride, D, y, t * N + n);
  }
}

/** Four tokens by four rows: eight loads for sixteen products. */
function tile4x4(
  x: Float32Array,
  xAt: number,
  w: Float32Array,
  wAt: number,
  stride: number,
  D: number,
  y: Float32Array,
  yAt: number,
  N: number,
): void {
  const x1 = xAt + D;
  const x2 = x1 + D;
  const x3 = x2 + D;
  const w1 = wAt + stride;
  const w2 = w1 + stride;
  const w3 = w2 + stride;
  let y00 = 0;
  let y01 = 0;
  let y02 = 0;
  let y03 = 0;
  let y10 = 0;
  let y11 = 0;
  let y12 = 0;
  let y13 = 0;
  let y20 = 0;
  let y21 = 0;
  let y22 = 0;
  let y23 = 0;
  let y30 = 0;
  let y31 = 0;
  let y32 = 0;
  let y33 = 0;
  for (let d = 0; d < D; d++) {
    const b0 = w[wAt + d]!;
    const b1 = w[w1 + d]!;
    const b2 = w[w2 + d]!;
    const b3 = w[w3 + d]!;
    const a0 = x[xAt + d]!;
    y00 += a0 * b0;
    y01 += a0 * b1;
    y02 += a0 * b2;
    y03 += a0 * b3;
    const a1 = x[x1 + d]!;
    y10 += a1 * b0;
    y11 += a1 * b1;
    y12 += a1 * b2;
    y13 += a1 * b3;
    const a2 = x[x2 + d]!;
    y20 += a2 * b0;
    y21 += a2 * b1;
    y22 += a2 * b2;
    y23 += a2 * b3;
    const a3 = x[x3 + d]!;
    y30 += a3 * b0;
    y31 += a3 * b1;
    y32 += a3 * b2;
    y33 += a3 * b3;
  }
  y[yAt] = y00;
  y[yAt + 1] = y01;
  y[yAt + 2] = y02;
  y[yAt + 3] = y03;
  y[yAt + N] = y10;
  y[yAt + N + 1] = y11;
  y[yAt + N + 2] = y12;
  y[yAt + N + 3] = y13;
  y[yAt + 2 * N] = y20;
  y[yAt + 2 * N + 1] = y21;
  y[yAt + 2 * N + 2] = y22;
  y[yAt + 2 * N + 3] = y23;
  y[yAt + 3 * N] = y30;
  y[yAt + 3 * N + 1] = y31;
  y[yAt + 3 * N + 2] = y32;
  y[yAt + 3 * N + 3] = y33;
}
