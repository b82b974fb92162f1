// The affine formats (kernels/formats/affine.ts) for the SIMD kernels: levels are q4's, eight
// columns an element. `shift`, a constant, says that 2^shift groups of 32 columns share a scale and
// a zero point.

import { halves } from "./lanes.simd";

/** weights() of planes.simd.ts. */
// @ts-ignore: decorator
@inline export function affineWeights(p0: usize, p1: usize, p2: usize, g: usize, out: usize, shift: usize): usize {
  for (let half: usize = 0; half < 2; half++) {
    const scale = scalesOf(p1, g, half, shift);
    const zero = zerosOf(p2, g, half, shift);
    const end = out + 1024;
    for (let w = p0 + g * 128 + 16 * half, to = out + 16 * half; to < end; w += 32) {
      const eight = v128.load(w);
      for (let i = 0; i < 8; i++, to += 32) {
        const level = v128.and(i32x4.shr_u(eight, 8 * (i & 3) + (i & 4)), i32x4.splat(15));
        v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(level, zero)), scale));
      }
    }
  }
  return out;
}

/** Scales of four rows of the panel whose scales are at p1. */
// @ts-ignore: decorator
@inline export function scalesOf(p1: usize, g: usize, half: usize, shift: usize): v128 {
  return halves(p1 + (g >> shift) * 16 + 8 * half);
}

/** Zero points of four rows of the panel whose zero points are at p2. */
// @ts-ignore: decorator
@inline export function zerosOf(p2: usize, g: usize, half: usize, shift: usize): v128 {
  const pairs = v128.load16x4_u(p2 + (g >> (shift + 1)) * 16 + 8 * half) as v128;
  return v128.and(i32x4.shr_u(pairs, <i32>(8 * ((g >> shift) & 1))), i32x4.splat(255));
}
