// 32 weights as iq4_nl, bit for bit what its pack() makes of them.

import { CODES, packSigned, storeNibbles, TRIED, takeGroup, uneven } from "../../lib/simd/search.simd";

// @ts-ignore: decorator
@inline export function iq4Values(): v128 {
  return i8x16(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
}

/** Writes what packing takes from scratch. */
export function setUp(scratch: usize): void {
  for (let k: usize = 0; k < 16; k++) {
    const share = 0.78 + 0.046 * <f64>(k & 7);
    store<f32>(scratch + 4 * k, <f32>(share * (k < 8 ? -127 : 113)), TRIED);
  }
  uneven(iq4Values(), scratch);
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
  store<u16>(p1, packSigned(16, -127, 113, false, iq4Values(), scratch));
  storeNibbles(scratch + CODES, p0);
}
