// f8 for the SIMD kernels (lib/simd/planes.simd.ts): an element is four columns, each a byte.

export { BITS, CENTER, column, EXACT, FUSED, HIGH, INT8, level, minimums16, NIBBLES, offset4, OFFSETS, scale4, scales16, SIXTEENS } from "../../lib/simd/defaults.simd";

export const P0: usize = 256;
export const P1: usize = 8;
export const P2: usize = 0;
export const P3: usize = 0;

export function weights(p0: usize, p1: usize, p2: usize, p3: usize, g: usize, out: usize): usize {
  for (let half: usize = 0; half < 2; half++) {
    const scale = v128.load(p1 + (g >> 2) * 32 + 16 * half);
    const end = out + 1024;
    for (let w = p0 + g * P0 + 16 * half, to = out + 16 * half; to < end; w += 32) {
      const four = v128.load(w);
      for (let left = 24; left >= 0; left -= 8, to += 32)
        v128.store(to, f32x4.mul(number(i32x4.shl(four, left)), scale));
    }
  }
  return out;
}

/** The upper bytes of four words: bits where an f32 has them, whose bias is 120 more. */
// @ts-ignore: decorator
@inline function number(w: v128): v128 {
  const bits = v128.and(i32x4.shr_s(w, 4), i32x4.splat(0x87f00000));
  return f32x4.mul(bits, f32x4.splat(<f32>1.329227995784916e36));
}
