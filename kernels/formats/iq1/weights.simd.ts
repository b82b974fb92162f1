// iq1 for the SIMD kernels (lib/simd/planes.simd.ts): thirds of sixteen columns an element, the bit
// of 32.

import { oneBitOf, twoBitsOf } from "../../lib/simd/levels.simd";

export { column, EXACT, FUSED, minimums16, NIBBLES, offset4, OFFSETS, scale32, scale4, scales16, superOffset4, superScale4 } from "../../lib/simd/defaults.simd";
export { pairs4, supers4 } from "../../lib/simd/odd_scale.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P0: usize = 64;
export const P1: usize = 32;
export const P2: usize = 8;
export const P3: usize = 2;
export const INT8: bool = true;
export const BITS: i32 = 5;
export const LOW: u32 = 0x18181818;
export const HIGH: bool = true;
export const CENTER: i32 = 9;
export const SIXTEENS: bool = true;
export const SUPER: bool = true;

// @ts-ignore: decorator
@inline export function other(): v128 {
  return i32x4.splat(0x02020202);
}

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return v128.or(twoBitsOf(w, k, 3, low), oneBitOf(h, k, 1, other));
}
