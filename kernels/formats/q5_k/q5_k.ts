// q5_k, ggml's Q5_K: levels u in 0..31, a scale s and a min m in 0..63 a group of 32, and f16 d and
// dmin a group of 256: w = (d s) u - dmin m. 5.625 bits a weight.
//
// The low four bits of levels and the fifth are planes of their own (../bits.ts); scales and mins
// are pairs of bytes, as in q4_k.

import type { Format } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import { halvesAt, nibble, oneBit, packFive, splitBytes, splitNibbles, splitOneBit, words } from "../bits.ts";
import { splitScales } from "../q4_k/q4_k.ts";
import { packAffine256, tries } from "../search/affine.ts";
import { eachGroup } from "../search/groups.ts";

const TRIES = tries(29, 2 / 3, 0.94);
const found = new Uint8Array(256);

export const q5_k = {
  name: "q5_k",
  group: 256,
  planes: [
    { name: "low bits", bytes: 128, element: 4 },
    { name: "high bits", bytes: 32, element: 4 },
    { name: "scales and mins", bytes: 16, element: 2 },
    { name: "d and dmin", bytes: 4, element: 4 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  unpack([low, high, pairs, supers], cols, into) {
    const halves = words(supers!);
    for (let i = 0; i < cols; i++) {
      const group = i >>> 5;
      const scale = Math.fround(HALF_TO_FLOAT[halves[(i >>> 8) * 2]!]! * pairs![2 * group]!);
      const offset = Math.fround(HALF_TO_FLOAT[halves[(i >>> 8) * 2 + 1]!]! * pairs![2 * group + 1]!);
      into[i] = Math.fround(scale * (nibble(low!, i) | (oneBit(high!, i) << 4))) - offset;
    }
  },
  pack(row, [low, high, pairs, supers], importance) {
    const halves = words(supers!);
    eachGroup(256, row, importance, (x, w, g) => {
      packAffine256(x, w, 32, 31, 63, TRIES, found, pairs!.subarray(16 * g), halves, 2 * g);
      for (let j = 0; j < 8; j++)
        packFive(
          found.subarray(32 * j, 32 * j + 32),
          low!.subarray(128 * g + 16 * j),
          high!.subarray(32 * g + 4 * j, 32 * g + 4 * j + 4),
        );
    });
  },
  ggml: {
    type: 13,
    bytes: 176,
    exponents: halvesAt(0, 2),
    // d, dmin: f16; eight scales and mins of 6 bits in 12 bytes; 32 bytes of fifth bits; 128 bytes
    // of nibbles.
    split(blocks, [low, high, pairs, supers]) {
      for (let g = 0, at = 0; at < blocks.length; g++, at += 176) {
        splitBytes(blocks, at, 4, supers!, 4 * g);
        splitScales(blocks, at + 4, pairs!, 16 * g);
        splitOneBit(blocks, at + 16, high!, 32 * g);
        for (let j = 0; j < 128; j += 32) splitNibbles(blocks, at + 48 + j, 32, low!, 128 * g + j, 128 * g + j + 16);
      }
    },
  },
} as const satisfies Format;
