// 32 weights as q5_1, bit for bit what its pack() makes of them.

import { CODES, storeNibbles, storeOneBit, TRIED, takeGroup } from "../../lib/simd/search.simd";
import { packAffine } from "../../lib/simd/search_affine.simd";

/** Writes what packing takes from scratch. */
export function setUp(scratch: usize): void {
  for (let k: usize = 0; k < 16; k++) {
    store<f32>(scratch + 4 * k, <f32>(29 + (2.0 / 3.0) * <f64>(k >> 1)), TRIED);
    store<f32>(scratch + 4 * k, k & 1 ? 1 : 0.94, TRIED + 64);
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
  store<u32>(p2, packAffine(31, scratch));
  storeNibbles(scratch + CODES, p0);
  storeOneBit(scratch + CODES, 4, p1);
}
