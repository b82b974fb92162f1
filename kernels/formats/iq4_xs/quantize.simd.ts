// 256 weights as iq4_xs, bit for bit what its pack() makes of them.

import { ofHalf } from "../../lib/simd/half.simd";
import {
  CODES,
  codesOf,
  FOUND,
  inverseOf,
  scales256,
  storeNibbles,
  takeGroup,
  X,
} from "../../lib/simd/search.simd";
import { iq4Values } from "../../formats/iq4_nl/quantize.simd";

export { setUp } from "../../formats/iq4_nl/quantize.simd";

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
  const half = scales256(32, 16, -127, 113, false, iq4Values(), -32, scratch);
  const d = ofHalf(half);
  for (let j: usize = 0; j < 8; j++) {
    const i = load<f32>(scratch + 4 * j, FOUND);
    store<i8>(p1 + j, <i8>i);
    codesOf(scratch + X + 128 * j, 32, inverseOf(d * i), -127, 113, false, scratch + CODES, scratch);
    storeNibbles(scratch + CODES, p0 + 16 * j);
  }
  store<u16>(p2, half);
}
