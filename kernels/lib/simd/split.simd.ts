// Levels of GGUF blocks in the order of planes: what splitGroup() of the formats is made of. The
// plain forms, with both orders, are in formats/bits.ts.

/** 32 bytes of nibbles: the low ones to 16 bytes at `low`, the high ones to 16 at `high`. */
// @ts-ignore: decorator
@inline export function splitNibbles(from: usize, low: usize, high: usize): void {
  const a = v128.load(from);
  const b = v128.load(from, 16);
  const near = v128.shuffle<i32>(a, b, 0, 2, 4, 6);
  const far = v128.shuffle<i32>(a, b, 1, 3, 5, 7);
  v128.store(low, lowOf(near, far));
  v128.store(high, highOf(near, far));
}

/** 16 bytes of nibbles: the low ones to 8 bytes at `to`, then the high ones. */
// @ts-ignore: decorator
@inline export function splitHalfNibbles(from: usize, to: usize): void {
  const a = v128.load(from);
  const near = v128.shuffle<i32>(a, a, 0, 2, 0, 2);
  const far = v128.shuffle<i32>(a, a, 1, 3, 1, 3);
  v128.store(to, v128.shuffle<i64>(lowOf(near, far), highOf(near, far), 0, 2));
}

// @ts-ignore: decorator
@inline function lowOf(near: v128, far: v128): v128 {
  return v128.or(v128.and(near, i8x16.splat(15)), v128.andnot(i16x8.shl(far, 4), i8x16.splat(15)));
}

// @ts-ignore: decorator
@inline function highOf(near: v128, far: v128): v128 {
  return v128.or(v128.and(i16x8.shr_u(near, 4), i8x16.splat(15)), v128.andnot(far, i8x16.splat(15)));
}

/** 64 bytes of two bits a weight to as many at `to`. */
// @ts-ignore: decorator
@inline export function splitTwoBits(from: usize, to: usize): void {
  // Lane i of word m is the word m of 16 bytes: fields k of four words change places with words.
  const a = v128.load(from);
  const b = v128.load(from, 16);
  const c = v128.load(from, 32);
  const d = v128.load(from, 48);
  const ab0 = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const ab2 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const cd0 = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const cd2 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  const w0 = v128.shuffle<i64>(ab0, cd0, 0, 2);
  const w1 = v128.shuffle<i64>(ab0, cd0, 1, 3);
  const w2 = v128.shuffle<i64>(ab2, cd2, 0, 2);
  const w3 = v128.shuffle<i64>(ab2, cd2, 1, 3);
  const low0 = lowOf(w0, w2);
  const low1 = lowOf(w1, w3);
  const high0 = highOf(w0, w2);
  const high1 = highOf(w1, w3);
  putPairs(to, evenOf(low0, low1), oddOf(low0, low1));
  putPairs(to + 16, evenOf(high0, high1), oddOf(high0, high1));
}

// @ts-ignore: decorator
@inline function evenOf(a: v128, b: v128): v128 {
  const mask = i8x16.splat(0x33);
  return v128.or(v128.and(a, mask), v128.andnot(i16x8.shl(b, 2), mask));
}

// @ts-ignore: decorator
@inline function oddOf(a: v128, b: v128): v128 {
  const mask = i8x16.splat(0x33);
  return v128.or(v128.and(i16x8.shr_u(a, 2), mask), v128.andnot(b, mask));
}

/** Lanes 0 and 1 of both at `to`, lanes 2 and 3 of both 32 bytes on. */
// @ts-ignore: decorator
@inline function putPairs(to: usize, a: v128, b: v128): void {
  v128.store(to, v128.shuffle<i64>(a, b, 0, 2));
  v128.store(to, v128.shuffle<i64>(a, b, 1, 3), 32);
}

/** 32 bytes of one bit a weight to as many at `to`. */
// @ts-ignore: decorator
@inline export function splitOneBit(from: usize, to: usize): void {
  // Bit j of byte 4k + b changes places with bit k of byte 4j + b: a transposition of 8 by 8 bits
  // for each b.
  const a = v128.load(from);
  const b = v128.load(from, 16);
  const near = transposed(v128.shuffle<i8>(a, b, 0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29));
  const far = transposed(v128.shuffle<i8>(a, b, 2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31));
  v128.store(to, v128.shuffle<i8>(near, far, 0, 8, 16, 24, 1, 9, 17, 25, 2, 10, 18, 26, 3, 11, 19, 27));
  v128.store(to, v128.shuffle<i8>(near, far, 4, 12, 20, 28, 5, 13, 21, 29, 6, 14, 22, 30, 7, 15, 23, 31), 16);
}

/** Two matrices of 8 by 8 bits, transposed. */
// @ts-ignore: decorator
@inline function transposed(x: v128): v128 {
  let t = v128.and(v128.xor(x, i64x2.shr_u(x, 7)), i64x2.splat(0x00aa00aa00aa00aa));
  x = v128.xor(x, v128.xor(t, i64x2.shl(t, 7)));
  t = v128.and(v128.xor(x, i64x2.shr_u(x, 14)), i64x2.splat(0x0000cccc0000cccc));
  x = v128.xor(x, v128.xor(t, i64x2.shl(t, 14)));
  t = v128.and(v128.xor(x, i64x2.shr_u(x, 28)), i64x2.splat(0x00000000f0f0f0f0));
  return v128.xor(x, v128.xor(t, i64x2.shl(t, 28)));
}

/** A word whose bit i is weight i. */
// @ts-ignore: decorator
@inline export function splitWord(word: u32): u32 {
  return everyFourth(word) | (everyFourth(word >>> 1) << 8) | (everyFourth(word >>> 2) << 16) | (everyFourth(word >>> 3) << 24);
}

/** Bits 0, 4, 8 .. as a byte. */
// @ts-ignore: decorator
@inline function everyFourth(word: u32): u32 {
  let bits = word & 0x11111111;
  bits = (bits | (bits >>> 3)) & 0x03030303;
  bits = (bits | (bits >>> 6)) & 0x000f000f;
  return (bits | (bits >>> 12)) & 255;
}

/** Eight scales and mins of 6 bits in 12 bytes (q4_k, q5_k) to pairs of bytes. */
// @ts-ignore: decorator
@inline export function splitScales(from: usize, to: usize): void {
  const scales = load<u32>(from);
  const mins = load<u32>(from, 4);
  const late = load<u32>(from, 8); // low bits of both, four groups on
  const sixes = 0x3f3f3f3f;
  let pairs = i32x4.splat(scales & sixes);
  pairs = i32x4.replace_lane(pairs, 1, mins & sixes);
  pairs = i32x4.replace_lane(pairs, 2, (late & 0x0f0f0f0f) | ((scales >>> 2) & 0x30303030));
  pairs = i32x4.replace_lane(pairs, 3, ((late >>> 4) & 0x0f0f0f0f) | ((mins >>> 2) & 0x30303030));
  v128.store(to, v128.shuffle<i8>(pairs, pairs, 0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15));
}
