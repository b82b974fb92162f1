// Scales that are int8, one a group of 32 columns, times an f16 a group of 256.

import { halves } from "./lanes.simd";
import { pairsAt } from "./levels.simd";

const INTEGERS: usize = 8;
const FACTORS: usize = 2;

/** Scales of rows 0 .. 3 (half 0) or 4 .. 7 for group g, from planes of integers and of factors. */
// @ts-ignore: decorator
@inline export function superScale(integers: usize, factors: usize, g: usize, half: usize): v128 {
  // An element is the scales of two groups.
  const pairs = pairsAt(integers + (g >> 1) * (2 * INTEGERS) + 8 * half);
  const scales = i32x4.shr_s(i32x4.shl(pairs, <i32>(24 - 8 * (g & 1))), 24);
  return f32x4.mul(f32x4.convert_i32x4_s(scales), halves(factors + (g >> 3) * (8 * FACTORS) + 8 * half));
}
