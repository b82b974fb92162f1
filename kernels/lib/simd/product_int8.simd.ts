// Products of one token with int8 activations, of formats that have them (planes.simd.ts): panels
// of eight rows, whose words lie side by side so that a lane is a row.
//
// Per group of 32 columns an integer sum, then y += (weight scale * activation scale) * sum in f32.
// Levels of at most seven bits meet four columns of activations at once in relaxed SIMD; those of
// a byte, and all in baseline SIMD, meet int16 pairs: even columns, then odd ones (splitting bytes
// into nibbles was slower by half). Where scales cover sixteen columns, they are integers, and a
// group's sum is that of its two halves times theirs.
//
// A row of activations (quantize.simd.ts) is the integers of all groups, then the tail of each: its
// scale, what its sums begin with (start() of dot.simd; two if scales cover sixteen columns), and
// the sum of its activations if there are offsets.

import { dot as dotLevels, factors, madd, nibbles, PARTS, scaled, scaleOf, total as totalLevels, X_GROUP } from "./dot.simd";
import {
  BITS,
  CENTER,
  HIGH,
  level,
  minimums16,
  NIBBLES,
  OFFSETS,
  offset4,
  P0,
  P1,
  P2,
  P3,
  pairs4,
  scales16,
  SIXTEENS,
  scale4,
  supers4,
} from "./format.simd";
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
  return 4 + 4 * starts() + (OFFSETS ? 4 : 0);
}

/** What the sum of a group begins with, or of its half `i` of sixteen columns. */
// @ts-ignore: decorator
@inline export function startOf(tail: usize, i: usize): v128 {
  return CENTER == 0 ? i32x4.splat(0) : v128.load32_splat(tail + 4 + 4 * i);
}

/**
 * One part of columns 4k .. 4k + 3 of four rows, from their words w in the first plane and h in the
 * second. k and `part` are constants.
 */
// @ts-ignore: decorator
@inline export function factor(w: v128, h: v128, k: i32, part: i32): v128 {
  if (NIBBLES) return nibbles(w, k, part);
  const bytes = level(w, h, k);
  if (BITS != 8) return factors(bytes, part);
  return part == 0 ? v128.and(bytes, i16x8.splat(255)) : i16x8.shr_u(bytes, 8);
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
@inline export function total(sum: v128): v128 {
  return BITS == 8 ? sum : totalLevels(sum);
}

/** sum + columns 8j .. 8j + 7 of four rows. j is a constant. */
// @ts-ignore: decorator
@inline function eight(sum: v128, w: usize, h: usize, j: usize, x: usize): v128 {
  const low = wordOf(w, 2 * j);
  const high = highOf(h, 2 * j);
  const step = 4 * parts();
  sum = dot(sum, v128.load32_splat(x + 2 * j * step), factor(low, high, <i32>(2 * j), 0));
  if (parts() == 2) sum = dot(sum, v128.load32_splat(x + 2 * j * step + 4), factor(low, high, <i32>(2 * j), 1));
  const next = P0 == 256 ? wordOf(w, 2 * j + 1) : low;
  sum = dot(sum, v128.load32_splat(x + (2 * j + 1) * step), factor(next, high, <i32>(2 * j + 1), 0));
  if (parts() == 2) sum = dot(sum, v128.load32_splat(x + (2 * j + 1) * step + 4), factor(next, high, <i32>(2 * j + 1), 1));
  return sum;
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
): v128 {
  const low = w + 16 * half;
  const high = !HIGH ? 0 : p1 + g * P1 + 16 * half;
  const pairs = pairs4(p1, p2, p3, g, half);
  let sum = startOf(tail, 0);
  sum = eight(sum, low, high, 0, x);
  sum = eight(sum, low, high, 1, x);
  if (SIXTEENS) {
    let other = startOf(tail, 1);
    other = eight(other, low, high, 2, x);
    other = eight(other, low, high, 3, x);
    sum = i32x4.add(scaled(sum, scaleOf(scales16(pairs), 0)), scaled(other, scaleOf(scales16(pairs), 1)));
  } else {
    sum = eight(sum, low, high, 2, x);
    sum = total(eight(sum, low, high, 3, x));
  }
  const supers = supers4(p1, p2, p3, g, half);
  const scale = scale4(pairs, supers, g);
  const step = v128.load32_splat(tail);
  y = madd(f32x4.mul(f32x4.convert_i32x4_s(sum), step), scale, y);
  if (!OFFSETS) return y;
  let taken = v128.load32_splat(tail + 4 + 4 * starts());
  if (SIXTEENS) taken = f32x4.convert_i32x4_s(i32x4.dot_i16x8_s(taken, minimums16(pairs)));
  return f32x4.sub(y, f32x4.mul(f32x4.mul(taken, step), offsetOf(scale, offset4(pairs, supers, g))));
}

// A function each: two loops in one function share its registers, and V8 then makes both slower by
// a third.

/** Eight rows, whose planes are at p0 .. p3, by one token: 8 f32 at out. */
export function vecInt8(p0: usize, p1: usize, p2: usize, p3: usize, groups: usize, x: usize, out: usize): void {
  let tail = x + groups * xGroup();
  let y0 = f32x4.splat(0);
  let y1 = y0;
  for (let g: usize = 0; g < groups; g++) {
    y0 = group(y0, p0, p1, p2, p3, g, 0, x, tail);
    y1 = group(y1, p0, p1, p2, p3, g, 1, x, tail);
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
    let q0 = p0;
    let q1 = p1;
    let q2 = p2;
    let q3 = p3;
    a0 = group(a0, q0, q1, q2, q3, g, 0, x, tail);
    a1 = group(a1, q0, q1, q2, q3, g, 1, x, tail);
    q0 += panel0;
    q1 += panel1;
    q2 += panel2;
    q3 += panel3;
    b0 = group(b0, q0, q1, q2, q3, g, 0, x, tail);
    b1 = group(b1, q0, q1, q2, q3, g, 1, x, tail);
    q0 += panel0;
    q1 += panel1;
    q2 += panel2;
    q3 += panel3;
    c0 = group(c0, q0, q1, q2, q3, g, 0, x, tail);
    c1 = group(c1, q0, q1, q2, q3, g, 1, x, tail);
    q0 += panel0;
    q1 += panel1;
    q2 += panel2;
    q3 += panel3;
    d0 = group(d0, q0, q1, q2, q3, g, 0, x, tail);
    d1 = group(d1, q0, q1, q2, q3, g, 1, x, tail);
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
