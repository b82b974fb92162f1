// 256 weights as q6_k, bit for bit what its pack() makes of them.

import {
  CODES,
  codesOf,
  FOUND,
  inverseOf,
  scales256,
  storeNibbles,
  storeTwoBits,
  TRIED,
  takeGroup,
  X,
} from "../../lib/simd/search.simd";
import { ofHalf } from "../../lib/simd/half.simd";

/** Writes what packing takes from scratch. */
export function setUp(scratch: usize): void {
  for (let k: usize = 0; k < 16; k++) store<f32>(scratch + 4 * k, <f32>(0.5 * <f64>k - 36), TRIED);
}

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
  takeGroup(x, w, count, 256, scratch);
  const half = scales256(16, 16, -32, 31, true, i32x4.splat(0), -128, scratch);
  const d = ofHalf(half);
  for (let j: usize = 0; j < 16; j++) {
    const i = load<f32>(scratch + 4 * j, FOUND);
    store<i8>(p2 + j, <i8>i);
    const to = scratch + CODES + 16 * (j & 1);
    codesOf(scratch + X + 64 * j, 16, inverseOf(d * i), -32, 31, true, to, scratch);
    if (j & 1) {
      storeNibbles(scratch + CODES, p0 + 8 * (j - 1));
      storeTwoBits(scratch + CODES, 4, p1 + 4 * (j - 1));
    }
  }
  store<u16>(p3, half);
}
