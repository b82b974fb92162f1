// iq3_xxs, ggml's IQ3_XXS without its codebook: a sign and one of eight magnitudes a weight, an odd
// scale s in 1..31 a group of 32 and an f16 d a group of 256: w = (d s / 2) magnitude.
// 4.3125 bits a weight, 3.0625 in a file.
//
// Magnitudes are 2, 6, 10, ..., 26 and 31. Half of d is not always an f16, which is why q6_k does
// not hold them. A code is a magnitude's place, and 8 for minus; their order: ../bits.ts.

import type { Format } from "../../../src/tensor/format.ts";
import { halvesAt, splitBytes, wordAt } from "../bits.ts";
import { codebook, PLANES, putCodes, signsOf, unpackSigned } from "../signed_codebook.ts";
import { GRID } from "./grid.ts";

const ENTRIES = codebook(GRID);
/** The magnitudes of codes, with their signs. */
export const IQ3_XXS_VALUES = Int8Array.of(2, 6, 10, 14, 18, 22, 26, 31, -2, -6, -10, -14, -18, -22, -26, -31);

export const iq3_xxs = {
  name: "iq3_xxs",
  group: 256,
  planes: PLANES,
  arithmetics: ["f32", "f16", "int8"],
  unpack: unpackSigned(IQ3_XXS_VALUES, 0.5),
  ggml: {
    type: 18,
    bytes: 98,
    exponents: halvesAt(0),
    get codebook() {
      return ENTRIES();
    },
    // d: f16; 64 entries of the codebook; a u32 a group of 32: seven bits of signs for each eight
    // weights (the eighth sign makes their number even) and four of a scale.
    split(blocks, [codes, scales, supers]) {
      const entries = ENTRIES();
      for (let g = 0, at = 0; at < blocks.length; g++, at += 98) {
        splitBytes(blocks, at, 2, supers!, 2 * g);
        for (let j = 0; j < 8; j++) {
          const word = wordAt(blocks, at + 66 + 4 * j);
          scales![8 * g + j] = 2 * (word >>> 28) + 1;
          for (let k = 0; k < 4; k++) {
            const entry = at + 2 + 8 * j + 2 * k;
            const [first, next] = [entries[blocks[entry]!]!, entries[blocks[entry + 1]!]!];
            putCodes(first, next, signsOf((word >>> (7 * k)) & 127), codes!, 128 * g + 16 * j + 4 * k);
          }
        }
      }
    },
  },
} as const satisfies Format;
