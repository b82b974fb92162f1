// mxfp4 for the SIMD kernels (lib/simd/planes.simd.ts): codes lie as q4's levels, eight columns an
// element.

import { nibblesOf, pairsAt } from "../../lib/simd/levels.simd";
import { lookUp } from "../../lib/simd/dot.simd";
import { splitHalfNibbles } from "../../lib/simd/split.simd";

export { column, EXACT, FUSED, HIGH, minimums16, NIBBLES, offset4, OFFSETS, scale32, scales16, SIXTEENS, SUPER, superOffset4, supers4, superScale4 } from "../../lib/simd/defaults.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P0: usize = 128;
export const P1: usize = 8;
export const P2: usize = 0;
export const P3: usize = 0;
export const INT8: bool = true;
export const BITS: i32 = 5;
export const LOW: u32 = 0x0f0f0f0f;
export const CENTER: i32 = 12;

// @ts-ignore: decorator
@inline export function other(): v128 {
  return i8x16(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);
}

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return lookUp(other, nibblesOf(w, k, low));
}

// @ts-ignore: decorator
@inline export function pairs4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return pairsAt(p1 + (g >> 1) * (2 * P1), half); // the exponents of two groups
}

// @ts-ignore: decorator
@inline export function scale4(pairs: v128, supers: v128, g: usize): v128 {
  // 2^(e - 128) has e less one where f32 has its exponent; 0 and 1 are subnormal.
  const e = v128.and(i32x4.shr_u(pairs, <i32>(8 * (g & 1))), i32x4.splat(255));
  const normal = i32x4.shl(i32x4.sub(e, i32x4.splat(1)), 23);
  const small = i32x4.add(i32x4.shl(e, 21), i32x4.splat(0x200000));
  return v128.bitselect(small, normal, i32x4.lt_u(e, i32x4.splat(2)));
}

export function splitGroup(block: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  store<u8>(p1, load<u8>(block));
  store<u8>(p1 + 1, load<u8>(block, 17));
  splitHalfNibbles(block + 1, p0);
  splitHalfNibbles(block + 18, p0 + 16);
}
