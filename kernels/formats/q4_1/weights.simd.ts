// q4_1 for the SIMD kernels (lib/simd/planes.simd.ts): levels are q4's, eight columns an element.

import { lowerHalf, nibblesOf, upperHalf, wordsAt } from "../../lib/simd/levels.simd";
import { splitHalfNibbles } from "../../lib/simd/split.simd";

export { CENTER, column, EXACT, FUSED, HIGH, minimums16, other, pairs4, scale32, scales16, SIXTEENS, SUPER, superOffset4, superScale4 } from "../../lib/simd/defaults.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P0: usize = 128;
export const P1: usize = 32;
export const P2: usize = 0;
export const P3: usize = 0;
export const INT8: bool = true;
export const BITS: i32 = 4;
export const LOW: u32 = 0x0f0f0f0f;
export const NIBBLES: bool = true;
export const OFFSETS: bool = true;

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return nibblesOf(w, k, low);
}

// @ts-ignore: decorator
@inline export function supers4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return wordsAt(p1 + g * P1, half);
}

// @ts-ignore: decorator
@inline export function scale4(pairs: v128, supers: v128, g: usize): v128 {
  return lowerHalf(supers);
}

// @ts-ignore: decorator
@inline export function offset4(pairs: v128, supers: v128, g: usize): v128 {
  return f32x4.neg(upperHalf(supers));
}

export function splitGroup(block: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  store<u32>(p1, load<u32>(block));
  splitHalfNibbles(block + 4, p0);
}
