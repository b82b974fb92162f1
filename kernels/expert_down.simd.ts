// w2 h: the second half of the experts. What they give is added to their tokens'
// rows by combine.simd.ts.

import { expertProducts } from "./lib/simd/experts.simd";

/**
 * Units [from, to) of the experts in `table`, each w2 [D, F] -> their columns of y [rows, D].
 * Arguments as in lib/simd/experts.simd.ts.
 */
export function expertDown(
  from: u32,
  to: u32,
  thread: u32,
  int8: u32,
  table: usize,
  panels: u32,
  groups: usize,
  N: u32,
  x: usize,
  y: usize,
): void {
  expertProducts(false, from, to, thread, int8 != 0, table, panels, groups, N, x, y);
}
