// Writes a token's keys or values to its position in its sequence's blocks, as int8 with the
// largest magnitude of every 32 numbers (plain: append_q8.ts).

import { maxOf, rowBytes } from "./lib/simd/attend_q8.simd";
import { finiteHalf, ofHalf } from "./lib/simd/half.simd";
import { rotate } from "./lib/simd/rotate.simd";
import { scratchOf } from "./lib/simd/scratch.simd";

/**
 * For tokens [from, to): kvHeads heads of headDim f32 of row t of x [T, width], from float `offset`
 * on, go to address slots[t] as one row each; where `rotated` is not 0, rotated. A head has at most
 * 2,048 numbers: a thread's scratch holds it.
 */
export function appendQ8(
  from: u32,
  to: u32,
  thread: u32,
  x: usize,
  width: u32,
  offset: u32,
  slots: usize,
  kvHeads: u32,
  headDim: u32,
  rotated: u32,
): void {
  const values = scratchOf(thread);
  const groups = <usize>(headDim + 31) / 32;
  const bytes = <usize>headDim * 4;
  memory.fill(values + bytes, 0, groups * 128 - bytes);
  for (let t = <usize>from; t < <usize>to; t++) {
    let row = x + (t * <usize>width + <usize>offset) * 4;
    let slot = <usize>load<u32>(slots + t * 4);
    for (let head: u32 = 0; head < kvHeads; head++) {
      memory.copy(values, row, bytes);
      if (rotated) rotate(values, headDim);
      memory.fill(slot + groups * 32, 0, rowBytes(headDim) - groups * 32);
      for (let g: usize = 0; g < groups; g++) packGroup(values + g * 128, slot + g * 32, slot + groups * 32 + g * 2);
      row += bytes;
      slot += rowBytes(headDim);
    }
  }
}

/** 32 f32 at x to levels and the largest magnitude. */
function packGroup(x: usize, levels: usize, magnitude: usize): void {
  let most = f32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) most = f32x4.max(most, f32x4.abs(v128.load(x + i)));
  const half = finiteHalf(maxOf(most));
  const step = ofHalf(half);
  store<u16>(magnitude, <u16>half);
  // What is not a number becomes 0, what is too large the largest.
  const inverse = f32x4.splat(step > 0 ? 127 / step : 0);
  for (let i: usize = 0; i < 32; i += 8) {
    const low = level(v128.load(x + 4 * i), inverse);
    const high = level(v128.load(x + 4 * i, 16), inverse);
    const pairs = i16x8.narrow_i32x4_s(low, high);
    v128.store64_lane(levels + i, i8x16.max_s(i8x16.narrow_i16x8_s(pairs, pairs), i8x16.splat(-127)), 0);
  }
}

// @ts-ignore: decorator
@inline function level(x: v128, inverse: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(x, inverse)));
}
