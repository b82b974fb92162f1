// q6_k for the SIMD kernels (lib/simd/planes.simd.ts): low bits as q4's levels, eight columns an
// element; high bits of sixteen columns an element.

import { splitNibbles, splitTwoBits } from "../../lib/simd/split.simd";
import { halves } from "../../lib/simd/lanes.simd";

export { column, EXACT, FUSED, first, INT8, OFFSETS, offset4, scale4, WIDE } from "../../lib/simd/defaults.simd";

export const P0: usize = 128;
export const P1: usize = 64;
export const P2: usize = 16;
export const P3: usize = 2;

export function weights(p0: usize, p1: usize, p2: usize, p3: usize, g: usize, out: usize): usize {
  for (let half: usize = 0; half < 2; half++) {
    const d = halves(p3 + (g >> 3) * (8 * P3) + 8 * half);
    const pairs = v128.load16x4_u(p2 + g * P2 + 8 * half) as v128;
    for (let j: usize = 0; j < 4; j++) {
      const eight = v128.load(p0 + g * P0 + 32 * j + 16 * half);
      const high = i32x4.shr_u(v128.load(p1 + g * P1 + (j >> 1) * 32 + 16 * half), <i32>(4 * (j & 1)));
      const scales = i32x4.shr_s(i32x4.shl(pairs, j < 2 ? 24 : 16), 24);
      const scale = f32x4.mul(f32x4.convert_i32x4_s(scales), d);
      let to = out + 256 * j + 16 * half;
      for (let i = 0; i < 8; i++, to += 32) {
        const low = v128.and(i32x4.shr_u(eight, 8 * (i & 3) + (i & 4)), i32x4.splat(15));
        const two = v128.and(i32x4.shr_u(high, 8 * (i & 3) + 2 * (i >> 2)), i32x4.splat(3));
        const level = i32x4.sub(v128.or(low, i32x4.shl(two, 4)), i32x4.splat(32));
        v128.store(to, f32x4.mul(f32x4.convert_i32x4_s(level), scale));
      }
    }
  }
  return out;
}

export function splitGroup(block: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  for (let half: usize = 0; half < 128; half += 64)
    for (let j: usize = 0; j < 32; j += 16) splitNibbles(block + half + 2 * j, p0 + half + j, p0 + half + j + 32);
  splitTwoBits(block + 128, p1);
  v128.store(p2, v128.load(block, 192));
  store<u16>(p3, load<u16>(block, 208));
}
