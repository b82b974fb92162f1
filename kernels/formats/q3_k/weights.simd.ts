// q3_k for the SIMD kernels (lib/simd/planes.simd.ts): low bits of sixteen columns an element, the
// third of 32; scales six elements (q3_k.ts).

import { halvesAt, oneBitOf, pairsAt, twoBitsOf } from "../../lib/simd/levels.simd";
import { splitOneBit, splitTwoBits } from "../../lib/simd/split.simd";

export { column, EXACT, FUSED, minimums16, NIBBLES, offset4, OFFSETS, scale32, superOffset4, superScale4 } from "../../lib/simd/defaults.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P0: usize = 64;
export const P1: usize = 32;
export const P2: usize = 12;
export const P3: usize = 2;
export const INT8: bool = true;
export const BITS: i32 = 3;
export const LOW: u32 = 0x03030303;
export const HIGH: bool = true;
export const CENTER: i32 = 4;
export const SIXTEENS: bool = true;
export const SUPER: bool = true;

// @ts-ignore: decorator
@inline export function other(): v128 {
  return i32x4.splat(0x04040404);
}

// @ts-ignore: decorator
@inline export function level(w: v128, h: v128, k: i32, low: v128, other: v128): v128 {
  return v128.or(twoBitsOf(w, k, 0, low), oneBitOf(h, k, 2, other));
}

// @ts-ignore: decorator
@inline export function pairs4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  const at = p2 + (g >> 3) * (8 * P2);
  const low = i32x4.shr_u(pairsAt(at + ((g & 7) >> 1) * 16, half), <i32>(8 * (g & 1)));
  const high = i32x4.shr_u(pairsAt(at + 64 + ((g & 7) >> 2) * 16, half), <i32>(4 * (g & 3)));
  const first = v128.or(v128.and(low, i32x4.splat(15)), v128.and(i32x4.shl(high, 4), i32x4.splat(0x30)));
  const second = v128.or(v128.and(i32x4.shl(low, 4), i32x4.splat(0xf00)), v128.and(i32x4.shl(high, 10), i32x4.splat(0x3000)));
  return i8x16.sub(v128.or(first, second), i32x4.splat(0x2020));
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
  splitOneBit(block, p1);
  splitTwoBits(block + 32, p0);
  // Eight bytes of low bits, the low nibbles first, then four of high bits: byte j's bits 2k are
  // scale 4k + j's.
  for (let j: usize = 0; j < 4; j++) {
    const first = load<u8>(block + 96 + 2 * j);
    const next = load<u8>(block + 97 + 2 * j);
    store<u8>(p2 + j, (first & 15) | (next << 4));
    store<u8>(p2 + 4 + j, (first >> 4) | (next & 0xf0));
  }
  const high = load<u32>(block, 104);
  for (let k: usize = 0; k < 4; k++) {
    const four = (high >> (<u32>(2 * k))) & 0x03030303;
    store<u8>(p2 + 8 + k, four | (four >> 6) | (four >> 12) | (four >> 18));
  }
  store<u16>(p3, load<u16>(block, 108));
}
