// Products of int8 activations and nibbles with relaxed SIMD's two-fold product into int16: one
// instruction on x86.
//
// One of three files with the same names; a module is built with one of them as "./dot.simd" (see
// bundle.mjs). A vector of weights w holds one u32 word, eight columns, of each of four rows
// (kernels/formats/q4). The second factor of a relaxed product must lie in 0..127, where all
// engines agree: nibbles always do. Sums of a group stay within int16: 16 products of at most 127 *
// 15 in each lane, and with start() still |sum of (u - 8) x| <= 32 * 8 * 127 = 32,512; that they
// may pass through more on the way does not matter.

/** Bytes that a group of 32 activations takes: int8 in the order of the columns. */
export const X_GROUP: usize = 32;

/** Writes eight activations, given as two vectors of int32, at p. */
// @ts-ignore: decorator
@inline export function storeEight(p: usize, low: v128, high: v128): void {
  const eight = i16x8.narrow_i32x4_s(low, high);
  v128.store64_lane(p, i8x16.narrow_i16x8_s(eight, eight), 0);
}

/**
 * What makes nibbles 0..15 count as -8..7: -8 times the sum of the group's activations, as a q4
 * sum's first value.
 */
// @ts-ignore: decorator
@inline export function start(sum: i32): i32 {
  return (-8 * sum) & 0xffff; // in the first of a row's two int16 lanes
}

/** Vectors of factors that one vector of q4 words makes. */
export const PARTS: i32 = 2;
/** Bytes of activations from one q4 word to the next. */
export const X_WORD: usize = 8;

/** The weights of one part, from 0 to 15. `part` is a constant wherever this is called. */
// @ts-ignore: decorator
@inline export function nibbles(w: v128, part: i32): v128 {
  return v128.and(part == 0 ? w : i16x8.shr_u(w, 4), i8x16.splat(15));
}

/** The activations that meet a part of the q4 word at x, the same in each of the four rows. */
// @ts-ignore: decorator
@inline export function activations(x: usize, part: i32): v128 {
  return v128.load32_splat(x + 4 * part);
}

/** sum + x · w, a row a lane (two lanes of int16). */
// @ts-ignore: decorator
@inline export function dot(sum: v128, x: v128, w: v128): v128 {
  return i16x8.add(sum, i16x8.relaxed_dot_i8x16_i7x16_s(x, w));
}

/** A sum of nibbles as int32, a row a lane. */
// @ts-ignore: decorator
@inline export function total(sum: v128): v128 {
  return i32x4.extadd_pairwise_i16x8_s(sum);
}

/** a * b + c, rounded once or twice. */
// @ts-ignore: decorator
@inline export function madd(a: v128, b: v128, c: v128): v128 {
  return f32x4.relaxed_madd(a, b, c);
}
