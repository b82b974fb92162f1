// weights() of formats with level(): a group of a panel as f32, bit for bit as unpack() of
// kernels/formats makes it.

import { CENTER, level, LOW, minimums16, OFFSETS, offset4, other, P0, P1, pairs4, SIXTEENS, scale4, scales16, supers4 } from "./format.simd";
import { highOf, wordOf } from "./planes.simd";

export function weights(p0: usize, p1: usize, p2: usize, p3: usize, g: usize, out: usize): usize {
  fourRows(p0, p1, p2, p3, g, 0, out);
  fourRows(p0, p1, p2, p3, g, 1, out);
  return out;
}

/** The first (half 0) or the second four rows of a panel. */
// @ts-ignore: decorator
@inline function fourRows(p0: usize, p1: usize, p2: usize, p3: usize, g: usize, half: usize, out: usize): void {
  const w = p0 + g * P0;
  const h = p1 + g * P1;
  const to = out + 16 * half;
  const pairs = pairs4(p1, p2, p3, g, half);
  const supers = supers4(p1, p2, p3, g, half);
  const d = scale4(pairs, supers, g);
  const dmin = offset4(pairs, supers, g);
  const scales = scales16(pairs);
  const minimums = minimums16(pairs);
  let scale = SIXTEENS ? f32x4.mul(f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.shl(scales, 24), 24)), d) : d;
  let offset = SIXTEENS ? f32x4.mul(f32x4.convert_i32x4_s(v128.and(minimums, i32x4.splat(0xffff))), dmin) : dmin;
  four(w, h, 0, half, scale, offset, to);
  four(w, h, 1, half, scale, offset, to);
  four(w, h, 2, half, scale, offset, to);
  four(w, h, 3, half, scale, offset, to);
  if (SIXTEENS) {
    scale = f32x4.mul(f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.shl(scales, 16), 24)), d);
    offset = f32x4.mul(f32x4.convert_i32x4_s(i32x4.shr_u(minimums, 16)), dmin);
  }
  four(w, h, 4, half, scale, offset, to);
  four(w, h, 5, half, scale, offset, to);
  four(w, h, 6, half, scale, offset, to);
  four(w, h, 7, half, scale, offset, to);
}

/** Columns 4k .. 4k + 3 of four rows. k is a constant. */
// @ts-ignore: decorator
@inline function four(w: usize, h: usize, k: usize, half: usize, scale: v128, offset: v128, out: usize): void {
  const bytes = level(wordOf(w, k, half), highOf(h, k, half), <i32>k, i32x4.splat(LOW), other());
  for (let i: usize = 0; i < 4; i++) {
    const value = v128.and(i32x4.shr_u(bytes, <i32>(8 * i)), i32x4.splat(255));
    const centered = OFFSETS ? value : i32x4.sub(value, i32x4.splat(CENTER));
    const product = f32x4.mul(f32x4.convert_i32x4_s(centered), scale);
    v128.store(out + 128 * k + 32 * i, OFFSETS ? f32x4.sub(product, offset) : product);
  }
}
