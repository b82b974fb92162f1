// iq4_xs for the SIMD kernels (lib/simd/planes.simd.ts): codes lie as q4's levels, eight columns an
// element.

import { nibblesOf } from "../../lib/simd/levels.simd";
import { iq4Table } from "../../lib/simd/codes.simd";
import { lookUp } from "../../lib/simd/dot.simd";
import { splitHalfNibbles } from "../../lib/simd/split.simd";
import { factorsOf, integerOf, integersOf, superScale } from "../../lib/simd/super_scale.simd";

export { column, EXACT, FUSED, HIGH, minimums16, NIBBLES, offset4, OFFSETS, scales16, SIXTEENS, superOffset4, superScale4 } from "../../lib/simd/defaults.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P0: usize = 128;
export const P1: usize = 8;
export const P2: usize = 2;
export const P3: usize = 0;
export const INT8: bool = true;
export const BITS: i32 = 8;
export const LOW: u32 = 0x0f0f0f0f;
export const CENTER: i32 = 128;
export const SUPER: bool = true;

// @ts-ignore: decorator
@inline export function other(): v128 {
  return iq4Table();
}

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return lookUp(other, nibblesOf(w, k, low));
}

// @ts-ignore: decorator
@inline export function pairs4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return integersOf(p1, g, half);
}

// @ts-ignore: decorator
@inline export function supers4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return factorsOf(p2, g, half);
}

// @ts-ignore: decorator
@inline export function scale4(pairs: v128, supers: v128, g: usize): v128 {
  return superScale(pairs, supers, g);
}

// @ts-ignore: decorator
@inline export function scale32(pairs: v128, g: usize, byte: v128): v128 {
  return integerOf(pairs, g);
}

export function splitGroup(block: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  store<u16>(p2, load<u16>(block));
  const high: u32 = load<u16>(block, 2);
  for (let j: usize = 0; j < 8; j++) {
    const low = (<u32>load<u8>(block + 4 + (j >> 1)) >> <u32>(4 * (j & 1))) & 15;
    store<u8>(p1 + j, (low | (((high >> <u32>(2 * j)) & 3) << 4)) - 32);
    splitHalfNibbles(block + 8 + 16 * j, p0 + 16 * j);
  }
}
