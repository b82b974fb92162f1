// Scales that are int8, one a group of 32 columns, times an f16 a group of 256: pairs4(), supers4()
// and scale4() of formats (planes.simd.ts).


import { halvesAt, pairsAt } from "./levels.simd";

const INTEGERS: usize = 8;
const FACTORS: usize = 2;

/**
 * Four rows' elements of the plane of integers that have those of group g: the scales
 * of two groups.
 */
// @ts-ignore: decorator
@inline export function integersOf(plane: usize, g: usize, half: usize): v128 {
  return pairsAt(plane + (g >> 1) * (2 * INTEGERS), half);
}

/** Their f16 as f32. */
// @ts-ignore: decorator
@inline export function factorsOf(plane: usize, g: usize, half: usize): v128 {
  return halvesAt(plane + (g >> 3) * (8 * FACTORS), half);
}

/** The integers of group g. */
// @ts-ignore: decorator
@inline export function integerOf(pairs: v128, g: usize): v128 {
  return i32x4.shr_s(i32x4.shl(pairs, <i32>(24 - 8 * (g & 1))), 24);
}

// @ts-ignore: decorator
@inline export function superScale(pairs: v128, factors: v128, g: usize): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(integerOf(pairs, g)), factors);
}
