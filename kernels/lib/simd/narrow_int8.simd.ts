// Products of one token with int8 activations: eight or sixteen columns are a loop of their own. V8
// loads all that a piece of code without a branch takes before it computes, and what has no
// register then waits in memory. Where V8 makes 256 bits of two halves, this loop is the fastest
// too, one panel read straight on: four at once read memory at two thirds of its speed. Only with
// SUPER is a whole group without a loop faster there (super_int8.simd.ts).

import { madd } from "./dot.simd";
import {
  CENTER,
  HIGH,
  LOW,
  minimums16,
  OFFSETS,
  offset4,
  other,
  P0,
  P1,
  pairs4,
  scale32,
  scale4,
  scales16,
  SIXTEENS,
  SUPER,
  superOffset4,
  superScale4,
  supers4,
} from "./format.simd";
import { wordAt } from "./near.simd";
import { activation, dot, evenMask, factor, keep, KEPT, offsetOf, parts, scaled, scaleOf, startOf, starts, tailBytes, total, xGroup } from "./product_int8.simd";
import { readAhead } from "./read_ahead.simd";

/** Parts of a group that have a scale or a word of the second plane of their own. */
// @ts-ignore: decorator
@inline function halves(): usize {
  return SIXTEENS || (HIGH && P1 == 64) ? 2 : 1;
}

/** sum + columns 4k .. 4k + 3 of a loop of four rows, whose words in both planes are word and h. */
// @ts-ignore: decorator
@inline function four(sum: v128, word: v128, h: v128, k: usize, x: usize, low: v128, other: v128, even: v128): v128 {
  sum = dot(sum, activation(x, <i32>k, 0), factor(word, h, <i32>k, 0, low, other, even));
  return parts() == 2 ? dot(sum, activation(x, <i32>k, 1), factor(word, h, <i32>k, 1, low, other, even)) : sum;
}

/** What a sum of sixteen columns begins with. */
// @ts-ignore: decorator
@inline function startAt(tail: usize, i: usize): v128 {
  return CENTER == 0 ? i32x4.splat(0) : v128.load32_splat(tail + 4 + 4 * i);
}

/** A group's sum times its scale, an integer a row, of formats without SIXTEENS. */
// @ts-ignore: decorator
@inline function product(sum: v128, pairs: v128, g: usize, tail: usize, ones: v128, byte: v128): v128 {
  sum = total(sum, ones);
  // Levels count from zero where something is subtracted: what a sum began with is put back.
  if (OFFSETS && CENTER != 0) sum = i32x4.add(sum, wordAt(tail, 3 + <i32>starts()));
  return i32x4.mul(sum, scale32(pairs, g, byte));
}

/**
 * Eight rows, whose planes are at p0 .. p3, by one token: 8 f32 at out. The thread goes on to read
 * the first plane until `end`.
 */
export function vecNarrow(
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  groups: usize,
  x: usize,
  out: usize,
  end: usize,
): void {
  const kept = out + KEPT;
  keep(kept);
  const other = v128.load(kept);
  const low = v128.load32_splat(kept, 16);
  const even = v128.load32_splat(kept, 20);
  const ones = v128.load32_splat(kept, 24);
  const byte = v128.load32_splat(kept, 28);
  let tail = x + groups * xGroup();
  const zero = i32x4.splat(0);
  let y0 = f32x4.splat(0);
  let y1 = y0;
  let h = p1;
  let g: usize = 0;
  do {
    // With SUPER: sums of a super-block of eight groups, and what is subtracted.
    let sum0 = zero;
    let sum1 = zero;
    let minimum0 = zero;
    let minimum1 = zero;
    const step8 = SUPER ? v128.load32_splat(tail) : zero;
    for (const until = SUPER ? g + 8 : groups; g < until; g++) {
      readAhead(p0, P0, end, out);
      const pairs0 = pairs4(p1, p2, p3, g, 0);
      const pairs1 = pairs4(p1, p2, p3, g, 1);
      let scales0 = SIXTEENS ? i32x4.shl(scales16(pairs0), 8) : zero;
      let scales1 = SIXTEENS ? i32x4.shl(scales16(pairs1), 8) : zero;
      let a0 = startOf(tail, 0);
      let a1 = a0;
      let h0 = HIGH ? v128.load(h) : zero;
      let h1 = HIGH ? v128.load(h, 16) : zero;
      let w0 = zero;
      let w1 = zero;
      let i: usize = 0;
      do {
        if (SIXTEENS) {
          a0 = startAt(tail, i);
          a1 = a0;
        }
        if (P0 == 64) {
          w0 = v128.load(p0);
          w1 = v128.load(p0, 16);
          p0 += 32;
        }
        for (const end = x + xGroup() / halves(); x < end; x += xGroup() / 4) {
          if (P0 != 64) {
            w0 = v128.load(p0);
            w1 = v128.load(p0, 16);
          }
          a0 = four(a0, w0, h0, 0, x, low, other, even);
          a1 = four(a1, w1, h1, 0, x, low, other, even);
          if (P0 == 256) {
            w0 = v128.load(p0, 32);
            w1 = v128.load(p0, 48);
          }
          a0 = four(a0, w0, h0, 1, x, low, other, even);
          a1 = four(a1, w1, h1, 1, x, low, other, even);
          if (P0 == 64) {
            w0 = i16x8.shr_u(w0, 4);
            w1 = i16x8.shr_u(w1, 4);
          } else p0 += P0 / 4;
          if (HIGH) {
            h0 = i16x8.shr_u(h0, P1 == 32 ? 2 : 4);
            h1 = i16x8.shr_u(h1, P1 == 32 ? 2 : 4);
          }
        }
        if (SIXTEENS) {
          sum0 = i32x4.add(sum0, scaled(a0, scaleOf(scales0, 1)));
          sum1 = i32x4.add(sum1, scaled(a1, scaleOf(scales1, 1)));
          scales0 = scales16(pairs0);
          scales1 = scales16(pairs1);
        }
        if (HIGH && P1 == 64) {
          h0 = v128.load(h, 32);
          h1 = v128.load(h, 48);
        }
        i++;
      } while (halves() == 2 && i < 2);
      if (HIGH) h += P1;
      if (!SUPER) {
        const step = v128.load32_splat(tail);
        const supers0 = supers4(p1, p2, p3, g, 0);
        const supers1 = supers4(p1, p2, p3, g, 1);
        const scale0 = scale4(pairs0, supers0, g);
        const scale1 = scale4(pairs1, supers1, g);
        y0 = madd(f32x4.mul(f32x4.convert_i32x4_s(total(a0, ones)), step), scale0, y0);
        y1 = madd(f32x4.mul(f32x4.convert_i32x4_s(total(a1, ones)), step), scale1, y1);
        if (OFFSETS) {
          const taken = f32x4.mul(wordAt(tail, 1 + <i32>starts()), step);
          y0 = f32x4.sub(y0, f32x4.mul(offsetOf(scale0, offset4(pairs0, supers0, g)), taken));
          y1 = f32x4.sub(y1, f32x4.mul(offsetOf(scale1, offset4(pairs1, supers1, g)), taken));
        }
      } else {
        if (!SIXTEENS) {
          sum0 = i32x4.add(sum0, product(a0, pairs0, g, tail, ones, byte));
          sum1 = i32x4.add(sum1, product(a1, pairs1, g, tail, ones, byte));
        }
        if (OFFSETS) {
          const taken = wordAt(tail, (SIXTEENS ? 1 : 2) + <i32>starts());
          minimum0 = i32x4.add(minimum0, i32x4.dot_i16x8_s(SIXTEENS ? minimums16(pairs0) : pairs0, taken));
          minimum1 = i32x4.add(minimum1, i32x4.dot_i16x8_s(SIXTEENS ? minimums16(pairs1) : pairs1, taken));
        }
      }
      tail += tailBytes();
    }
    if (SUPER) {
      const supers0 = supers4(p1, p2, p3, g - 1, 0);
      const supers1 = supers4(p1, p2, p3, g - 1, 1);
      y0 = f32x4.add(y0, f32x4.mul(f32x4.convert_i32x4_s(sum0), f32x4.mul(superScale4(supers0), step8)));
      y1 = f32x4.add(y1, f32x4.mul(f32x4.convert_i32x4_s(sum1), f32x4.mul(superScale4(supers1), step8)));
      if (OFFSETS) {
        y0 = f32x4.sub(y0, f32x4.mul(f32x4.convert_i32x4_s(minimum0), f32x4.mul(superOffset4(supers0), step8)));
        y1 = f32x4.sub(y1, f32x4.mul(f32x4.convert_i32x4_s(minimum1), f32x4.mul(superOffset4(supers1), step8)));
      }
    }
  } while (SUPER && g < groups);
  v128.store(out, y0);
  v128.store(out, y1, 16);
}
