// f8 for the SIMD kernels (lib/simd/planes.simd.ts): an element is four columns, each a byte.

export { BITS, CENTER, column, FUSED, HIGH, INT8, level, LOW, minimums16, NIBBLES, offset4, OFFSETS, other, pairs4, scale32, scales16, SIXTEENS, SUPER, superOffset4, superScale4 } from "../../lib/simd/defaults.simd";

export const P0: usize = 256;
export const P1: usize = 8;
export const P2: usize = 0;
export const P3: usize = 0;
export const EXACT: bool = false;

export function weights(p0: usize, p1: usize, p2: usize, p3: usize, g: usize, out: usize): usize {
  const end = out + 1024;
  for (let w = p0 + g * P0, to = out; to < end; w += 32, to += 128) {
    const low = v128.load(w);
    const high = v128.load(w, 16);
    v128.store(to, number(i32x4.shl(low, 24)));
    v128.store(to, number(i32x4.shl(high, 24)), 16);
    v128.store(to, number(i32x4.shl(low, 16)), 32);
    v128.store(to, number(i32x4.shl(high, 16)), 48);
    v128.store(to, number(i32x4.shl(low, 8)), 64);
    v128.store(to, number(i32x4.shl(high, 8)), 80);
    v128.store(to, number(low), 96);
    v128.store(to, number(high), 112);
  }
  return out;
}

// @ts-ignore: decorator
@inline export function supers4(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return v128.load(p1 + (g >> 2) * 32 + 16 * half);
}

// @ts-ignore: decorator
@inline export function scale4(pairs: v128, supers: v128, g: usize): v128 {
  return supers;
}

/** The upper bytes of four words: bits where an f32 has them, whose bias is 120 more. */
// @ts-ignore: decorator
@inline function number(w: v128): v128 {
  const bits = v128.and(i32x4.shr_s(w, 4), i32x4.splat(0x87f00000));
  return f32x4.mul(bits, f32x4.splat(<f32>1.329227995784916e36));
}
