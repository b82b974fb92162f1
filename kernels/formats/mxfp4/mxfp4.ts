// mxfp4, ggml's MXFP4: codes c of four bits, a sign and a magnitude of 0, 1, 2, 3, 4, 6, 8 or 12
// (e2m1, doubled), and an exponent e a group of 32: w = 2^(e - 128) value[c]. 4.25 bits a weight.
//
// The order of codes: ../bits.ts. Two groups' exponents are an element, so that a group of the
// format is 64 columns.

import type { Format } from "../../../src/tensor/format.ts";
import { nibble, splitNibbles } from "../bits.ts";

const VALUES = Int8Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12);

export const mxfp4 = {
  name: "mxfp4",
  group: 64,
  planes: [
    { name: "codes", bytes: 32, element: 4 },
    { name: "exponents", bytes: 2, element: 2 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  unpack([codes, exponents], cols, into) {
    for (let i = 0; i < cols; i++) into[i] = 2 ** (exponents![i >>> 5]! - 128) * VALUES[nibble(codes!, i)]!;
  },
  ggml: {
    type: 39,
    bytes: 34,
    // Two blocks, each an exponent, then 16 bytes of codes, the low nibbles first.
    split(blocks, [codes, exponents]) {
      const count = blocks.length / 17;
      for (let g = 0; g < count; g++) {
        exponents![g] = blocks[17 * g]!;
        splitNibbles(blocks, 17 * g + 1, 16, codes!, 16 * g, 16 * g + 8);
      }
      codes!.fill(0, 16 * count);
      exponents!.fill(0, count);
    },
  },
} as const satisfies Format;
