// q4_k for the SIMD kernels (lib/simd/planes.simd.ts): levels are q4's, eight columns an element.

import { bytesAt, lowerByte, lowerHalf, nibblesOf, upperPair, upperHalf, wordsAt } from "../../lib/simd/levels.simd";
import { splitNibbles, splitScales } from "../../lib/simd/split.simd";

export { CENTER, column, EXACT, FUSED, HIGH, minimums16, other, scales16, SIXTEENS } from "../../lib/simd/defaults.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P0: usize = 128;
export const P1: usize = 16;
export const P2: usize = 4;
export const P3: usize = 0;
export const INT8: bool = true;
export const BITS: i32 = 4;
export const LOW: u32 = 0x0f0f0f0f;
export const NIBBLES: bool = true;
export const OFFSETS: bool = true;
export const SUPER: bool = true;

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return nibblesOf(w, k, low);
}

// @ts-ignore: decorator
@inline export function pairs4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return bytesAt(p1 + g * P1, half);
}

// @ts-ignore: decorator
@inline export function supers4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return wordsAt(p2 + (g >> 3) * (8 * P2), half);
}

// @ts-ignore: decorator
@inline export function scale4(pairs: v128, supers: v128, g: usize): v128 {
  return f32x4.mul(lowerByte(pairs), lowerHalf(supers));
}

// @ts-ignore: decorator
@inline export function offset4(pairs: v128, supers: v128, g: usize): v128 {
  return f32x4.mul(upperPair(pairs), upperHalf(supers));
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
@inline export function scale32(pairs: v128, g: usize, byte: v128): v128 {
  return v128.and(pairs, byte);
}

export function splitGroup(block: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  store<u32>(p2, load<u32>(block));
  splitScales(block + 4, p1);
  for (let j: usize = 0; j < 128; j += 32) splitNibbles(block + 16 + j, p0 + j, p0 + j + 16);
}
