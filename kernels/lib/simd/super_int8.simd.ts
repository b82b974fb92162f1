// Products of one token with int8 activations, of formats whose scales are integers times an f32 a
// super-block of 256 columns (SUPER of planes.simd.ts). Activations have one scale there too
// (quantize.simd.ts), so that sums stay integers through the eight groups of a super-block: a scale
// costs a multiplication of integers, and f32 comes once in 256 columns.
//
// Sums fit in int32: 256 products of at most 63 * 127, times a scale of at most 128.

import { scaled, scaleOf } from "./dot.simd";
import {
  CENTER,
  HIGH,
  minimums16,
  OFFSETS,
  P0,
  P1,
  P2,
  P3,
  pairs4,
  scale32,
  scales16,
  SIXTEENS,
  superOffset4,
  superScale4,
  supers4,
} from "./format.simd";
import { wordAt } from "./near.simd";
import { eight, keep, KEPT, startOf, starts, tailBytes, total, xGroup } from "./product_int8.simd";

/** Groups of a super-block. */
const GROUPS: usize = 8;

/** sum + the products of a group of four rows times their scales, an integer a row. */
// @ts-ignore: decorator
@inline function products(
  sum: v128,
  pairs: v128,
  g: usize,
  w: usize,
  h: usize,
  half: usize,
  x: usize,
  tail: usize,
  low: v128,
  other: v128,
  even: v128,
  ones: v128,
  byte: v128,
): v128 {
  let first = startOf(tail, 0);
  first = eight(first, w, h, 0, half, x, low, other, even);
  first = eight(first, w, h, 1, half, x, low, other, even);
  if (SIXTEENS) {
    let second = startOf(tail, 1);
    second = eight(second, w, h, 2, half, x, low, other, even);
    second = eight(second, w, h, 3, half, x, low, other, even);
    const scales = scales16(pairs);
    return i32x4.add(sum, i32x4.add(scaled(first, scaleOf(scales, 0)), scaled(second, scaleOf(scales, 1))));
  }
  first = eight(first, w, h, 2, half, x, low, other, even);
  first = total(eight(first, w, h, 3, half, x, low, other, even), ones);
  // Levels count from zero where something is subtracted: what a sum began with is put back.
  if (OFFSETS && CENTER != 0) first = i32x4.add(first, wordAt(tail, 3 + <i32>starts()));
  return i32x4.add(sum, i32x4.mul(first, scale32(pairs, g, byte)));
}

/** sum + the minimums of a group of four rows times the sums of its activations. */
// @ts-ignore: decorator
@inline function minimums(sum: v128, pairs: v128, taken: v128): v128 {
  if (!OFFSETS) return sum;
  return i32x4.add(sum, i32x4.dot_i16x8_s(SIXTEENS ? minimums16(pairs) : pairs, taken));
}

/** y + the sums of a super-block times the factors of four rows. */
// @ts-ignore: decorator
@inline function join(y: v128, sum: v128, minimum: v128, supers: v128, step: v128): v128 {
  y = f32x4.add(y, f32x4.mul(f32x4.convert_i32x4_s(sum), f32x4.mul(superScale4(supers), step)));
  if (!OFFSETS) return y;
  return f32x4.sub(y, f32x4.mul(f32x4.convert_i32x4_s(minimum), f32x4.mul(superOffset4(supers), step)));
}

/**
 * `panels` panels of eight rows, the first with its planes at p0 .. p3, by one token: 8 f32 each at
 * out. A super-block of each in turn: a processor fetches ahead in several streams.
 */
export function vecSuper(
  panels: u32,
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  groups: usize,
  x: usize,
  out: usize,
): void {
  const kept = out + KEPT;
  keep(kept);
  const other = v128.load(kept);
  const low = v128.load32_splat(kept, 16);
  const even = v128.load32_splat(kept, 20);
  const ones = v128.load32_splat(kept, 24);
  const byte = v128.load32_splat(kept, 28);
  const last = out + 32 * panels;
  memory.fill(out, 0, 32 * panels);
  let tail = x + groups * xGroup();
  for (let first: usize = 0; first < groups; first += GROUPS) {
    const step = v128.load32_splat(tail);
    let q0 = p0;
    let q1 = p1;
    let q2 = p2;
    let q3 = p3;
    for (let y = out; y < last; y += 32) {
      let sum0 = i32x4.splat(0);
      let sum1 = sum0;
      let minimum0 = sum0;
      let minimum1 = sum0;
      let w = q0;
      let xg = x;
      let t = tail;
      for (let g: usize = 0; g < GROUPS; g++) {
        const h = HIGH ? q1 + g * P1 : 0;
        const pairs0 = pairs4(q1, q2, q3, g, 0);
        const pairs1 = pairs4(q1, q2, q3, g, 1);
        sum0 = products(sum0, pairs0, g, w, h, 0, xg, t, low, other, even, ones, byte);
        sum1 = products(sum1, pairs1, g, w, h, 1, xg, t, low, other, even, ones, byte);
        if (OFFSETS) {
          const taken = wordAt(t, (SIXTEENS ? 1 : 2) + <i32>starts());
          minimum0 = minimums(minimum0, pairs0, taken);
          minimum1 = minimums(minimum1, pairs1, taken);
        }
        w += P0;
        xg += xGroup();
        t += tailBytes();
      }
      // Both are loaded before one is stored, or V8 makes no 256 bits of them.
      const supers0 = supers4(q1, q2, q3, 0, 0);
      const supers1 = supers4(q1, q2, q3, 0, 1);
      const y0 = join(v128.load(y), sum0, minimum0, supers0, step);
      const y1 = join(v128.load(y, 16), sum1, minimum1, supers1, step);
      v128.store(y, y0);
      v128.store(y, y1, 16);
      q0 += groups * P0;
      q1 += groups * P1;
      q2 += groups * P2;
      q3 += groups * P3;
    }
    p0 += GROUPS * P0;
    p1 += GROUPS * P1;
    p2 += GROUPS * P2;
    p3 += GROUPS * P3;
    x += GROUPS * xGroup();
    tail += GROUPS * tailBytes();
  }
}
