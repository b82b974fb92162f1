// q5_0 for the SIMD kernels (lib/simd/planes.simd.ts): low bits as q4's levels, the fifth of 32
// columns an element.

import { halvesAt, nibblesOf, oneBitOf } from "../../lib/simd/levels.simd";
import { splitHalfNibbles, splitWord } from "../../lib/simd/split.simd";

export { column, EXACT, FUSED, minimums16, NIBBLES, offset4, OFFSETS, pairs4, scale32, scales16, SIXTEENS, SUPER, superOffset4, superScale4 } from "../../lib/simd/defaults.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P0: usize = 128;
export const P1: usize = 32;
export const P2: usize = 16;
export const P3: usize = 0;
export const INT8: bool = true;
export const BITS: i32 = 5;
export const LOW: u32 = 0x0f0f0f0f;
export const HIGH: bool = true;
export const CENTER: i32 = 16;

// @ts-ignore: decorator
@inline export function other(): v128 {
  return i32x4.splat(0x10101010);
}

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return v128.or(nibblesOf(w, k, low), oneBitOf(h, k, 4, other));
}

// @ts-ignore: decorator
@inline export function supers4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return halvesAt(p2 + g * P2, half);
}

// @ts-ignore: decorator
@inline export function scale4(pairs: v128, supers: v128, g: usize): v128 {
  return supers;
}

export function splitGroup(block: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  store<u16>(p2, load<u16>(block));
  store<u32>(p1, splitWord(load<u32>(block, 2)));
  splitHalfNibbles(block + 6, p0);
}
