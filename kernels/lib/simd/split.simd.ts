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
