// Scales and zero points of the affine formats (kernels/formats/affine.ts). `shift`, a constant,
// says that 2^shift groups of 32 columns share them.

import { halvesAt, pairsAt } from "./levels.simd";

/** Scales of four rows of the panel whose scales are at p1. */
// @ts-ignore: decorator
@inline export function scalesOf(p1: usize, g: usize, half: usize, shift: usize): v128 {
  return halvesAt(p1 + (g >> shift) * 16, half);
}

/** Zero points of four rows of the panel whose zero points are at p2. */
// @ts-ignore: decorator
@inline export function zerosOf(p2: usize, g: usize, half: usize, shift: usize): v128 {
  const pairs = pairsAt(p2 + (g >> (shift + 1)) * 16, half);
  return v128.and(i32x4.shr_u(pairs, <i32>(8 * ((g >> shift) & 1))), i32x4.splat(255));
}
