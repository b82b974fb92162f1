// iq4_xs, ggml's IQ4_XS: codes of iq4_nl's table, an int8 scale s in -32..31 a group of 32 and an
// f16 d a group of 256: w = (d s) table[code]. 4.3125 bits a weight. The order of codes: ../bits.ts.

import type { Format } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import { nibble, splitBytes, splitNibbles, words } from "../bits.ts";
import { IQ4_VALUES } from "../iq4_nl/iq4_nl.ts";

export const iq4_xs = {
  name: "iq4_xs",
  group: 256,
  planes: [
    { name: "codes", bytes: 128, element: 4 },
    { name: "scales", bytes: 8, element: 2 },
    { name: "d", bytes: 2, element: 2 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  unpack([codes, scales, supers], cols, into) {
    const halves = words(supers!);
    for (let i = 0; i < cols; i++) {
      const scale = Math.fround(HALF_TO_FLOAT[halves[i >>> 8]!]! * ((scales![i >>> 5]! << 24) >> 24));
      into[i] = scale * IQ4_VALUES[nibble(codes!, i)]!;
    }
  },
  ggml: {
    type: 23,
    bytes: 136,
    // d: f16; two high bits of eight scales, a u16; four low bits of them, 4 bytes; 16 bytes of
    // codes a group of 32, the low nibbles first.
    split(blocks, [codes, scales, supers]) {
      for (let g = 0, at = 0; at < blocks.length; g++, at += 136) {
        splitBytes(blocks, at, 2, supers!, 2 * g);
        const high = blocks[at + 2]! | (blocks[at + 3]! << 8);
        for (let j = 0; j < 8; j++) {
          const low = (blocks[at + 4 + (j >>> 1)]! >>> (4 * (j & 1))) & 15;
          scales![8 * g + j] = (low | (((high >>> (2 * j)) & 3) << 4)) - 32;
          const to = 128 * g + 16 * j;
          splitNibbles(blocks, at + 8 + 16 * j, 16, codes!, to, to + 8);
        }
      }
    },
  },
} as const satisfies Format;
