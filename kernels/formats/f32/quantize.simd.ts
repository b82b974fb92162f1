// 32 weights as f32: as they are.

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
  for (let i: usize = 0; i < 128; i += 16) v128.store(p0 + i, v128.load(x + i));
}
