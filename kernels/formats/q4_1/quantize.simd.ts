// 32 weights as q4_1, bit for bit what its pack() makes of them.

import { CODES, storeNibbles, TRIED, takeGroup } from "../../lib/simd/search.simd";
import { packAffine } from "../../lib/simd/search_affine.simd";

/** Writes what packing takes from scratch. */
export function setUp(scratch: usize): void {
  for (let k: usize = 0; k < 16; k++) {
    store<f32>(scratch + 4 * k, <f32>(13.5 + 0.5 * <f64>(k >> 1)), TRIED);
    store<f32>(scratch + 4 * k, k & 1 ? 1 : 0.9, TRIED + 64);
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
  takeGroup(x, w, count, 32, scratch);
  store<u32>(p1, packAffine(15, scratch));
  storeNibbles(scratch + CODES, p0);
}
