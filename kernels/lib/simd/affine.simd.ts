// What the affine formats export (planes.simd.ts; kernels/formats/affine.ts): 4-bit levels, an f16
// scale and a zero point that 2^SHIFT groups of 32 columns share.

import { SHIFT } from "./format.simd";
import { halvesAt, nibblesOf, pairsAt } from "./levels.simd";

export const P0: usize = 128;
export const P3: usize = 0;
export const BITS: i32 = 4;
export const LOW: u32 = 0x0f0f0f0f;
export const NIBBLES: bool = true;
export const OFFSETS: bool = true;

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return nibblesOf(w, k, low);
}

/** Zero points of four rows of the panel whose zero points are at p2. */
// @ts-ignore: decorator
@inline export function pairs4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  const pairs = pairsAt(p2 + (g >> (SHIFT + 1)) * 16, half);
  return v128.and(i32x4.shr_u(pairs, <i32>(8 * ((g >> SHIFT) & 1))), i32x4.splat(255));
}

/** Scales of four rows of the panel whose scales are at p1. */
// @ts-ignore: decorator
@inline export function supers4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return halvesAt(p1 + (g >> SHIFT) * 16, half);
}

// @ts-ignore: decorator
@inline export function scale4(pairs: v128, supers: v128, g: usize): v128 {
  return supers;
}

// @ts-ignore: decorator
@inline export function offset4(pairs: v128, supers: v128, g: usize): v128 {
  return f32x4.mul(supers, f32x4.convert_i32x4_s(pairs));
}
