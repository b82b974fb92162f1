// 256 weights as q4_k, bit for bit what its pack() makes of them.

import { CODES, storeNibbles, TRIED, takeGroup } from "../../lib/simd/search.simd";
import { levels256, PAIRS, pairs256 } from "../../lib/simd/search_affine.simd";

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
  takeGroup(x, w, count, 256, scratch);
  const supers = pairs256(32, 15, 63, scratch);
  for (let j: usize = 0; j < 8; j++) {
    store<u8>(p1 + 2 * j, <u8>load<f32>(scratch + 8 * j, PAIRS));
    store<u8>(p1 + 2 * j + 1, <u8>load<f32>(scratch + 8 * j, PAIRS + 4));
    levels256(j, 32, 15, supers, scratch + CODES, scratch);
    storeNibbles(scratch + CODES, p0 + 16 * j);
  }
  store<u32>(p2, supers);
}
