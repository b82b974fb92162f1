// iq2 for the SIMD kernels (lib/simd/planes.simd.ts): magnitudes of sixteen columns an element,
// signs of 32.

import { lookUp } from "../../lib/simd/dot.simd";
import { oneBitOf, twoBitsOf } from "../../lib/simd/levels.simd";

export { column, EXACT, FUSED, minimums16, NIBBLES, offset4, OFFSETS, scale32, scale4, scales16, superOffset4, superScale4 } from "../../lib/simd/defaults.simd";
export { pairs4, supers4 } from "../../lib/simd/odd_scale.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P0: usize = 64;
export const P1: usize = 32;
export const P2: usize = 8;
export const P3: usize = 2;
export const INT8: bool = true;
// Sums of 16 columns of seven bits do not fit in int16.
export const BITS: i32 = 8;
export const LOW: u32 = 0x03030303;
export const HIGH: bool = true;
export const CENTER: i32 = 64;
export const SIXTEENS: bool = true;
export const SUPER: bool = true;

/** By two bits, the sign, and the next column's sign, which is not masked out. */
// @ts-ignore: decorator
@inline export function other(): v128 {
  return i8x16(72, 89, 107, 124, 56, 39, 21, 4, 72, 89, 107, 124, 56, 39, 21, 4);
}

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return lookUp(other, v128.or(twoBitsOf(w, k, 0, low), oneBitOf(h, k, 2, i16x8.shl(low, 2))));
}
