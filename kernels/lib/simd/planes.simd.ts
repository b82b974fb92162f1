// Where the planes of a packed matrix lie: panel after panel of eight rows, one plane behind the other.
//
// format.simd stands for the weights.simd.ts of one format in kernels/formats; a module is built with one of them (see
// bundle.mjs). It has the same names in all:
//
//   P0 .. P3               bytes of a panel of each plane, a group of 32 columns; 0 where there is no such plane
//   weights(p0 .. p3, g, out)   group g of a panel whose planes begin at p0 .. p3, as f32 [32 columns, 8 rows]: at `out`,
//                          or wherever it says that they lie
//   EXACT                  whether these are the weights; else they are to be multiplied by scale4()
//   INT8                   whether there are products with activations that are rounded to int8; then also
//   WIDE                   whether a level takes a byte: then activations are pairs of int16 (pairs.simd.ts), and else what
//                          dot.simd takes with nibbles
//   first(sum)             what the sum of a group's activations is kept as, in 32 bits
//   scale4(s, d, g, half)  the scales of rows 0 .. 3 (half 0) or 4 .. 7 for group g, which begins at s in the second plane
//   OFFSETS, offset4(...)  whether something is taken off the weights, and what. Then first() gives a float, the sum itself;
//                          else it gives the integer that a sum of products begins with
//   packGroup(x, p0, p1, scratch)   32 f32 at x to one row's group of each plane, where there is something that packs

import { P0, P1, P2, P3 } from "./format.simd";

/** Panels of N rows. */
// @ts-ignore: decorator
@inline export function panelsOf(N: u32): usize {
  return (<usize>N + 7) / 8;
}

/** Plane `k` (a constant) of a panel of the matrix at w, which has `panels` panels of `groups` groups of 32 columns. */
// @ts-ignore: decorator
@inline export function planeOf(k: i32, w: usize, panels: usize, panel: usize, groups: usize): usize {
  if (k == 0) return w + panel * groups * P0;
  if (k == 1) return w + groups * (panels * P0 + panel * P1);
  if (k == 2) return w + groups * (panels * (P0 + P1) + panel * P2);
  return w + groups * (panels * (P0 + P1 + P2) + panel * P3);
}
