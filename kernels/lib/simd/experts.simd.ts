// The products of several experts, each with rows of x of its own, as one range of blocks: threads then meet once, not once an expert.

import { product, strideOf } from "./product.simd";

/** Bytes of an expert in a table: u32 addresses of its matrix's quants and scales, first row of x and y, number of rows. */
const EXPERT_BYTES: usize = 16;

/**
 * Units [from, to): the blocks of eight rows of the first expert's matrix, then of the second's. `table` names the experts;
 * each has `blocks` blocks of w [N, groups * 32]. x and y are the rows of all of them. The rest as in lib/simd/product.simd.ts.
 */
// @ts-ignore: decorator
@inline export function expertProducts(
  pairs: bool,
  from: u32,
  to: u32,
  thread: u32,
  form: u32,
  table: usize,
  blocks: u32,
  groups: usize,
  N: u32,
  x: usize,
  y: usize,
): void {
  const xStride = strideOf(form, groups);
  const yStride = <usize>(pairs ? N / 2 : N) * 4;
  while (from < to) {
    const expert = from / blocks;
    const start = expert * blocks;
    const end = min(to, start + blocks);
    const entry = table + <usize>expert * EXPERT_BYTES;
    const row = <usize>load<u32>(entry, 8);
    // biome-ignore format: one product
    product(pairs, from - start, end - start, thread, form, load<u32>(entry), load<u32>(entry, 4), groups, N, x + row * xStride, load<u32>(entry, 12), y + row * yStride);
    from = end;
  }
}
