// Rows of a GGUF file's blocks as planes, bit for bit what ggml.split() of kernels/formats makes.

import { P0, P1, P2, P3, splitGroup } from "./lib/simd/format.simd";
import { scratchOf } from "./lib/simd/scratch.simd";

/**
 * Rows [from, to) of `rowBytes` bytes of blocks at `blocks`, `groups` groups of `columns` columns
 * and `bytes` bytes each, to the row-major planes at p0 .. p3. The last group of a row may have
 * fewer bytes: zeros follow.
 */
export function split(
  from: u32,
  to: u32,
  thread: u32,
  blocks: usize,
  rowBytes: usize,
  groups: usize,
  bytes: usize,
  columns: usize,
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
): void {
  // The planes' constants are of eight rows of 32 columns.
  const each = columns / 32;
  const whole = rowBytes / bytes;
  for (let r: usize = from; r < <usize>to; r++) {
    const row = blocks + r * rowBytes;
    const first = r * groups * each;
    for (let g: usize = 0; g < groups; g++) {
      let block = row + g * bytes;
      if (g == whole) {
        const copy = scratchOf(thread);
        memory.fill(copy, 0, bytes);
        memory.copy(copy, block, rowBytes - whole * bytes);
        block = copy;
      }
      const at = first + g * each;
      splitGroup(block, p0 + (at * P0) / 8, p1 + (at * P1) / 8, p2 + (at * P2) / 8, p3 + (at * P3) / 8);
    }
  }
}
