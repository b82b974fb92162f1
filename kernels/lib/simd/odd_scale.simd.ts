// Scales (2 s + 1) d / 8: s a nibble a group of 16 columns in the third plane, d an f16 a group of
// 256 in the fourth: pairs4(), supers4() and scale4() of formats (planes.simd.ts).

import { halvesAt, pairsAt } from "./levels.simd";

const NIBBLES: usize = 8;
const FACTORS: usize = 2;

/** 2 s + 1 of both halves of group g of four rows, the lower two bytes of a lane. */
// @ts-ignore: decorator
@inline export function pairs4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  const four = pairsAt(p2 + (g >> 3) * (8 * NIBBLES) + ((g & 7) >> 1) * 16, half);
  const two = i32x4.shr_u(four, <i32>(8 * (g & 1)));
  const first = v128.and(i32x4.shl(two, 1), i32x4.splat(0x1e));
  const second = v128.and(i32x4.shl(two, 5), i32x4.splat(0x1e00));
  return v128.or(v128.or(first, second), i32x4.splat(0x0101));
}

/** d / 8 as f32. */
// @ts-ignore: decorator
@inline export function supers4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return f32x4.mul(halvesAt(p3 + (g >> 3) * (8 * FACTORS), half), f32x4.splat(0.125));
}
