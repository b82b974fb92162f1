// 256 weights as q2_k, bit for bit what its pack() makes of them.

import { CODES, storeTwoBits, TRIED, takeGroup } from "../../lib/simd/search.simd";
import { levels256, PAIRS, pairs256 } from "../../lib/simd/search_affine.simd";

/** Writes what packing takes from scratch. */
export function setUp(scratch: usize): void {
  for (let k: usize = 0; k < 16; k++) {
    store<f32>(scratch + 4 * k, <f32>(2.25 + 0.25 * <f64>(k >> 1)), TRIED);
    store<f32>(scratch + 4 * k, k & 1 ? 1 : 0.75, TRIED + 64);
  }
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
  const supers = pairs256(16, 3, 15, scratch);
  for (let j: usize = 0; j < 16; j++) {
    const a = <u32>load<f32>(scratch + 8 * j, PAIRS);
    const b = <u32>load<f32>(scratch + 8 * j, PAIRS + 4);
    store<u8>(p1 + j, a | (b << 4));
    levels256(j, 16, 3, supers, scratch + CODES + 16 * (j & 1), scratch);
    if (j & 1) storeTwoBits(scratch + CODES, 0, p0 + 4 * (j - 1));
  }
  store<u32>(p2, supers);
}
