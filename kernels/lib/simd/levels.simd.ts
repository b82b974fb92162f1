// Levels of few bits in the words of planes, and the f16 beside them: what formats' level() and
// scales are made of. The order of bits: formats/bits.ts. k and `to` are constants; four columns 4k
// .. 4k + 3 of four rows are sixteen bytes.

/** The nibbles of columns 4k .. 4k + 3; `mask` has 15 in each byte. */
// @ts-ignore: decorator
@inline export function nibblesOf(w: v128, k: i32, mask: v128): v128 {
  return v128.and((k & 1) == 0 ? w : i16x8.shr_u(w, 4), mask);
}

/** Their two bits each, as bits `to` and `to` + 1 of each byte, which `mask` has. */
// @ts-ignore: decorator
@inline export function twoBitsOf(w: v128, k: i32, to: i32, mask: v128): v128 {
  return v128.and(moved(w, 2 * (k & 3), to), mask);
}

/** Their bit each, as bit `to` of each byte, which `mask` has. */
// @ts-ignore: decorator
@inline export function oneBitOf(w: v128, k: i32, to: i32, mask: v128): v128 {
  return v128.and(moved(w, k, to), mask);
}

// @ts-ignore: decorator
@inline function moved(w: v128, from: i32, to: i32): v128 {
  if (from < to) return i16x8.shl(w, to - from);
  return from > to ? i16x8.shr_u(w, from - to) : w;
}

/** Elements of four bytes of four rows, the first (half 0) or the second of those at p. */
// @ts-ignore: decorator
@inline export function wordsAt(p: usize, half: usize): v128 {
  return half == 0 ? v128.load(p) : v128.load(p, 16);
}

/** Elements that are f16, as f32. */
// @ts-ignore: decorator
@inline export function halvesAt(p: usize, half: usize): v128 {
  const bits = i32x4.shl((half == 0 ? v128.load16x4_s(p) : v128.load16x4_s(p, 8)) as v128, 13);
  return f32x4.mul(v128.and(bits, i32x4.splat(0x8fffffff)), f32x4.splat(<f32>5.192296858534828e33));
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

/**
 * Elements of two bytes of four rows, the first (half 0) or the second of those at p, a lane each.
 */
// @ts-ignore: decorator
@inline export function pairsAt(p: usize, half: usize): v128 {
  return (half == 0 ? v128.load16x4_u(p) : v128.load16x4_u(p, 8)) as v128;
}

/** The same, each byte as int16: two a lane. */
// @ts-ignore: decorator
@inline export function bytesAt(p: usize, half: usize): v128 {
  return (half == 0 ? v128.load8x8_u(p) : v128.load8x8_u(p, 8)) as v128;
}

/** The lower bytes of four lanes as f32, unsigned. */
// @ts-ignore: decorator
@inline export function lowerByte(pairs: v128): v128 {
  return f32x4.convert_i32x4_s(v128.and(pairs, i32x4.splat(255)));
}

/** The upper int16 of four lanes. */
// @ts-ignore: decorator
@inline export function upperPair(pairs: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.shr_u(pairs, 16));
}
