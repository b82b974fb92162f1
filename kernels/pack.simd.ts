// Rows of f32 as planes, bit for bit what pack() of kernels/formats makes of them.

import { P0, P1, packGroup } from "./lib/simd/format.simd";
import { scratchOf } from "./lib/simd/scratch.simd";

/**
 * In a thread's scratch, f32 [32]: a row's last group with zeros behind it. The
 * rest is packGroup()'s.
 */
const PADDED: usize = 0;

/**
 * Rows [from, to) of x [count, cols] at `x` to the row-major planes at p0 and p1, which hold all
 * `count` rows.
 */
export function pack(from: u32, to: u32, thread: u32, x: usize, cols: u32, p0: usize, p1: usize): void {
  const groups = (cols + 31) / 32;
  const scratch = scratchOf(thread);
  for (let r = from; r < to; r++) {
    let source = x + <usize>r * cols * 4;
    let first = p0 + <usize>r * groups * (P0 / 8);
    let second = p1 + <usize>r * groups * (P1 / 8);
    for (let left: i32 = cols; left > 0; left -= 32) {
      let values = source;
      if (left < 32) {
        values = scratch + PADDED;
        memory.fill(values, 0, 128);
        memory.copy(values, source, left * 4);
      }
      packGroup(values, first, second, scratch);
      source += 128;
      first += P0 / 8;
      second += P1 / 8;
    }
  }
}
