// Levels of few bits in the words of planes, and the f16 beside them: what formats' level() and
// scales are made of. The order of bits: formats/bits.ts. k and `to` are constants; four columns 4k
// .. 4k + 3 of four rows are sixteen bytes.

/** The nibbles of columns 4k .. 4k + 3. */
// @ts-ignore: decorator
@inline export function nibblesOf(w: v128, k: i32): v128 {
  return v128.and((k & 1) == 0 ? w : i16x8.shr_u(w, 4), i8x16.splat(15));
}

/** Their two bits each, as bits `to` and `to` + 1. */
// @ts-ignore: decorator
@inline export function twoBitsOf(w: v128, k: i32, to: i32): v128 {
  return v128.and(moved(w, 2 * (k & 3), to), i32x4.splat(0x03030303 << to));
}

/** Their bit each, as bit `to`. */
// @ts-ignore: decorator
@inline export function oneBitOf(w: v128, k: i32, to: i32): v128 {
  return v128.and(moved(w, k, to), i32x4.splat(0x01010101 << to));
}

// @ts-ignore: decorator
@inline function moved(w: v128, from: i32, to: i32): v128 {
  if (from < to) return i16x8.shl(w, to - from);
  return from > to ? i16x8.shr_u(w, from - to) : w;
}

/** The f16 in the upper halves of four words as f32. Finite values only. */
// @ts-ignore: decorator
@inline export function upperHalf(w: v128): v128 {
  const bits = v128.and(i32x4.shr_s(w, 3), i32x4.splat(0x8fffe000));
  return f32x4.mul(bits, f32x4.splat(<f32>5.192296858534828e33));
}

/** The f16 in their lower halves. */
// @ts-ignore: decorator
@inline export function lowerHalf(w: v128): v128 {
  return upperHalf(i32x4.shl(w, 16));
}

/** Elements of two bytes of four rows at p, a lane each. */
// @ts-ignore: decorator
@inline export function pairsAt(p: usize): v128 {
  return v128.load16x4_u(p) as v128;
}

/** The lower bytes of four lanes as f32, unsigned. */
// @ts-ignore: decorator
@inline export function lowerByte(pairs: v128): v128 {
  return f32x4.convert_i32x4_s(v128.and(pairs, i32x4.splat(255)));
}

/** The bytes above them. */
// @ts-ignore: decorator
@inline export function upperByte(pairs: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.shr_u(pairs, 8));
}
