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
//   INT8             whether there are products with activations rounded to int8. Then also:
//   WIDE             whether a level takes a byte. Activations are then pairs of int16
//                    (pairs.simd.ts), else what dot.simd takes with nibbles
//   first(sum)       32 bits that the sum of a group's activations is kept as: the integer that a
//                    sum of products begins with; with OFFSETS the sum as a float
//   scale4(s, d, g, half)
//                    scales of rows 0 .. 3 (half 0) or 4 .. 7 for group g, which is P1 g bytes from
//                    the second plane's begin on, at s; d is the third plane
//   OFFSETS, offset4(s, d, g, half)
//                    whether something is subtracted from the weights, and what
//   splitGroup(block, p0, p1, p2, p3)
//                    a group of a GGUF file, ggml.bytes of it, to one row's group of each plane;
//                    absent: the plain form serves
//   packGroup(x, p0, p1, scratch)
//                    packs 32 f32 at x to one row's group of each plane; absent where nothing packs

import { P0, P1, P2, P3 } from "./format.simd";

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
