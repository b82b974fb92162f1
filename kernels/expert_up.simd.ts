// h = silu(w1 x) * (w3 x): the first half of an expert, gate and up in one pass.

import { product } from "./lib/product.simd";

/**
 * Blocks [from, to) of eight rows of w13 [N = 2F, D], row 2f of w1 (gate) and row 2f + 1 of w3 (up) -> their columns of
 * h [T, F]. Arguments as in matmul.simd.ts.
 */
export function expertUp(
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
  h: usize,
): void {
  product(true, from, to, thread, form, w, s, groups, N, x, T, h);
}
