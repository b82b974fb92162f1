// What products with int8 activations are made of, in formats that have them (planes.simd.ts):
// panels of eight rows, whose words lie side by side so that a lane is a row.
//
// Per group of 32 columns an integer sum, then y += (weight scale * activation scale) * sum in f32.
// Levels of at most seven bits meet four columns of activations at once in relaxed SIMD; those of
// a byte, and all in baseline SIMD, meet int16 pairs: even columns, then odd ones (splitting bytes
// into nibbles was slower by half). The loops of one token: narrow_int8.simd.ts and
// super_int8.simd.ts.
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
  nibbles,
  PARTS,
  scaled as scaledLevels,
  scaleOf as scaleOfLevels,
  scalesOf as scalesOfLevels,
  total as totalLevels,
  X_GROUP,
} from "./dot.simd";
import { BITS, CENTER, LOW, level, NIBBLES, OFFSETS, other, P0, SIXTEENS, SUPER } from "./format.simd";
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

/** Bytes after a result, from which on keep() writes. */
export const KEPT: usize = 128;

/**
 * Writes the constants of factor() and total() to memory: read from there, they stay in registers;
 * V8 makes others anew wherever they are used, with three instructions for one.
 */
// @ts-ignore: decorator
@inline export function keep(at: usize): void {
  v128.store(at, other());
  store<u32>(at, LOW, 16);
  store<u32>(at, evenMask(), 20);
  store<u32>(at, 0x00010001, 24);
  store<u32>(at, 255, 28);
}
