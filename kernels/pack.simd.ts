// Rows of f32 as planes, bit for bit what pack() of kernels/formats makes of them.

import { P0, P1, P2, P3 } from "./lib/simd/format.simd";
import { packGroup, setUp } from "./lib/simd/packer.simd";
import { scratchOf } from "./lib/simd/scratch.simd";

/**
 * In a thread's scratch, f32 [256]: a row's last group with zeros behind it. The
 * rest is packGroup()'s.
 */
const PADDED: usize = 3072;

/**
 * Rows [from, to) of x [count, cols] at `x` to the row-major planes at p0 .. p3, which hold all
 * `count` rows, in groups of `group` columns. f32 [cols] at `importance`, 0 for none, are what the
 * columns count in the error.
 */
export function pack(
  from: u32,
  to: u32,
  thread: u32,
  x: usize,
  cols: u32,
  group: u32,
  importance: usize,
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
): void {
  const groups = (cols + group - 1) / group;
  const scratch = scratchOf(thread);
  setUp(scratch);
  // The planes' constants are of eight rows of 32 columns.
  const each = <usize>group / 32;
  for (let r = from; r < to; r++) {
    for (let g: u32 = 0; g < groups; g++) {
      let values = x + (<usize>r * cols + <usize>g * group) * 4;
      const count = min(group, cols - g * group);
      if (count < group) {
        memory.fill(scratch + PADDED, 0, group * 4);
        memory.copy(scratch + PADDED, values, count * 4);
        values = scratch + PADDED;
      }
      const w = importance == 0 ? 0 : importance + <usize>g * group * 4;
      const at = (<usize>r * groups + g) * each;
      packGroup(
        values,
        w,
        count,
        p0 + (at * P0) / 8,
        p1 + (at * P1) / 8,
        p2 + (at * P2) / 8,
        p3 + (at * P3) / 8,
        scratch,
      );
    }
  }
}
