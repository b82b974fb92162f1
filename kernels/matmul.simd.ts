// y = x wᵀ for any number of tokens.

import { product } from "./lib/simd/product.simd";

/**
 * Panels [from, to) of eight rows of w [N, groups * 32] -> their columns of y [T, N]. Not 0 `int8`:
 * rows of x are rounded (quantize.simd.ts), else f32 padded to whole groups.
 */
export function matmul(
  from: u32,
  to: u32,
  thread: u32,
  int8: u32,
  w: usize,
  groups: usize,
  N: u32,
  x: usize,
  T: u32,
  y: usize,
): void {
  product(false, from, to, thread, int8 != 0, w, groups, N, x, T, y);
}
