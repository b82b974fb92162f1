// q4_k for the SIMD kernels (lib/simd/planes.simd.ts): levels are q4's, eight columns an element.

import { splitNibbles } from "../../lib/simd/split.simd";

export { column, FUSED } from "../../lib/simd/defaults.simd";

export const P0: usize = 128;
export const P1: usize = 16;
export const P2: usize = 4;
export const P3: usize = 0;
export const EXACT: bool = true;
export const INT8: bool = true;
export const WIDE: bool = false;
export const OFFSETS: bool = true;

export function weights(p0: usize, p1: usize, p2: usize, p3: usize, g: usize, out: usize): usize {
  for (let half: usize = 0; half < 2; half++) {
    const scale = scale4(p1 + g * P1, p2, g, half);
    const offset = offset4(p1 + g * P1, p2, g, half);
    const end = out + 1024;
    for (let w = p0 + g * P0 + 16 * half, to = out + 16 * half; to < end; w += 32) {
      const eight = v128.load(w);
      for (let i = 0; i < 8; i++, to += 32) {
        const level = v128.and(i32x4.shr_u(eight, 8 * (i & 3) + (i & 4)), i32x4.splat(15));
        v128.store(to, f32x4.sub(f32x4.mul(f32x4.convert_i32x4_s(level), scale), offset));
      }
    }
  }
  return out;
}

// @ts-ignore: decorator
@inline export function first(sum: i32): i32 {
  return reinterpret<i32>(<f32>sum);
}

/** d times the scales, of four rows. */
// @ts-ignore: decorator
@inline export function scale4(s: usize, d: usize, g: usize, half: usize): v128 {
  const pairs = v128.load16x4_u(s + 8 * half) as v128;
  const scales = f32x4.convert_i32x4_s(v128.and(pairs, i32x4.splat(255)));
  return f32x4.mul(scales, upper(i32x4.shl(supers(d, g, half), 16)));
}

/** dmin times the mins. */
// @ts-ignore: decorator
@inline export function offset4(s: usize, d: usize, g: usize, half: usize): v128 {
  const pairs = v128.load16x4_u(s + 8 * half) as v128;
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.shr_u(pairs, 8)), upper(supers(d, g, half)));
}

/** d and dmin of four rows. */
// @ts-ignore: decorator
@inline function supers(d: usize, g: usize, half: usize): v128 {
  return v128.load(d + (g >> 3) * (8 * P2) + 16 * half);
}

/** The f16 in the upper halves of four words as f32. */
// @ts-ignore: decorator
@inline function upper(w: v128): v128 {
  const bits = v128.and(i32x4.shr_s(w, 3), i32x4.splat(0x8fffe000));
  return f32x4.mul(bits, f32x4.splat(<f32>5.192296858534828e33));
}

export function splitGroup(block: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  store<u32>(p2, load<u32>(block));
  const scales = load<u32>(block, 4);
  const mins = load<u32>(block, 8);
  const late = load<u32>(block, 12); // low bits of both, four groups on
  const sixes = 0x3f3f3f3f;
  let pairs = i32x4.splat(scales & sixes);
  pairs = i32x4.replace_lane(pairs, 1, mins & sixes);
  pairs = i32x4.replace_lane(pairs, 2, (late & 0x0f0f0f0f) | ((scales >>> 2) & 0x30303030));
  pairs = i32x4.replace_lane(pairs, 3, ((late >>> 4) & 0x0f0f0f0f) | ((mins >>> 2) & 0x30303030));
  v128.store(p1, v128.shuffle<i8>(pairs, pairs, 0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15));
  for (let j: usize = 0; j < 128; j += 32) splitNibbles(block + 16 + j, p0 + j, p0 + j + 16);
}
