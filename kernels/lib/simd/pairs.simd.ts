// Activations as int16 pairs, as int16 products take them: the columns of each eight in the order 0
// 2 1 3 4 6 5 7.
//
// A mask of every other byte of four weights c0 c1 c2 c3 leaves the pair (c0, c2), a shift the pair
// (c1, c3).

/** Bytes that a group of 32 activations takes. */
export const PAIRS_GROUP: usize = 64;

/** Writes eight activations, given as two vectors of int32, at p. */
// @ts-ignore: decorator
@inline export function storePairs(p: usize, low: v128, high: v128): void {
  const eight = i16x8.narrow_i32x4_s(low, high);
  v128.store(p, v128.shuffle<i16>(eight, eight, 0, 2, 1, 3, 4, 6, 5, 7));
}
