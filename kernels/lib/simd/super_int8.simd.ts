// Products of one token with int8 activations, of formats whose scales are integers times an f32 a
// super-block of 256 columns (SUPER of planes.simd.ts). Activations have one scale there too
// (quantize.simd.ts), so that sums stay integers through the eight groups of a super-block: a scale
// costs a multiplication of integers, and f32 comes once in 256 columns.
//
// Sums fit in int32: 256 products of at most 127 * 127, times a scale of at most 128.

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
import { eight, keep, KEPT, scaled, scaleOf, startOf, starts, tailBytes, total, xGroup } from "./product_int8.simd";

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
 * Eight rows, whose planes are at p0 .. p3, by one token: 8 f32 at out. One panel, so one stream of
 * memory: several at once are slower here, where products are fast.
 */
export function vecSuper(p0: usize, p1: usize, p2: usize, p3: usize, groups: usize, x: usize, out: usize): void {
  const kept = out + KEPT;
  keep(kept);
  const other = v128.load(kept);
  const low = v128.load32_splat(kept, 16);
  const even = v128.load32_splat(kept, 20);
  const ones = v128.load32_splat(kept, 24);
  const byte = v128.load32_splat(kept, 28);
  let tail = x + groups * xGroup();
  let y0 = f32x4.splat(0);
  let y1 = y0;
  for (let first: usize = 0; first < groups; first += GROUPS) {
    const step = v128.load32_splat(tail);
    const supers0 = supers4(p1, p2, p3, 0, 0);
    const supers1 = supers4(p1, p2, p3, 0, 1);
    let sum0 = i32x4.splat(0);
    let sum1 = sum0;
    let minimum0 = sum0;
    let minimum1 = sum0;
    for (let g: usize = 0; g < GROUPS; g++) {
      const h = HIGH ? p1 + g * P1 : 0;
      const pairs0 = pairs4(p1, p2, p3, g, 0);
      const pairs1 = pairs4(p1, p2, p3, g, 1);
      sum0 = products(sum0, pairs0, g, p0, h, 0, x, tail, low, other, even, ones, byte);
      sum1 = products(sum1, pairs1, g, p0, h, 1, x, tail, low, other, even, ones, byte);
      if (OFFSETS) {
        const taken = wordAt(tail, (SIXTEENS ? 1 : 2) + <i32>starts());
        minimum0 = minimums(minimum0, pairs0, taken);
        minimum1 = minimums(minimum1, pairs1, taken);
      }
      p0 += P0;
      x += xGroup();
      tail += tailBytes();
    }
    y0 = join(y0, sum0, minimum0, supers0, step);
    y1 = join(y1, sum1, minimum1, supers1, step);
    p1 += GROUPS * P1;
    p2 += GROUPS * P2;
    p3 += GROUPS * P3;
  }
  v128.store(out, y0);
  v128.store(out, y1, 16);
}
