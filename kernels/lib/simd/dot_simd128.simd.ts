// Products of int8 activations and nibbles with baseline WebAssembly SIMD: int16 pairs, the
// widening product it has.
//
// One of three files with the same names; a module is built with one of them as
// "./dot.simd" (see bundle.mjs). A vector of weights w holds one u32 word, eight columns,
// of each of four rows (kernels/formats/q4).

import { storePairs } from "./pairs.simd";

/**
 * Bytes that a group of 32 activations takes: int16, the columns of each eight in the order 0 2 1 3
 * 4 6 5 7.
 */
export const X_GROUP: usize = 64;

/** Writes eight activations, given as two vectors of int32, at p. */
// @ts-ignore: decorator
@inline export function storeEight(p: usize, low: v128, high: v128): void {
  storePairs(p, low, high);
}

/**
 * What makes nibbles 0..15 count as -8..7: -8 times the sum of the group's activations, as a q4
 * sum's first value.
 */
// @ts-ignore: decorator
@inline export function start(sum: i32): i32 {
  return -8 * sum;
}

/** Vectors of factors that one vector of q4 words makes. */
export const PARTS: i32 = 4;
/** Bytes of activations from one q4 word to the next. */
export const X_WORD: usize = 16;

/** The weights of one part, from 0 to 15. `part` is a constant wherever this is called. */
// @ts-ignore: decorator
@inline export function nibbles(w: v128, part: i32): v128 {
  const mask = i16x8.splat(15);
  if (part == 0) return v128.and(w, mask);
  if (part == 1) return v128.and(i16x8.shr_u(w, 8), mask);
  if (part == 2) return v128.and(i16x8.shr_u(w, 4), mask);
  return i16x8.shr_u(w, 12);
}

/** The activations that meet a part of the q4 word at x, the same in each of the four rows. */
// @ts-ignore: decorator
@inline export function activations(x: usize, part: i32): v128 {
  return v128.load32_splat(x + 4 * part);
}

/** sum + x · w, a row a lane. */
// @ts-ignore: decorator
@inline export function dot(sum: v128, x: v128, w: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(x, w));
}

/** A sum of nibbles as int32, a row a lane. */
// @ts-ignore: decorator
@inline export function total(sum: v128): v128 {
  return sum;
}

/** a * b + c. */
// @ts-ignore: decorator
@inline export function madd(a: v128, b: v128, c: v128): v128 {
  return f32x4.add(f32x4.mul(a, b), c);
}
