// Products of one token with int8 activations, of formats that have them (planes.simd.ts): panels
// of eight rows, whose words lie side by side so that a lane is a row.
//
// Per group of 32 columns an integer sum, then y += (weight scale * activation scale) * sum in f32.
// Levels of at most seven bits meet four columns of activations at once in relaxed SIMD; those of
// a byte, and all in baseline SIMD, meet int16 pairs: even columns, then odd ones (splitting bytes
// into nibbles was slower by half). Formats whose scales are integers: super_int8.simd.ts.
//
// A row of activations (quantize.simd.ts) is the integers of all groups, then the tail of each: its
// scale, what its sums begin with (start() of dot.simd; two if scales cover sixteen columns), and
// the sum of its activations if there are offsets: f32; or, if scales cover sixteen columns, int16
// of both halves. With SUPER and offsets of 32 columns follow the sum as the upper int16 of a word
// whose lower is 0, and CENTER times the sum if that is not 0.

import {
  dot as dotLevels,
  EVEN,
  EVEN_NIBBLES,
  factors,
  madd,
  nibbles,
  PARTS,
  scaled as scaledLevels,
  scaleOf as scaleOfLevels,
  scalesOf as scalesOfLevels,
  total as totalLevels,
  X_GROUP,
} from "./dot.simd";
import {
  BITS,
  CENTER,
  HIGH,
  LOW,
  level,
  NIBBLES,
  OFFSETS,
  offset4,
  other,
  P0,
  P1,
  P2,
  P3,
  pairs4,
  SIXTEENS,
  SUPER,
  scale4,
  supers4,
} from "./format.simd";
import { wordAt } from "./near.simd";
import { PAIRS_GROUP } from "./pairs.simd";
import { highOf, wordOf } from "./planes.simd";

/** Bytes of a group of activations. */
// @ts-ignore: decorator
@inline export function xGroup(): usize {
  return BITS == 8 ? PAIRS_GROUP : X_GROUP;
}

/** Vectors of factors that four columns of four rows make. */
// @ts-ignore: decorator
@inline export function parts(): i32 {
  return BITS == 8 ? 2 : PARTS;
}

/** How many starts of sums a group has. */
// @ts-ignore: decorator
@inline export function starts(): usize {
  return CENTER == 0 ? 0 : SIXTEENS ? 2 : 1;
}

/** Bytes of a group's tail. */
// @ts-ignore: decorator
@inline export function tailBytes(): usize {
  const sums: usize = !OFFSETS ? 0 : !SUPER || SIXTEENS ? 4 : CENTER == 0 ? 8 : 12;
  return 4 + 4 * starts() + sums;
}

/** What factor() takes as `even`, a word of each lane. */
// @ts-ignore: decorator
@inline export function evenMask(): u32 {
  return BITS == 8 ? 0x00ff00ff : NIBBLES ? EVEN_NIBBLES : EVEN;
}

/** What the sum of a group begins with, or of its half `i` of sixteen columns. */
// @ts-ignore: decorator
@inline export function startOf(tail: usize, i: usize): v128 {
  if (CENTER == 0) return i32x4.splat(0);
  return i == 0 ? v128.load32_splat(tail, 4) : v128.load32_splat(tail, 8);
}

/**
 * One part of columns 4k .. 4k + 3 of four rows, from their words w in the first plane and h in the
 * second. k and `part` are constants; the rest is what the functions above give.
 */
// @ts-ignore: decorator
@inline export function factor(w: v128, h: v128, k: i32, part: i32, low: v128, other: v128, even: v128): v128 {
  if (NIBBLES) return nibbles(w, k, part, low, even);
  const bytes = level(w, h, k, low, other);
  if (BITS != 8) return factors(bytes, part, even);
  return part == 0 ? v128.and(bytes, even) : i16x8.shr_u(bytes, 8);
}

/** What is subtracted from the weights of four rows, where levels count from CENTER. */
// @ts-ignore: decorator
@inline export function offsetOf(scale: v128, offset: v128): v128 {
  return CENTER == 0 ? offset : f32x4.sub(offset, f32x4.mul(scale, f32x4.splat(<f32>CENTER)));
}

/** sum + x · w, a row a lane. */
// @ts-ignore: decorator
@inline export function dot(sum: v128, x: v128, w: v128): v128 {
  return BITS == 8 ? i32x4.add(sum, i32x4.dot_i16x8_s(x, w)) : dotLevels(sum, x, w);
}

/** A sum as int32. */
// @ts-ignore: decorator
@inline export function total(sum: v128, ones: v128): v128 {
  return BITS == 8 ? sum : totalLevels(sum, ones);
}

/** A sum times the scales of sixteen columns, as scaleOf() gives them. */
// @ts-ignore: decorator
@inline export function scaled(sum: v128, scales: v128): v128 {
  return BITS == 8 ? i32x4.mul(sum, scales) : scaledLevels(sum, scales);
}

/**
 * Scales as int32, a row a lane, as scaled() takes them; or as they are where sums are of int32
 * before (OFFSETS and CENTER).
 */
// @ts-ignore: decorator
@inline export function scalesOf(scales: v128): v128 {
  return BITS == 8 || (OFFSETS && CENTER != 0) ? scales : scalesOfLevels(scales);
}

/** One of the two signed bytes of four rows' pairs as scaled() takes it. */
// @ts-ignore: decorator
@inline export function scaleOf(pairs: v128, i: i32): v128 {
  return BITS == 8 ? i32x4.shr_s(i32x4.shl(pairs, i == 0 ? 24 : 16), 24) : scaleOfLevels(pairs, i);
}

/** sum + columns 8j .. 8j + 7 of four rows, the first or the second of a panel. j is a constant. */
// @ts-ignore: decorator
@inline export function eight(
  sum: v128,
  w: usize,
  h: usize,
  j: usize,
  half: usize,
  x: usize,
  low: v128,
  other: v128,
  even: v128,
): v128 {
  const word = wordOf(w, 2 * j, half);
  const high = highOf(h, 2 * j, half);
  const k = <i32>(2 * j);
  sum = dot(sum, activation(x, k, 0), factor(word, high, k, 0, low, other, even));
  if (parts() == 2) sum = dot(sum, activation(x, k, 1), factor(word, high, k, 1, low, other, even));
  const next = P0 == 256 ? wordOf(w, 2 * j + 1, half) : word;
  sum = dot(sum, activation(x, k + 1, 0), factor(next, high, k + 1, 0, low, other, even));
  if (parts() == 2) sum = dot(sum, activation(x, k + 1, 1), factor(next, high, k + 1, 1, low, other, even));
  return sum;
}

/** The activations that meet a part of columns 4k .. 4k + 3, the same in each of the four rows. */
// @ts-ignore: decorator
@inline export function activation(x: usize, k: i32, part: i32): v128 {
  return wordAt(x, k * parts() + part);
}

/**
 * y + group g of four rows, the first (half 0) or the second four of a panel with planes at p1 ..
 * p3; w is the group in the first plane. Without a loop, or V8 makes no 256 bits of it.
 */
// @ts-ignore: decorator
@inline function group(
  y: v128,
  w: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  g: usize,
  half: usize,
  x: usize,
  tail: usize,
  step: v128,
  taken: v128,
  low: v128,
  other: v128,
  even: v128,
  ones: v128,
): v128 {
  const h = HIGH ? p1 + g * P1 : 0;
  const pairs = pairs4(p1, p2, p3, g, half);
  let sum = startOf(tail, 0);
  sum = eight(sum, w, h, 0, half, x, low, other, even);
  sum = eight(sum, w, h, 1, half, x, low, other, even);
  sum = eight(sum, w, h, 2, half, x, low, other, even);
  sum = total(eight(sum, w, h, 3, half, x, low, other, even), ones);
  const supers = supers4(p1, p2, p3, g, half);
  const scale = scale4(pairs, supers, g);
  y = madd(f32x4.mul(f32x4.convert_i32x4_s(sum), step), scale, y);
  if (!OFFSETS) return y;
  const offset = offsetOf(scale, offset4(pairs, supers, g));
  return f32x4.sub(y, f32x4.mul(offset, taken));
}

/**
 * What group() needs of the activations for offsets: their sum times their scale. The same for
 * all panels, so that it is computed outside of group(): V8 makes 256 bits only of what is computed
 * alike for both halves.
 */
// @ts-ignore: decorator
@inline function takenOf(tail: usize, step: v128): v128 {
  return OFFSETS ? f32x4.mul(wordAt(tail, 1 + <i32>starts()), step) : step;
}

/** Bytes after a result, from which on keep() writes. */
export const KEPT: usize = 128;

/**
 * Writes the constants of group() to memory: read from there, they stay in registers; V8 makes
 * others anew wherever they are used, with three instructions for one.
 */
// @ts-ignore: decorator
@inline export function keep(at: usize): void {
  v128.store(at, other());
  store<u32>(at, LOW, 16);
  store<u32>(at, evenMask(), 20);
  store<u32>(at, 0x00010001, 24);
  store<u32>(at, 255, 28);
}

// A function each: two loops in one function share its registers, and V8 then makes both slower by
// a third.

/** Eight rows, whose planes are at p0 .. p3, by one token: 8 f32 at out. */
export function vecInt8(p0: usize, p1: usize, p2: usize, p3: usize, groups: usize, x: usize, out: usize): void {
  keep(out + KEPT);
  const kept = out + KEPT;
  const other = v128.load(kept);
  const low = v128.load32_splat(kept, 16);
  const even = v128.load32_splat(kept, 20);
  const ones = v128.load32_splat(kept, 24);
  let tail = x + groups * xGroup();
  let y0 = f32x4.splat(0);
  let y1 = y0;
  for (let g: usize = 0; g < groups; g++) {
    const step = v128.load32_splat(tail);
    const taken = takenOf(tail, step);
    y0 = group(y0, p0, p1, p2, p3, g, 0, x, tail, step, taken, low, other, even, ones);
    y1 = group(y1, p0, p1, p2, p3, g, 1, x, tail, step, taken, low, other, even, ones);
    p0 += P0;
    x += xGroup();
    tail += tailBytes();
  }
  v128.store(out, y0);
  v128.store(out, y1, 16);
}

/**
 * Four panels by one token: 32 f32 at out. Four streams at once, because a processor fetches ahead
 * in each: with one it reads memory at three quarters of the speed.
 */
export function vec4Int8(p0: usize, p1: usize, p2: usize, p3: usize, groups: usize, x: usize, out: usize): void {
  keep(out + KEPT);
  const kept = out + KEPT;
  const other = v128.load(kept);
  const low = v128.load32_splat(kept, 16);
  const even = v128.load32_splat(kept, 20);
  const ones = v128.load32_splat(kept, 24);
  let tail = x + groups * xGroup();
  const panel0 = groups * P0;
  const panel1 = groups * P1;
  const panel2 = groups * P2;
  const panel3 = groups * P3;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let d0 = a0;
  let d1 = a0;
  for (let g: usize = 0; g < groups; g++) {
    const step = v128.load32_splat(tail);
    const taken = takenOf(tail, step);
    let q0 = p0;
    let q1 = p1;
    let q2 = p2;
    let q3 = p3;
    a0 = group(a0, q0, q1, q2, q3, g, 0, x, tail, step, taken, low, other, even, ones);
    a1 = group(a1, q0, q1, q2, q3, g, 1, x, tail, step, taken, low, other, even, ones);
    q0 += panel0;
    q1 += panel1;
    q2 += panel2;
    q3 += panel3;
    b0 = group(b0, q0, q1, q2, q3, g, 0, x, tail, step, taken, low, other, even, ones);
    b1 = group(b1, q0, q1, q2, q3, g, 1, x, tail, step, taken, low, other, even, ones);
    q0 += panel0;
    q1 += panel1;
    q2 += panel2;
    q3 += panel3;
    c0 = group(c0, q0, q1, q2, q3, g, 0, x, tail, step, taken, low, other, even, ones);
    c1 = group(c1, q0, q1, q2, q3, g, 1, x, tail, step, taken, low, other, even, ones);
    q0 += panel0;
    q1 += panel1;
    q2 += panel2;
    q3 += panel3;
    d0 = group(d0, q0, q1, q2, q3, g, 0, x, tail, step, taken, low, other, even, ones);
    d1 = group(d1, q0, q1, q2, q3, g, 1, x, tail, step, taken, low, other, even, ones);
    p0 += P0;
    x += xGroup();
    tail += tailBytes();
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, b0, 32);
  v128.store(out, b1, 48);
  v128.store(out, c0, 64);
  v128.store(out, c1, 80);
  v128.store(out, d0, 96);
  v128.store(out, d1, 112);
}
