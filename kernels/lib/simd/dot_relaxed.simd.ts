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
 * What makes levels count from `center`: -center times the sums of a group's activations, as a
 * sum's first value. `low` and `high` are the sums of the first and the second two columns of each
 * four: of a row's two int16 lanes.
 */
// @ts-ignore: decorator
@inline export function start(low: i32, high: i32, center: i32): i32 {
  return ((-center * low) & 0xffff) | ((-center * high) << 16);
}

/** Vectors of factors that four columns of four rows make. */
export const PARTS: i32 = 1;

/** Of baseline modules: what factors() and nibbles() mask with. */
export const EVEN: u32 = 0;
export const EVEN_NIBBLES: u32 = 0;

/**
 * One part of four columns of bytes, each at most 127. `part` is a constant wherever
 * this is called.
 */
// @ts-ignore: decorator
@inline export function factors(bytes: v128, part: i32, even: v128): v128 {
  return bytes;
}

/** The same of columns 4k .. of words of nibbles; `low` has 15 in each byte. */
// @ts-ignore: decorator
@inline export function nibbles(w: v128, k: i32, part: i32, low: v128, even: v128): v128 {
  return v128.and((k & 1) == 0 ? w : i16x8.shr_u(w, 4), low);
}

/** Bytes of a table by their number, 0 .. 15. */
// @ts-ignore: decorator
@inline export function lookUp(table: v128, i: v128): v128 {
  return i8x16.relaxed_swizzle(table, i);
}

/** sum + x · w, a row a lane (two lanes of int16). */
// @ts-ignore: decorator
@inline export function dot(sum: v128, x: v128, w: v128): v128 {
  return i16x8.add(sum, i16x8.relaxed_dot_i8x16_i7x16_s(x, w));
}

/** A sum as int32, a row a lane; `ones` has 1 in each lane of int16. */
// @ts-ignore: decorator
@inline export function total(sum: v128, ones: v128): v128 {
  return i32x4.dot_i16x8_s(sum, ones);
}

/** A sum times the scales of sixteen columns, which `pairs` has as bytes; `i` 0 or 1 says which. */
// @ts-ignore: decorator
@inline export function scaled(sum: v128, scales: v128): v128 {
  return i32x4.dot_i16x8_s(sum, scales);
}

/** Scales as int32, a row a lane, as scaled() takes them. */
// @ts-ignore: decorator
@inline export function scalesOf(scales: v128): v128 {
  return v128.or(v128.and(scales, i32x4.splat(0xffff)), i32x4.shl(scales, 16));
}

/** One of the two signed bytes of four rows' pairs as scaled() takes it. */
// @ts-ignore: decorator
@inline export function scaleOf(pairs: v128, i: i32): v128 {
  if (i == 0) return i16x8.shr_s(v128.or(i32x4.shl(pairs, 8), i32x4.shl(pairs, 24)), 8);
  return i16x8.shr_s(v128.or(pairs, i32x4.shl(pairs, 16)), 8);
}

/** a * b + c, rounded once or twice. */
// @ts-ignore: decorator
@inline export function madd(a: v128, b: v128, c: v128): v128 {
  return f32x4.relaxed_madd(a, b, c);
}
