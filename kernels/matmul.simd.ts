// y = x wᵀ for every precision of w and any number of tokens.

import { product } from "./lib/simd/product.simd";

/**
 * Blocks [from, to) of eight rows of w [N, D] -> their columns of y [T, N]. `form`, the planes w and s, `groups` and the
 * rows of x are those of lib/simd/product.simd.ts.
 */
export function matmul(
  from: u32,
  to: u32,
  thread: u32,
  form: u32,
  w: usize,
  s: usize,
  groups: usize,
  N: u32,
  x: usize,
  T: u32,
  y: usize,
): void {
  product(false, from, to, thread, form, w, s, groups, N, x, T, y);
}
