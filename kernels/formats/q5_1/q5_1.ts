// q5_1, ggml's Q5_1: levels u in 0..31 and f16 d and m a group of 32: w = d u + m. 6 bits a weight.
// The low four bits of levels and the fifth are planes of their own (../bits.ts).

import { type Format, GROUP } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import { halvesAt, nibble, oneBit, packFive, splitBytes, splitNibbles, splitWord, words } from "../bits.ts";
import { packAffine, tries } from "../search/affine.ts";
import { eachGroup } from "../search/groups.ts";

const TRIES = tries(29, 2 / 3, 0.94);
const found = new Uint8Array(GROUP);

export const q5_1 = {
  name: "q5_1",
  group: GROUP,
  planes: [
    { name: "low bits", bytes: 16, element: 4 },
    { name: "high bits", bytes: 4, element: 4 },
    { name: "d and m", bytes: 4, element: 4 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  unpack([low, high, pairs], cols, into) {
    const halves = words(pairs!);
    for (let i = 0; i < cols; i++) {
      const [d, m] = [HALF_TO_FLOAT[halves[(i >>> 5) * 2]!]!, HALF_TO_FLOAT[halves[(i >>> 5) * 2 + 1]!]!];
      into[i] = Math.fround(d * (nibble(low!, i) | (oneBit(high!, i) << 4))) + m;
    }
  },
  pack(row, [low, high, pairs], importance) {
    const halves = words(pairs!);
    eachGroup(GROUP, row, importance, (x, w, g) => {
      packAffine(x, w, 0, GROUP, 31, TRIES, found, halves, 2 * g);
      packFive(found, low!.subarray(16 * g), high!.subarray(4 * g, 4 * g + 4));
    });
  },
  ggml: {
    type: 7,
    bytes: 24,
    exponents: halvesAt(0, 2),
    // d, m: f16; a word of fifth bits; 16 bytes of nibbles, the low ones first.
    split(blocks, [low, high, pairs]) {
      for (let g = 0, at = 0; at < blocks.length; g++, at += 24) {
        splitBytes(blocks, at, 4, pairs!, 4 * g);
        splitWord(blocks, at + 4, high!, 4 * g);
        splitNibbles(blocks, at + 8, 16, low!, 16 * g, 16 * g + 8);
      }
    },
  },
} as const satisfies Format;
