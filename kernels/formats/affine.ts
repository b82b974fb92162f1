// The affine formats of AWQ and GPTQ checkpoints: levels q and a zero point z in 0..15 and an f16
// scale s a group of 128, 64 or 32 columns: w = s (q - z). 4.1875, 4.375 and 4.75 bits a weight.
//
// Levels lie as bits.ts orders nibbles; zero points as pairs of bytes, those of two groups.

import type { Arithmetic, Format } from "../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../src/tensor/half.ts";
import { nibble, words } from "./bits.ts";

/** The format with a scale and a zero point for every `size` columns. */
export function affine<const Name extends string>(name: Name, size: 128 | 64 | 32) {
  const groups = 256 / size;
  return {
    name,
    group: 256,
    affine: size,
    planes: [
      { name: "levels", bytes: 128, element: 4 },
      { name: "scales", bytes: 2 * groups, element: 2 },
      { name: "zero points", bytes: groups, element: 2 },
    ],
    arithmetics: ["f32", "f16", "int8"] as readonly Arithmetic[],
    unpack([levels, scales, zeros], cols, into) {
      const halves = words(scales!);
      for (let i = 0; i < cols; i++) {
        const g = Math.floor(i / size);
        into[i] = HALF_TO_FLOAT[halves[g]!]! * (nibble(levels!, i) - zeros![g]!);
      }
    },
  } as const satisfies Format;
}
