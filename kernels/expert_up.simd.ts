// h = silu(w1 x) * (w3 x): the first half of the experts, gate and up in one pass.

import { expertProducts } from "./lib/simd/experts.simd";

/**
 * Units [from, to) of the experts in `table`, each w13 [N = 2F, D], row 2f of w1 (gate) and row 2f
 * + 1 of w3 (up) -> their columns of h [rows, F]. Arguments as in lib/simd/experts.simd.ts.
 */
export function expertUp(
  from: u32,
  to: u32,
  thread: u32,
  int8: u32,
  table: usize,
  panels: u32,
  groups: usize,
  N: u32,
  x: usize,
  h: usize,
): void {
  expertProducts(true, from, to, thread, int8 != 0, table, panels, groups, N, x, h);
}
