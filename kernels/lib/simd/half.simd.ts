// f32 as finite f16 and back, for packed weights and their scales, and the largest magnitude that a
// scale comes from.

/** 32 f32 at x to f16 at y. */
export function packHalves(x: usize, y: usize): void {
  for (let i: usize = 0; i < 4; i++)
    v128.store(y + 16 * i, i16x8.narrow_i32x4_u(halfBits(v128.load(x + 32 * i)), halfBits(v128.load(x + 32 * i, 16))));
}

/** toFiniteHalf (src/tensor/half.ts) of four f32. */
// @ts-ignore: decorator
@inline function halfBits(v: v128): v128 {
  const magnitude = v128.and(v, i32x4.splat(0x7fffffff));
  const capped = i32x4.min_s(magnitude, i32x4.splat(0x477fe000)); // 65,504
  const odd = v128.and(i32x4.shr_u(capped, 13), i32x4.splat(1));
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(capped, odd), i32x4.splat(0xfff - 0x38000000)), 13);
  const subnormal = i32x4.sub(f32x4.add(capped, f32x4.splat(0.5)), i32x4.splat(0x3f000000));
  const finite = v128.bitselect(subnormal, normal, i32x4.lt_s(capped, i32x4.splat(0x38800000)));
  const nan = i32x4.gt_s(magnitude, i32x4.splat(0x7f800000));
  const half = v128.bitselect(i32x4.splat(0x7e00), finite, nan);
  return v128.or(half, v128.and(i32x4.shr_u(v, 16), i32x4.splat(0x8000)));
}

/** toFiniteHalf of one number. */
export function finiteHalf(value: f64): u32 {
  const bits = reinterpret<u32>(<f32>value);
  const magnitude = bits & 0x7fffffff;
  // From 2^-14 to below 65,504: nearly all.
  if (magnitude - 0x38800000 < 0x477fe000 - 0x38800000)
    return ((bits >>> 16) & 0x8000) | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
  return i32x4.extract_lane(halfBits(i32x4.splat(bits)), 0);
}

/** The number that finite f16 bits stand for. */
// @ts-ignore: decorator
@inline export function ofHalf(half: u32): f32 {
  const magnitude = half & 0x7fff;
  const value = magnitude < 0x400 ? <f32>magnitude / 16777216 : reinterpret<f32>((magnitude << 13) + 0x38000000);
  return half & 0x8000 ? -value : value;
}

/** The largest of four lanes of unsigned integers. */
// @ts-ignore: decorator
@inline export function mostOf(v: v128): u32 {
  const two = i32x4.max_u(v, v128.shuffle<i32>(v, v, 2, 3, 2, 3));
  return max(<u32>i32x4.extract_lane(two, 0), <u32>i32x4.extract_lane(two, 1));
}
