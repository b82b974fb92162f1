// Rows of a GGUF file's blocks as planes, bit for bit what ggml.split() of kernels/formats makes,
// and woven into panels at once: they are still in the cache.

import { P0, P1, P2, P3 } from "./lib/simd/format.simd";
import { scratchOf } from "./lib/simd/scratch.simd";
import { splitBlock } from "./lib/simd/splitter.simd";
import { weave } from "./weave.simd";

/**
 * Rows [from, to) of `rowBytes` bytes of blocks, `groups` groups of `columns` columns and `bytes`
 * bytes each, to the row-major planes at p0 .. p3, and from there to the panels at out0 .. out3.
 * They are the rows at `blocks`, or (`sides` 2) those in turn with the rows at `others`. The last
 * group of a row may have fewer bytes: zeros follow. `book` is where their codebook lies, if they
 * have one. Bit k of `halves`: elements of plane k have two bytes, not four.
 */
export function split(
  from: u32,
  to: u32,
  thread: u32,
  blocks: usize,
  others: usize,
  sides: usize,
  rowBytes: usize,
  groups: usize,
  bytes: usize,
  columns: usize,
  book: usize,
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  halves: u32,
  out0: usize,
  out1: usize,
  out2: usize,
  out3: usize,
): void {
  // The planes' constants are of eight rows of 32 columns.
  const each = columns / 32;
  const whole = rowBytes / bytes;
  for (let r: usize = from; r < <usize>to; r++) {
    const row = (sides == 2 && (r & 1) != 0 ? others : blocks) + (r / sides) * rowBytes;
    const place = r * groups * each;
    for (let g: usize = 0; g < groups; g++) {
      let block = row + g * bytes;
      if (g == whole) {
        const copy = scratchOf(thread);
        memory.fill(copy, 0, bytes);
        memory.copy(copy, block, rowBytes - whole * bytes);
        block = copy;
      }
      const at = place + g * each;
      const to2 = p2 + (at * P2) / 8;
      splitBlock(block, bytes, book, p0 + (at * P0) / 8, p1 + (at * P1) / 8, to2, p3 + (at * P3) / 8);
    }
  }
  const per = groups * each;
  put(from, to, thread, p0, (per * P0) / 8, halves & 1, out0);
  put(from, to, thread, p1, (per * P1) / 8, halves & 2, out1);
  put(from, to, thread, p2, (per * P2) / 8, halves & 4, out2);
  put(from, to, thread, p3, (per * P3) / 8, halves & 8, out3);
}

/** Weaves rows of one plane of `bytes` bytes a row, if the format has it. */
function put(from: u32, to: u32, thread: u32, plane: usize, bytes: usize, half: u32, out: usize): void {
  if (bytes == 0) return;
  const size: u32 = half != 0 ? 2 : 4;
  weave(from, to, thread, plane, <u32>bytes / size, size, 0, 1, out);
}
