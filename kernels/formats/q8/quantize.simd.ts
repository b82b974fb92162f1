// 32 weights as q8, bit for bit what its pack() makes of them.

import { finiteHalf, mostOf, ofHalf } from "../../lib/simd/half.simd";

/** Nothing is taken from scratch. */
export function setUp(scratch: usize): void {}

/** 32 f32 at x to levels at p0 and their scale at p1. */
export function packGroup(
  x: usize,
  w: usize,
  count: i32,
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  scratch: usize,
): void {
  store<u16>(p1, packLevels(x, p0));
}

/** Writes 32 levels at y. Returns their scale. */
function packLevels(x: usize, y: usize): u32 {
  const most = mostBits(x);
  if (most > 0x7f800000) {
    memory.fill(y, 128, 32);
    return 0x7e00; // a NaN spoils its group, as it should
  }
  const half = finiteHalf(<f64>reinterpret<f32>(most) / 127);
  const scale = ofHalf(half);
  const inverse = f32x4.splat(scale > 0 ? 1 / scale : 0);
  let farthest = f32x4.splat(0);
  let first = i32x4.splat(0);
  for (let i: usize = 0; i < 4; i++) {
    const a = f32x4.mul(v128.load(x + 32 * i), inverse);
    const b = f32x4.mul(v128.load(x + 32 * i, 16), inverse);
    const low = f32x4.pmax(f32x4.pmin(a, f32x4.splat(127)), f32x4.splat(-127));
    const high = f32x4.pmax(f32x4.pmin(b, f32x4.splat(127)), f32x4.splat(-127));
    // Adding 1.5 * 2^23 rounds and leaves the integer in the low bits.
    const lowBits = f32x4.add(low, f32x4.splat(12582912));
    const highBits = f32x4.add(high, f32x4.splat(12582912));
    farthest = f32x4.pmax(farthest, f32x4.abs(f32x4.sub(low, f32x4.sub(lowBits, f32x4.splat(12582912)))));
    farthest = f32x4.pmax(farthest, f32x4.abs(f32x4.sub(high, f32x4.sub(highBits, f32x4.splat(12582912)))));
    const eight = i16x8.narrow_i32x4_s(
      i32x4.sub(lowBits, i32x4.splat(0x4b400000)),
      i32x4.sub(highBits, i32x4.splat(0x4b400000)),
    );
    if ((i & 1) == 0) first = eight;
    else v128.store(y + 8 * i - 8, v128.xor(i8x16.narrow_i16x8_s(first, eight), i8x16.splat(-128)));
  }
  // f32's quotients are off by 127 * 2^-23 at most: nearer to a half than that, f64 decides.
  if (v128.any_true(f32x4.gt(farthest, f32x4.splat(<f32>0.49998)))) exactQ8(x, y, 1 / <f64>scale);
  return half;
}

function exactQ8(x: usize, y: usize, inverse: f64): void {
  for (let i: usize = 0; i < 32; i++) {
    const multiple = <f64>load<f32>(x + 4 * i) * inverse;
    const above = ceil(multiple);
    const rounded = above - 0.5 > multiple ? above - 1 : above; // Math.round; floor(x + 0.5) takes 0.5 - 2^-54 up
    store<u8>(y + i, <u8>(<i32>max<f64>(-127, min<f64>(127, rounded)) + 128));
  }
}

/** The bits of max|x| of a group; NaN, which is above infinity here, where there is one. */
// @ts-ignore: decorator
@inline function mostBits(x: usize): u32 {
  let most = i32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) most = i32x4.max_u(most, v128.and(v128.load(x + i), i32x4.splat(0x7fffffff)));
  return mostOf(most);
}
