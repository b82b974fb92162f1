// iq3_s, ggml's IQ3_S without its codebook: a sign and one of eight magnitudes a weight, an odd
// scale s in 1..31 a group of 32 and an f16 d a group of 256: w = (d s) magnitude. 4.3125 bits a
// weight, 3.4375 in a file.
//
// Magnitudes are 1, 3, 5, ..., 15. A code is a magnitude's place, and 8 for minus; their order:
// ../bits.ts.

import type { Format } from "../../../src/tensor/format.ts";
import { halvesAt, splitBytes } from "../bits.ts";
import { codebook, PLANES, putCodes, unpackSigned } from "../signed_codebook.ts";
import { GRID } from "./grid.ts";

const ENTRIES = codebook(GRID);
/** The magnitudes of codes, with their signs. */
export const IQ3_S_VALUES = Int8Array.of(1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15);

export const iq3_s = {
  name: "iq3_s",
  group: 256,
  planes: PLANES,
  arithmetics: ["f32", "f16", "int8"],
  unpack: unpackSigned(IQ3_S_VALUES, 1),
  ggml: {
    type: 21,
    bytes: 110,
    exponents: halvesAt(0),
    get codebook() {
      return ENTRIES();
    },
    // d: f16; low eight bits of 64 entries of the codebook, then their ninth bits, 8 bytes; signs,
    // 32 bytes; scales, two in a byte.
    split(blocks, [codes, scales, supers]) {
      const entries = ENTRIES();
      for (let g = 0, at = 0; at < blocks.length; g++, at += 110) {
        splitBytes(blocks, at, 2, supers!, 2 * g);
        for (let j = 0; j < 8; j++) {
          const high = blocks[at + 66 + j]!;
          scales![8 * g + j] = 2 * ((blocks[at + 106 + (j >>> 1)]! >>> (4 * (j & 1))) & 15) + 1;
          for (let k = 0; k < 4; k++) {
            const entry = at + 2 + 8 * j + 2 * k;
            const first = entries[blocks[entry]! | (((high >>> (2 * k)) & 1) << 8)]!;
            const next = entries[blocks[entry + 1]! | (((high >>> (2 * k + 1)) & 1) << 8)]!;
            putCodes(first, next, blocks[at + 74 + 4 * j + k]!, codes!, 128 * g + 16 * j + 4 * k);
          }
        }
      }
    },
  },
} as const satisfies Format;
