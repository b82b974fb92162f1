// 32 weights as f16.

import { packHalves } from "../../lib/simd/half.simd";

/** Nothing is taken from scratch. */
export function setUp(scratch: usize): void {}

/** 32 f32 at x to p0. */
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
  packHalves(x, p0);
}
