// q4 for the SIMD kernels (lib/simd/planes.simd.ts): an element is eight columns, each a nibble.

import { halvesAt } from "../../lib/simd/levels.simd";
import { splitHalfNibbles } from "../../lib/simd/split.simd";

export { column, FUSED, HIGH, level, minimums16, offset4, OFFSETS, other, pairs4, scale32, scales16, SIXTEENS, SUPER, superOffset4, superScale4 } from "../../lib/simd/defaults.simd";

export const P0: usize = 128;
export const P1: usize = 16;
export const P2: usize = 0;
export const P3: usize = 0;
export const EXACT: bool = false;
export const INT8: bool = true;
export const BITS: i32 = 4;
export const LOW: u32 = 0x0f0f0f0f;
export const NIBBLES: bool = true;
export const CENTER: i32 = 8;

export function weights(p0: usize, p1: usize, p2: usize, p3: usize, g: usize, out: usize): usize {
  const end = out + 1024;
  for (let w = p0 + g * P0, to = out; to < end; w += 32) {
    const low = v128.load(w);
    const high = v128.load(w, 16);
    for (let i = 0; i < 8; i++, to += 32) {
      const shift = 8 * (i & 3) + (i & 4);
      v128.store(to, levels4(i32x4.shr_u(low, shift)));
      v128.store(to, levels4(i32x4.shr_u(high, shift)), 16);
    }
  }
  return out;
}

// @ts-ignore: decorator
@inline function levels4(w: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.sub(v128.and(w, i32x4.splat(15)), i32x4.splat(8)));
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
