// A super-block of a panel, eight rows by 256 columns, as products of several tokens take it
// (tile_super.simd.ts), in a thread's scratch: for formats whose scales are integers times a factor
// of 256 columns (SUPER).
//
// First the factors of all groups (spread_int8.simd.ts). Then scales as scaled() takes them, [8
// rows] for each 32 columns, or with SIXTEENS for each sixteen; what is subtracted as int16 pairs,
// [8 rows] for each PAIRS groups; and the factors of both, f32 [8 rows] each.

import {
  HIGH,
  minimums16,
  OFFSETS,
  P0,
  P1,
  pairs4,
  SIXTEENS,
  scale32,
  scales16,
  superOffset4,
  superScale4,
  supers4,
} from "./format.simd";
import { scaleOf, scalesOf } from "./product_int8.simd";
import { FACTORS, factorBytes, SCALES, spreadFactors } from "./spread_int8.simd";

/** Groups of a super-block. */
export const GROUPS: usize = 8;
/** Groups that a pair of minimums covers: its halves, or two of them. */
export const PAIRS: usize = SIXTEENS ? 1 : 2;

/** Bytes of a group's scales. */
// @ts-ignore: decorator
@inline function scaleBytes(): usize {
  return SIXTEENS ? 64 : 32;
}

/** Where in a thread's scratch the pairs of minimums are. */
// @ts-ignore: decorator
@inline export function minimumsAt(): usize {
  return SCALES + GROUPS * scaleBytes();
}

/** Where the factors of scales are; those of minimums follow. */
// @ts-ignore: decorator
@inline export function supersAt(): usize {
  return minimumsAt() + (OFFSETS ? 32 * (GROUPS / PAIRS) : 0);
}

/** The scales of a group of four rows, the first (half 0) or the second. */
// @ts-ignore: decorator
@inline function spreadScales(pairs: v128, g: usize, half: usize, s: usize): void {
  const to = s + 16 * half;
  if (SIXTEENS) {
    v128.store(to, scaleOf(scales16(pairs), 0));
    v128.store(to + 32, scaleOf(scales16(pairs), 1));
  } else v128.store(to, scalesOf(scale32(pairs, g, i32x4.splat(255))));
}

/** Scales and minimums of groups g and g + 1 of four rows. */
// @ts-ignore: decorator
@inline function spreadTwo(p1: usize, p2: usize, p3: usize, g: usize, half: usize, s: usize, m: usize): void {
  const first = pairs4(p1, p2, p3, g, half);
  const second = pairs4(p1, p2, p3, g + 1, half);
  spreadScales(first, g, half, s);
  spreadScales(second, g + 1, half, s + scaleBytes());
  if (!OFFSETS) return;
  const to = m + 16 * half;
  if (SIXTEENS) {
    v128.store(to, minimums16(first));
    v128.store(to + 32, minimums16(second));
  } else v128.store(to, v128.or(i32x4.shr_u(first, 16), v128.and(second, i32x4.splat(0xffff0000))));
}

/** The factors of four rows. */
// @ts-ignore: decorator
@inline function spreadSupers(p1: usize, p2: usize, p3: usize, half: usize, to: usize): void {
  const supers = supers4(p1, p2, p3, 0, half);
  v128.store(to + 16 * half, superScale4(supers));
  if (OFFSETS) v128.store(to + 32 + 16 * half, superOffset4(supers));
}

/** The super-block at p0 .. p3 to the thread's scratch. */
export function spreadSuper(p0: usize, p1: usize, p2: usize, p3: usize, scratch: usize): void {
  let w = p0;
  let h = HIGH ? p1 : p0;
  let out = scratch + FACTORS;
  let s = scratch + SCALES;
  let m = scratch + minimumsAt();
  for (let g: usize = 0; g < GROUPS; g += 2) {
    spreadFactors(w, h, out);
    spreadFactors(w + P0, HIGH ? h + P1 : w, out + factorBytes());
    spreadTwo(p1, p2, p3, g, 0, s, m);
    spreadTwo(p1, p2, p3, g, 1, s, m);
    w += 2 * P0;
    h += 2 * P1;
    out += 2 * factorBytes();
    s += 2 * scaleBytes();
    m += 32 * (2 / PAIRS);
  }
  const supers = scratch + supersAt();
  spreadSupers(p1, p2, p3, 0, supers);
  spreadSupers(p1, p2, p3, 1, supers);
}
