// q6_k for the SIMD kernels (lib/simd/planes.simd.ts): low bits as q4's levels, eight columns an
// element; high bits of sixteen columns an element.

import { halvesAt, nibblesOf, pairsAt, twoBitsOf } from "../../lib/simd/levels.simd";
import { splitNibbles, splitTwoBits } from "../../lib/simd/split.simd";

export { column, EXACT, FUSED, minimums16, NIBBLES, offset4, OFFSETS, scale32, superOffset4, superScale4 } from "../../lib/simd/defaults.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P0: usize = 128;
export const P1: usize = 64;
export const P2: usize = 16;
export const P3: usize = 2;
export const INT8: bool = true;
export const BITS: i32 = 6;
export const LOW: u32 = 0x0f0f0f0f;
export const HIGH: bool = true;
export const CENTER: i32 = 32;
export const SIXTEENS: bool = true;
export const SUPER: bool = true;

// @ts-ignore: decorator
@inline export function other(): v128 {
  return i32x4.splat(0x30303030);
}

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return v128.or(nibblesOf(w, k, low), twoBitsOf(h, k, 4, other));
}

// @ts-ignore: decorator
@inline export function pairs4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return pairsAt(p2 + g * P2, half);
}

// @ts-ignore: decorator
@inline export function supers4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return halvesAt(p3 + (g >> 3) * (8 * P3), half);
}

// @ts-ignore: decorator
@inline export function scale4(pairs: v128, supers: v128, g: usize): v128 {
  return supers;
}

// @ts-ignore: decorator
@inline export function scales16(pairs: v128): v128 {
  return pairs;
}

export function splitGroup(block: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  for (let half: usize = 0; half < 128; half += 64)
    for (let j: usize = 0; j < 32; j += 16) splitNibbles(block + half + 2 * j, p0 + half + j, p0 + half + j + 32);
  splitTwoBits(block + 128, p1);
  v128.store(p2, v128.load(block, 192));
  store<u16>(p3, load<u16>(block, 208));
}
