// iq4_nl for the SIMD kernels (lib/simd/planes.simd.ts): codes lie as q4's levels, eight columns an
// element.

import { halvesAt, nibblesOf } from "../../lib/simd/levels.simd";
import { iq4Table } from "../../lib/simd/codes.simd";
import { lookUp } from "../../lib/simd/dot.simd";
import { splitHalfNibbles } from "../../lib/simd/split.simd";

export { column, EXACT, FUSED, HIGH, minimums16, NIBBLES, offset4, OFFSETS, pairs4, scale32, scales16, SIXTEENS, SUPER, superOffset4, superScale4 } from "../../lib/simd/defaults.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P0: usize = 128;
export const P1: usize = 16;
export const P2: usize = 0;
export const P3: usize = 0;
export const INT8: bool = true;
export const BITS: i32 = 8;
export const LOW: u32 = 0x0f0f0f0f;
export const CENTER: i32 = 128;

// @ts-ignore: decorator
@inline export function other(): v128 {
  return iq4Table();
}

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return lookUp(other, nibblesOf(w, k, low));
}

// @ts-ignore: decorator
@inline export function supers4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return halvesAt(p1 + g * P1, half);
}

// @ts-ignore: decorator
@inline export function scale4(pairs: v128, supers: v128, g: usize): v128 {
  return supers;
}

export function splitGroup(block: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  store<u16>(p1, load<u16>(block));
  splitHalfNibbles(block + 2, p0);
}
