// q4_g32 for the SIMD kernels (lib/simd/planes.simd.ts).

import { nibblesOf } from "../../lib/simd/levels.simd";
import { scalesOf, zerosOf } from "../../lib/simd/affine.simd";

export { CENTER, column, EXACT, FUSED, HIGH, minimums16, other, scale32, scales16, SIXTEENS, SUPER, superOffset4, superScale4 } from "../../lib/simd/defaults.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P0: usize = 128;
export const P1: usize = 16;
export const P2: usize = 8;
export const P3: usize = 0;
export const INT8: bool = true;
export const BITS: i32 = 4;
export const LOW: u32 = 0x0f0f0f0f;
export const NIBBLES: bool = true;
export const OFFSETS: bool = true;

/** 2^SHIFT groups of 32 columns share a scale and a zero point. */
const SHIFT: usize = 0;

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return nibblesOf(w, k, low);
}

// @ts-ignore: decorator
@inline export function pairs4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return zerosOf(p2, g, half, SHIFT);
}

// @ts-ignore: decorator
@inline export function supers4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return scalesOf(p1, g, half, SHIFT);
}

// @ts-ignore: decorator
@inline export function scale4(pairs: v128, supers: v128, g: usize): v128 {
  return supers;
}

// @ts-ignore: decorator
@inline export function offset4(pairs: v128, supers: v128, g: usize): v128 {
  return f32x4.mul(supers, f32x4.convert_i32x4_s(pairs));
}
