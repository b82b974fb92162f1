// q2_k for the SIMD kernels (lib/simd/planes.simd.ts): levels of sixteen columns an element.

import { lowerHalf, pairsAt, twoBitsOf, upperHalf, wordsAt } from "../../lib/simd/levels.simd";
import { splitTwoBits } from "../../lib/simd/split.simd";

export { CENTER, column, EXACT, FUSED, HIGH, NIBBLES, other, scale32 } from "../../lib/simd/defaults.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P0: usize = 64;
export const P1: usize = 16;
export const P2: usize = 4;
export const P3: usize = 0;
export const INT8: bool = true;
export const BITS: i32 = 2;
export const LOW: u32 = 0x03030303;
export const OFFSETS: bool = true;
export const SIXTEENS: bool = true;
export const SUPER: bool = true;

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return twoBitsOf(w, k, 0, low);
}

// @ts-ignore: decorator
@inline export function pairs4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return pairsAt(p1 + g * P1, half);
}

// @ts-ignore: decorator
@inline export function supers4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return wordsAt(p2 + (g >> 3) * (8 * P2), half);
}

// @ts-ignore: decorator
@inline export function scale4(pairs: v128, supers: v128, g: usize): v128 {
  return lowerHalf(supers);
}

// @ts-ignore: decorator
@inline export function offset4(pairs: v128, supers: v128, g: usize): v128 {
  return upperHalf(supers);
}

// @ts-ignore: decorator
@inline export function superScale4(supers: v128): v128 {
  return lowerHalf(supers);
}

// @ts-ignore: decorator
@inline export function superOffset4(supers: v128): v128 {
  return upperHalf(supers);
}

// @ts-ignore: decorator
@inline export function scales16(pairs: v128): v128 {
  return v128.and(pairs, i32x4.splat(0x0f0f));
}

// @ts-ignore: decorator
@inline export function minimums16(pairs: v128): v128 {
  return v128.or(v128.and(i32x4.shr_u(pairs, 4), i32x4.splat(15)), v128.and(i32x4.shl(pairs, 4), i32x4.splat(0xf0000)));
}

export function splitGroup(block: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  v128.store(p1, v128.load(block));
  splitTwoBits(block + 16, p0);
  store<u32>(p2, load<u32>(block, 80));
}
