// y = w x for one token, multiplying the packed weights as they are: what decoding spends its time in.

import { HALF_TO_FLOAT } from "../src/tensor/half.ts";
import { GROUP } from "../src/tensor/pack.ts";
import { dot, tile1x4 } from "./dot.ts";
import { type Packed, unpackRow } from "./packed.ts";
import type { Scratch } from "./scratch.ts";

/** y[yAt + n] = Σ_d w[n, d] x[xAt + d] for rows n in [from, to). */
export function matmulVec(
  x: Float32Array,
  xAt: number,
  w: Packed,
  y: Float32Array,
  yAt: number,
  from: number,
  to: number,
  scratch: Scratch,
): void {
  const D = w.layout.cols;
  const whole = to - ((to - from) % 4);
  switch (w.layout.precision) {
    case "f32":
      for (let n = from; n < whole; n += 4) tile1x4(x, xAt, w.floats, n * w.stride, w.stride, D, y, yAt + n);
      break;
    case "f16":
      matmulVecF16(x, xAt, w, y, yAt, from, whole);
      break;
    case "q8":
      matmulVecQ8(padded(x, xAt, w, scratch), w, y, yAt, from, whole);
      break;
    case "q4":
      matmulVecQ4(padded(x, xAt, w, scratch), groupSums(x, xAt, w, scratch), w, y, yAt, from, whole);
      break;
    default:
      w.layout.precision satisfies never;
  }
  const row = scratch.floats("row", w.stride);
  for (let n = whole; n < to; n++) {
    unpackRow(w, n, row, 0);
    y[yAt + n] = dot(x, xAt, row, 0, D);
  }
}

/** The token's D values in f64, then zeros up to whole groups. */
function padded(x: Float32Array, at: number, w: Packed, scratch: Scratch): Float64Array {
  const { cols: D } = w.layout;
  const copy = scratch.doubles("x", w.stride);
  for (let d = 0; d < D; d++) copy[d] = x[at + d]!;
  return copy.fill(0, D, w.stride);
}

/** 8 Σx of every group: Σ (u - 8) x = Σ u x - 8 Σx takes the subtraction out of the inner loop. */
function groupSums(x: Float32Array, at: number, w: Packed, scratch: Scratch): Float64Array {
  const { cols: D, groups } = w.layout;
  const sums = scratch.doubles("sums", groups);
  for (let g = 0; g < groups; g++) {
    let sum = 0;
    for (let d = g * GROUP; d < Math.min(D, (g + 1) * GROUP); d++) sum += x[at + d]!;
    sums[g] = 8 * sum;
  }
  return sums;
}

function matmulVecF16(
  x: Float32Array,
  xAt: number,
  w: Packed,
  y: Float32Array,
  yAt: number,
  from: number,
  to: number,
): void {
  const { halves, stride } = w;
  const D = w.layout.cols;
  for (let n = from; n < to; n += 4) {
    const w0 = n * stride;
    const w1 = w0 + stride;
    const w2 = w1 + stride;
    const w3 = w2 + stride;
    let y0 = 0;
    let y1 = 0;
    let y2 = 0;
    let y3 = 0;
    for (let d = 0; d < D; d++) {
      const a = x[xAt + d]!;
      y0 += a * HALF_TO_FLOAT[halves[w0 + d]!]!;
      y1 += a * HALF_TO_FLOAT[halves[w1 + d]!]!;
      y2 += a * HALF_TO_FLOAT[halves[w2 + d]!]!;
      y3 += a * HALF_TO_FLOAT[halves[w3 + d]!]!;
    }
    y[yAt + n] = y0;
    y[yAt + n + 1] = y1;
    y[yAt + n + 2] = y2;
    y[yAt + n + 3] = y3;
  }
}

function matmulVecQ8(x: Float64Array, w: Packed, y: Float32Array, yAt: number, from: number, to: number): void {
  const { bytes, scales, stride } = w;
  const { groups } = w.layout;
  for (let n = from; n < to; n += 4) {
    const w0 = n * stride;
    const w1 = w0 + stride;
    const w2 = w1 + stride;
    const w3 = w2 + stride;
    const s = n * groups;
    let y0 = 0;
    let y1 = 0;
    let y2 = 0;
    let y3 = 0;
    for (let g = 0, d = 0; g < groups; g++) {
      let sum0 = 0;
      let sum1 = 0;
      let sum2 = 0;
      let sum3 = 0;
      for (let i = 0; i < GROUP; i++, d++) {
        const a = x[d]!;
        sum0 += a * bytes[w0 + d]!;
        sum1 += a * bytes[w1 + d]!;
        sum2 += a * bytes[w2 + d]!;
        sum3 += a * bytes[w3 + d]!;
      }
      y0 += HALF_TO_FLOAT[scales[s + g]!]! * sum0;
      y1 += HALF_TO_FLOAT[scales[s + groups + g]!]! * sum1;
      y2 += HALF_TO_FLOAT[scales[s + 2 * groups + g]!]! * sum2;
      y3 += HALF_TO_FLOAT[scales[s + 3 * groups + g]!]! * sum3;
    }
    y[yAt + n] = y0;
    y[yAt + n + 1] = y1;
    y[yAt + n + 2] = y2;
    y[yAt + n + 3] = y3;
  }
}

/** Two rows at a time: each converted x serves two nibbles, and more rows would not fit the registers. */
function matmulVecQ4(
  x: Float64Array,
  sums: Float64Array,
  w: Packed,
  y: Float32Array,
  yAt: number,
  from: number,
  to: number,
): void {
  const { words, scales } = w;
  const { groups } = w.layout;
  for (let n = from; n < to; n += 2) {
    let word0 = n * groups * 4;
    let word1 = word0 + groups * 4;
    let y0 = 0;
    let y1 = 0;
    for (let g = 0, d = 0; g < groups; g++) {
      let even0 = 0;
      let odd0 = 0;
      let even1 = 0;
      let odd1 = 0;
      for (let j = 0; j < 4; j++, d += 8) {
        const p = words[word0++]!;
        const q = words[word1++]!;
        const a0 = x[d]!;
        const a1 = x[d + 1]!;
        const a2 = x[d + 2]!;
        const a3 = x[d + 3]!;
        const a4 = x[d + 4]!;
        const a5 = x[d + 5]!;
        const a6 = x[d + 6]!;
        const a7 = x[d + 7]!;
        even0 += a0 * (p & 15);
        odd0 += a1 * ((p >>> 8) & 15);
        even0 += a2 * ((p >>> 16) & 15);
        odd0 += a3 * ((p >>> 24) & 15);
        even0 += a4 * ((p >>> 4) & 15);
        odd0 += a5 * ((p >>> 12) & 15);
        even0 += a6 * ((p >>> 20) & 15);
        odd0 += a7 * (p >>> 28);
        even1 += a0 * (q & 15);
        odd1 += a1 * ((q >>> 8) & 15);
        even1 += a2 * ((q >>> 16) & 15);
        odd1 += a3 * ((q >>> 24) & 15);
        even1 += a4 * ((q >>> 4) & 15);
        odd1 += a5 * ((q >>> 12) & 15);
        even1 += a6 * ((q >>> 20) & 15);
        odd1 += a7 * (q >>> 28);
      }
      y0 += HALF_TO_FLOAT[scales[n * groups + g]!]! * (even0 + odd0 - sums[g]!);
      y1 += HALF_TO_FLOAT[scales[(n + 1) * groups + g]!]! * (even1 + odd1 - sums[g]!);
    }
    y[yAt + n] = y0;
    y[yAt + n + 1] = y1;
  }
}
