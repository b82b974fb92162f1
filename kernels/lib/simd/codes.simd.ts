// The table of ggml's IQ4 types for level() of formats.

import { lookUp } from "./dot.simd";
import { nibblesOf } from "./levels.simd";

/** The values of the codes of columns 4k .. 4k + 3, and 128 each. */
// @ts-ignore: decorator
@inline export function iq4Level(w: v128, k: i32): v128 {
  const table = i8x16(1, 24, 45, 63, 79, 93, 106, 118, -127, -115, -103, -90, -75, -59, -39, -15);
  return lookUp(table, nibblesOf(w, k));
}
