// q4_1, ggml's Q4_1: levels u in 0..15 and f16 d and m a group of 32: w = d u + m. 5 bits a weight.
// The order of nibbles: ../bits.ts.

import { type Format, GROUP } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import { halvesAt, nibble, packNibbles, splitBytes, splitNibbles, words } from "../bits.ts";
import { packAffine, tries } from "../search/affine.ts";
import { eachGroup } from "../search/groups.ts";

const TRIES = tries(13.5, 0.5, 0.9);
const found = new Uint8Array(GROUP);

export const q4_1 = {
  name: "q4_1",
  group: GROUP,
  planes: [
    { name: "levels", bytes: 16, element: 4 },
    { name: "d and m", bytes: 4, element: 4 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  unpack([levels, pairs], cols, into) {
    const halves = words(pairs!);
    for (let i = 0; i < cols; i++) {
      const [d, m] = [HALF_TO_FLOAT[halves[(i >>> 5) * 2]!]!, HALF_TO_FLOAT[halves[(i >>> 5) * 2 + 1]!]!];
      into[i] = Math.fround(d * nibble(levels!, i)) + m;
    }
  },
  pack(row, [levels, pairs], importance) {
    const halves = words(pairs!);
    eachGroup(GROUP, row, importance, (x, w, g) => {
      packAffine(x, w, 0, GROUP, 15, TRIES, found, halves, 2 * g);
      packNibbles(found, levels!, 16 * g);
    });
  },
  ggml: {
    type: 3,
    bytes: 20,
    exponents: halvesAt(0, 2),
    // d, m: f16; 16 bytes of nibbles, the low ones first.
    split(blocks, [levels, pairs]) {
      for (let g = 0, at = 0; at < blocks.length; g++, at += 20) {
        splitBytes(blocks, at, 4, pairs!, 4 * g);
        splitNibbles(blocks, at + 4, 16, levels!, 16 * g, 16 * g + 8);
      }
    },
  },
} as const satisfies Format;
