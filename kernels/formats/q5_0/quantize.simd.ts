// 32 weights as q5_0, bit for bit what its pack() makes of them.

import { CODES, packSigned, storeNibbles, storeOneBit, TRIED, takeGroup } from "../../lib/simd/search.simd";

/** Writes what packing takes from scratch. */
export function setUp(scratch: usize): void {
  for (let k: usize = 0; k < 16; k++) store<f32>(scratch + 4 * k, <f32>(0.33 * <f64>k - 18), TRIED);
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
  takeGroup(x, w, count, 32, scratch);
  store<u16>(p2, packSigned(16, -16, 15, true, i32x4.splat(0), scratch));
  storeNibbles(scratch + CODES, p0);
  storeOneBit(scratch + CODES, 4, p1);
}
