// 256 weights as q3_k, bit for bit what its pack() makes of them.

import {
  CODES,
  codesOf,
  FOUND,
  inverseOf,
  scales256,
  storeOneBit,
  storeTwoBits,
  TRIED,
  takeGroup,
  X,
} from "../../lib/simd/search.simd";
import { ofHalf } from "../../lib/simd/half.simd";

/** Writes what packing takes from scratch. */
export function setUp(scratch: usize): void {
  for (let k: usize = 0; k < 8; k++) store<f32>(scratch + 4 * k, <f32>(0.25 * <f64>k - 4.75), TRIED);
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
  const half = scales256(16, 8, -4, 3, true, i32x4.splat(0), -32, scratch);
  const d = ofHalf(half);
  memory.fill(p2, 0, 12);
  for (let j: usize = 0; j < 16; j++) {
    const i = load<f32>(scratch + 4 * j, FOUND);
    const s = <u32>(<i32>i + 32);
    const low = p2 + (j >> 1);
    const high = p2 + 8 + (j >> 2);
    store<u8>(low, load<u8>(low) | ((s & 15) << (4 * <u32>(j & 1))));
    store<u8>(high, load<u8>(high) | ((s >>> 4) << (2 * <u32>(j & 3))));
    const to = scratch + CODES + 16 * (j & 1);
    codesOf(scratch + X + 64 * j, 16, inverseOf(d * i), -4, 3, true, to, scratch);
    if (j & 1) {
      storeTwoBits(scratch + CODES, 0, p0 + 4 * (j - 1));
      storeOneBit(scratch + CODES, 2, p1 + 2 * (j - 1));
    }
  }
  store<u16>(p3, half);
}
