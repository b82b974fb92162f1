// iq3_xxs for the SIMD kernels (lib/simd/planes.simd.ts): codes of signed magnitudes 2, 6, ..., 26
// and 31 lie as q4's levels, eight columns an element.

import { nibblesOf } from "../../lib/simd/levels.simd";
import { lookUp } from "../../lib/simd/dot.simd";
import { factorsOf, integerOf, integersOf, superScale } from "../../lib/simd/super_scale.simd";

export { column, EXACT, FUSED, HIGH, minimums16, NIBBLES, offset4, OFFSETS, scales16, SIXTEENS, superOffset4 } from "../../lib/simd/defaults.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P0: usize = 128;
export const P1: usize = 8;
export const P2: usize = 2;
export const P3: usize = 0;
export const INT8: bool = true;
// Sums of 32 columns of six bits do not fit in int16.
export const BITS: i32 = 8;
export const LOW: u32 = 0x0f0f0f0f;
export const CENTER: i32 = 32;
export const SUPER: bool = true;

// @ts-ignore: decorator
@inline export function other(): v128 {
  return i8x16(34, 38, 42, 46, 50, 54, 58, 63, 30, 26, 22, 18, 14, 10, 6, 1);
}

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return lookUp(other, nibblesOf(w, k, low));
}

// @ts-ignore: decorator
@inline export function pairs4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return integersOf(p1, g, half);
}

// @ts-ignore: decorator
@inline export function supers4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return factorsOf(p2, g, half);
}

// @ts-ignore: decorator
@inline export function scale4(pairs: v128, supers: v128, g: usize): v128 {
  return f32x4.mul(superScale(pairs, supers, g), f32x4.splat(0.5));
}

// @ts-ignore: decorator
@inline export function scale32(pairs: v128, g: usize, byte: v128): v128 {
  return integerOf(pairs, g);
}

// @ts-ignore: decorator
@inline export function superScale4(supers: v128): v128 {
  return f32x4.mul(supers, f32x4.splat(0.5));
}
