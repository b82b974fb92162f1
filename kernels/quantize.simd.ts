// Activations as int8 with one scale a group of 32: x = scale * q, scale = max|x| / 127, q to the nearest integer.
//
// A row of D values becomes G = ceil(D / 32) groups: all quants, then G scales (f32), then G first values of sums (i32).
// `bytes` says for which weights: 0 for q4, quants and first values as lib/simd/dot.simd wants them; 1 for q8, quants as int16
// pairs and -128 times their sum, because a q8 byte is stored as weight + 128. Columns past D count as zeros.

import { start, storeEight, X_GROUP } from "./lib/simd/dot.simd";
import { maxOf } from "./lib/simd/lanes.simd";
import { PAIRS_GROUP, storePairs } from "./lib/simd/pairs.simd";
import { scratchOf } from "./lib/simd/scratch.simd";

/** Bytes of one quantized row of D values. */
export function quantizedBytes(D: u32, bytes: u32): u32 {
  return ((D + 31) / 32) * ((bytes ? PAIRS_GROUP : X_GROUP) + 8);
}

/** Rows [from, to) of x [T, D] at `x` to quantized rows at `y`. */
export function quantize(from: u32, to: u32, thread: u32, x: usize, D: u32, bytes: u32, y: usize): void {
  if (bytes) rows(true, from, to, thread, x, D, y);
  else rows(false, from, to, thread, x, D, y);
}

// @ts-ignore: decorator
@inline function rows(bytes: bool, from: u32, to: u32, thread: u32, x: usize, D: u32, y: usize): void {
  const groups = (D + 31) / 32;
  const size = bytes ? PAIRS_GROUP : X_GROUP;
  const rowBytes: usize = quantizedBytes(D, bytes ? 1 : 0);
  for (let t = from; t < to; t++) {
    let xp = x + <usize>t * D * 4;
    let quants = y + <usize>t * rowBytes;
    let scales = quants + groups * size;
    let starts = scales + groups * 4;
    for (let left: i32 = D; left > 0; left -= 32) {
      let values = xp;
      if (left < 32) {
        values = scratchOf(thread);
        memory.fill(values, 0, 128);
        memory.copy(values, xp, left * 4);
      }
      group(bytes, values, quants, scales, starts);
      xp += 128;
      quants += size;
      scales += 4;
      starts += 4;
    }
  }
}

// @ts-ignore: decorator
@inline function group(bytes: bool, x: usize, quants: usize, scale: usize, first: usize): void {
  let most = f32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) most = f32x4.max(most, f32x4.abs(v128.load(x + i)));
  const step = maxOf(most) / 127;
  const inverse = f32x4.splat(step > 0 ? 1 / step : 0);
  let sum = i32x4.splat(0);
  for (let i: usize = 0; i < 4; i++) {
    const low = nearest(f32x4.mul(v128.load(x + 32 * i), inverse));
    const high = nearest(f32x4.mul(v128.load(x + 32 * i, 16), inverse));
    sum = i32x4.add(sum, i32x4.add(low, high));
    if (bytes) storePairs(quants + i * (PAIRS_GROUP / 4), low, high);
    else storeEight(quants + i * (X_GROUP / 4), low, high);
  }
  store<f32>(scale, step);
  const pairs = i32x4.add(sum, v128.shuffle<i32>(sum, sum, 2, 3, 2, 3));
  const all = i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1);
  store<i32>(first, bytes ? -128 * all : start(all));
}

/** The nearest integers, ties to even, of values within 2^22: added to 1.5 * 2^23, they are the low bits of the sum. */
// @ts-ignore: decorator
@inline function nearest(x: v128): v128 {
  return i32x4.sub(f32x4.add(x, f32x4.splat(<f32>12582912)), i32x4.splat(0x4b400000));
}
