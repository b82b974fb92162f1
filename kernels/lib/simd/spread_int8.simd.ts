// Weights as products of several tokens with int8 activations take them (tile_int8.simd.ts): a
// panel of eight rows, some groups of columns at a time, in a thread's scratch.
//
// What is spread of a group: factors [8 · parts() of four columns, 8 rows] of four bytes, and f32
// [8 rows] each: scales and offsets. Of formats whose scales are integers: spread_super.simd.ts.

import {
  HIGH,
  LOW,
  OFFSETS,
  offset4,
  other,
  P0,
  P1,
  pairs4,
  scale4,
  supers4,
} from "./format.simd";
import { highOf, wordOf } from "./planes.simd";
import { evenMask, factor, offsetOf, parts } from "./product_int8.simd";

/** Groups that are spread at a time. */
export const BLOCK: usize = 8;
/** Where in a thread's scratch: the factors, the scales, and what is free for others. */
export const FACTORS: usize = 1024;
export const SCALES: usize = FACTORS + BLOCK * 512;
export const SPREAD_END: usize = SCALES + BLOCK * 160;

/** Bytes of a group's factors. */
// @ts-ignore: decorator
@inline export function factorBytes(): usize {
  return 256 * parts();
}

/** Bytes of a group's scales and the like. */
// @ts-ignore: decorator
@inline export function scaleBytes(): usize {
  return OFFSETS ? 64 : 32;
}

/** factor() with its constants. */
// @ts-ignore: decorator
@inline export function factorOf(w: v128, h: v128, k: i32, part: i32): v128 {
  return factor(w, h, k, part, i32x4.splat(LOW), other(), i32x4.splat(evenMask()));
}

/**
 * Columns 8j .. 8j + 7 of a panel's group to their place. j is a constant. Where a word has eight
 * columns, it is read once.
 */
// @ts-ignore: decorator
@inline function spreadEight(w: usize, h: usize, j: usize, out: usize): void {
  const k = 2 * j;
  const to = out + k * (32 * parts());
  const w0 = wordOf(w, k, 0);
  const h0 = highOf(h, k, 0);
  const w1 = wordOf(w, k, 1);
  const h1 = highOf(h, k, 1);
  const next0 = P0 == 256 ? wordOf(w, k + 1, 0) : w0;
  const next1 = P0 == 256 ? wordOf(w, k + 1, 1) : w1;
  spreadFour(w0, h0, w1, h1, <i32>k, to);
  spreadFour(next0, h0, next1, h1, <i32>k + 1, to + 32 * parts());
}

/** Columns 4k .. 4k + 3 of their words in both planes. k is a constant. */
// @ts-ignore: decorator
@inline function spreadFour(w0: v128, h0: v128, w1: v128, h1: v128, k: i32, to: usize): void {
  v128.store(to, factorOf(w0, h0, k, 0));
  v128.store(to + 16, factorOf(w1, h1, k, 0));
  if (parts() == 2) {
    v128.store(to + 32, factorOf(w0, h0, k, 1));
    v128.store(to + 48, factorOf(w1, h1, k, 1));
  }
}

/** The factors of a panel's group, whose words in the first plane and the second are at w and h. */
// @ts-ignore: decorator
@inline export function spreadFactors(w: usize, h: usize, out: usize): void {
  spreadEight(w, h, 0, out);
  spreadEight(w, h, 1, out);
  spreadEight(w, h, 2, out);
  spreadEight(w, h, 3, out);
}

/** Groups [first, first + count) of a panel to the thread's scratch. */
export function spread(p0: usize, p1: usize, p2: usize, p3: usize, first: usize, count: usize, scratch: usize): void {
  let out = scratch + FACTORS;
  let s = scratch + SCALES;
  for (let g = first; g < first + count; g++) {
    const w = p0 + g * P0;
    const h = !HIGH ? w : p1 + g * P1;
    spreadFactors(w, h, out);
    out += factorBytes();
    for (let half: usize = 0; half < 2; half++) {
      const to = s + 16 * half;
      const pairs = pairs4(p1, p2, p3, g, half);
      const supers = supers4(p1, p2, p3, g, half);
      const scale = scale4(pairs, supers, g);
      v128.store(to, scale);
      if (OFFSETS) v128.store(to + 32, offsetOf(scale, offset4(pairs, supers, g)));
    }
    s += scaleBytes();
  }
}
