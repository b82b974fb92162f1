// 64 weights as mxfp4, bit for bit what its pack() makes of them.

import {
  CODES,
  codesOf,
  errors4,
  extremeOf,
  LANES,
  SMALLEST,
  storeNibbles,
  takeGroup,
  uneven,
  X,
} from "../../lib/simd/search.simd";

// @ts-ignore: decorator
@inline function values(): v128 {
  return i8x16(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);
}

/** Writes what packing takes from scratch. */
export function setUp(scratch: usize): void {
  uneven(values(), scratch);
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
  takeGroup(x, w, count, 64, scratch);
  for (let half: usize = 0; half < 2; half++) {
    const from = scratch + X + 128 * half;
    const e = exponentOf(from, scratch);
    store<u8>(p1 + half, e);
    const inverse = e == 0 ? <f32>0 : reinterpret<f32>((255 - e) << 23);
    codesOf(from, 32, inverse, -12, 12, false, scratch + CODES, scratch);
    storeNibbles(scratch + CODES, p0 + 16 * half);
  }
}

/** exponentOf() of mxfp4.ts. */
function exponentOf(x: usize, scratch: usize): u32 {
  const extreme = abs(extremeOf(x, 32));
  if (extreme < SMALLEST) return 0;
  const bits = reinterpret<u32>(extreme / 12);
  const top = (bits >>> 23) + (bits & 0x7fffff ? 2 : 1);
  const exponents = i32x4.sub(i32x4.splat(top - 1), i32x4(0, 1, 2, 3));
  v128.store(scratch, errors4(x, 32, i32x4.shl(exponents, 23), -12, 12, false, values(), scratch), LANES);
  let least: f32 = Infinity;
  let best: u32 = 0;
  for (let k: u32 = 0; k < 4; k++) {
    const error = load<f32>(scratch + 4 * k, LANES);
    if (error < least) {
      least = error;
      best = top - k;
    }
  }
  return best;
}
