// The products of several experts, each with rows of x of its own, as one range of panels: threads
// then meet once, not once an expert.

import { product, strideOf } from "./product.simd";

/**
 * Bytes of an expert in a table: u32 address of its matrix, first row of x and y, number of rows.
 */
const EXPERT_BYTES: usize = 12;

/**
 * Units [from, to): the panels of eight rows of the first expert's matrix, then of the second's.
 * `table` names the experts; each has `panels` panels of w [N, groups * 32]. x and y are the rows
 * of all of them. The rest as in lib/simd/product.simd.ts.
 */
// @ts-ignore: decorator
@inline export function expertProducts(
  pairs: bool,
  from: u32,
  to: u32,
  thread: u32,
  int8: bool,
  table: usize,
  panels: u32,
  groups: usize,
  N: u32,
  x: usize,
  y: usize,
): void {
  const xStride = strideOf(int8, groups);
  const yStride = <usize>(pairs ? N / 2 : N) * 4;
  while (from < to) {
    const expert = from / panels;
    const start = expert * panels;
    const end = min(to, start + panels);
    const entry = table + <usize>expert * EXPERT_BYTES;
    const row = <usize>load<u32>(entry, 4);
    // biome-ignore format: one product
    product(pairs, from - start, end - start, thread, int8, load<u32>(entry), groups, N, x + row * xStride, load<u32>(entry, 8), y + row * yStride);
    from = end;
  }
}
