// q5_k for the SIMD kernels (lib/simd/planes.simd.ts): low bits as q4's levels, the fifth of 32
// columns an element.

import { bytesAt, lowerByte, lowerHalf, nibblesOf, oneBitOf, upperPair, upperHalf, wordsAt } from "../../lib/simd/levels.simd";
import { splitNibbles, splitOneBit, splitScales } from "../../lib/simd/split.simd";

export { column, EXACT, FUSED, minimums16, NIBBLES, scales16, SIXTEENS } from "../../lib/simd/defaults.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P0: usize = 128;
export const P1: usize = 32;
export const P2: usize = 16;
export const P3: usize = 4;
export const INT8: bool = true;
export const BITS: i32 = 5;
export const LOW: u32 = 0x0f0f0f0f;
export const HIGH: bool = true;
export const CENTER: i32 = 16;
export const OFFSETS: bool = true;
export const SUPER: bool = true;

// @ts-ignore: decorator
@inline export function other(): v128 {
  return i32x4.splat(0x10101010);
}

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return v128.or(nibblesOf(w, k, low), oneBitOf(h, k, 4, other));
}

// @ts-ignore: decorator
@inline export function pairs4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return bytesAt(p2 + g * P2, half);
}

// @ts-ignore: decorator
@inline export function supers4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return wordsAt(p3 + (g >> 3) * (8 * P3), half);
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
  store<u32>(p3, load<u32>(block));
  splitScales(block + 4, p2);
  splitOneBit(block + 16, p1);
  for (let j: usize = 0; j < 128; j += 32) splitNibbles(block + 48 + j, p0 + j, p0 + j + 16);
}
