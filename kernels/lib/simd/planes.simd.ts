// Where the planes of a packed matrix lie: panel after panel of eight rows, plane after plane.
//
// format.simd stands for the weights.simd.ts of one format in kernels/formats; a module is built
// with one of them (see bundle.mjs). All have the same exports:
//
//   P0 .. P3         bytes of a panel of each plane, a group of 32 columns; 0 for no such plane
//   weights(p0 .. p3, g, out)
//                    group g of the panel with planes at p0 .. p3, as f32 [32 columns, 8 rows];
//                    returns where it lies: at `out`, or in the plane itself
//   EXACT            whether these are the weights; else they must be multiplied by scale4()
//   FUSED, column(w, i)
//                    whether an element is two columns, and column i of four rows' elements as f32:
//                    few tokens then take weights from the plane itself
//   pairs4(p1, p2, p3, g, half), supers4(p1, p2, p3, g, half)
//                    what scales of rows 0 .. 3 (half 0) or 4 .. 7 for group g are made of, loaded
//                    once for all of the next four: V8 makes 256 bits of two halves only if both
//                    load alike
//   scale4(pairs, supers, g)
//                    these scales as f32
//   INT8             whether there are products with activations rounded to int8. Then also:
//   BITS             of a level as it meets activations. More than seven: activations are pairs of
//                    int16 (pairs.simd.ts), else what dot.simd takes
//   NIBBLES          whether levels are the nibbles of the first plane's words as they are
//   level(w, h, k, low, other)
//                    else: levels of columns 4k .. 4k + 3 of four rows, sixteen bytes, from their
//                    words of the first plane and the second. k is a constant
//   LOW, other()     what level() and nibbles() get as `low`, a word of each lane, and as `other`:
//                    V8 would make constants anew at each use, so the caller keeps them in
//                    registers
//   HIGH             whether levels have bits in the second plane
//   CENTER           the level that sums count from. Without offsets it stands for the weight zero
//   SIXTEENS, scales16(pairs)
//                    whether scales cover sixteen columns: then they are int8 times scale4(), those
//                    of a group the lower two bytes of four rows' lanes, whose others are zeros
//   OFFSETS, offset4(pairs, supers, g)
//                    whether something is subtracted from scale times level, and what
//   minimums16(pairs)
//                    with SIXTEENS and OFFSETS: int16 pairs that offset4() is multiplied by
//   SUPER, superScale4(supers), superOffset4(supers)
//                    whether scale4() and offset4() are integers of a group times these f32 of 256
//                    columns; true with SIXTEENS, where the integers are those above. Else
//   scale32(pairs, g, byte)
//                    is the scales' as int32, and the upper int16 of pairs4() are the
//                    offsets'; byte has 255 in each lane
//   splitGroup(block, p0, p1, p2, p3)
//                    splits one group of a GGUF file's blocks to row-major planes; absent where
//                    files have none, or the format has a split.simd.ts of its own (splitter.simd.ts)
//
// lib/simd/defaults.simd.ts has those that a format lacks; unpack.simd.ts makes weights()
// of the levels.
//
// packer.simd stands for a format's quantize.simd.ts, where it has one, with
//   setUp(scratch)   writes what packGroup() takes from a thread's scratch
//   packGroup(x, w, count, p0 .. p3, scratch)
//                    packs a group of f32 at x to one row's group of each plane. Zeros follow after
//                    `count` values; w are as many importances, or 0: all are 1

import { HIGH, P0, P1, P2, P3, pairs4, scale4, supers4 } from "./format.simd";
import { vectorAt } from "./near.simd";

/** Panels of N rows. */
// @ts-ignore: decorator
@inline export function panelsOf(N: u32): usize {
  return (<usize>N + 7) / 8;
}

/**
 * Plane `k` (a constant) of a panel of the matrix at w, which has `panels` panels of `groups`
 * groups of 32 columns.
 */
// @ts-ignore: decorator
@inline export function planeOf(k: i32, w: usize, panels: usize, panel: usize, groups: usize): usize {
  if (k == 0) return w + panel * groups * P0;
  if (k == 1) return w + groups * (panels * P0 + panel * P1);
  if (k == 2) return w + groups * (panels * (P0 + P1) + panel * P2);
  return w + groups * (panels * (P0 + P1 + P2) + panel * P3);
}

/**
 * Words with columns 4k .. 4k + 3 of four rows, the first (half 0) or the second of the group at w.
 * k and half are constants: V8 loads 256 bits where two loads differ in a constant only.
 */
// @ts-ignore: decorator
@inline export function wordOf(w: usize, k: usize, half: usize): v128 {
  return vectorAt(w, 2 * ((k * P0) >> 8) + half);
}

/** The same in the second plane, if levels have bits there. */
// @ts-ignore: decorator
@inline export function highOf(h: usize, k: usize, half: usize): v128 {
  return HIGH ? vectorAt(h, 2 * ((k * P1) >> 8) + half) : i32x4.splat(0);
}

/** The scales of group g of four rows. */
// @ts-ignore: decorator
@inline export function scaleAt(p1: usize, p2: usize, p3: usize, g: usize, half: usize): v128 {
  return scale4(pairs4(p1, p2, p3, g, half), supers4(p1, p2, p3, g, half), g);
}
