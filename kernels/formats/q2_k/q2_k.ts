// q2_k, ggml's Q2_K: levels u in 0..3, a scale s and a min m in 0..15 a group of 16, and f16 d and
// dmin a group of 256: w = (d s) u - dmin m. 2.625 bits a weight.
//
// Levels lie as ../bits.ts says; a scale and a min are the nibbles of a byte, the scale
// the low one.

import type { Format } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import { halvesAt, packTwoBits, splitBytes, splitTwoBits, twoBits, words } from "../bits.ts";
import { packAffine256, tries } from "../search/affine.ts";
import { eachGroup } from "../search/groups.ts";

const TRIES = tries(2.25, 0.25, 0.75);
const found = new Uint8Array(256);
const integers = new Uint8Array(32);

export const q2_k = {
  name: "q2_k",
  group: 256,
  planes: [
    { name: "levels", bytes: 64, element: 4 },
    { name: "scales and mins", bytes: 16, element: 2 },
    { name: "d and dmin", bytes: 4, element: 4 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  scaleColumns: 16,
  unpack([levels, pairs, supers], cols, into) {
    const halves = words(supers!);
    for (let i = 0; i < cols; i++) {
      const pair = pairs![i >>> 4]!;
      const scale = Math.fround(HALF_TO_FLOAT[halves[(i >>> 8) * 2]!]! * (pair & 15));
      const offset = Math.fround(HALF_TO_FLOAT[halves[(i >>> 8) * 2 + 1]!]! * (pair >>> 4));
      into[i] = Math.fround(scale * twoBits(levels!, i)) - offset;
    }
  },
  pack(row, [levels, pairs, supers], importance) {
    const halves = words(supers!);
    eachGroup(256, row, importance, (x, w, g) => {
      packAffine256(x, w, 16, 3, 15, TRIES, found, integers, halves, 2 * g);
      packTwoBits(found, levels!.subarray(64 * g, 64 * g + 64));
      for (let j = 0; j < 16; j++) pairs![16 * g + j] = integers[2 * j]! | (integers[2 * j + 1]! << 4);
    });
  },
  ggml: {
    type: 10,
    bytes: 84,
    exponents: halvesAt(80, 82),
    // 16 bytes of scales and mins; 64 bytes of levels; d, dmin: f16.
    split(blocks, [levels, pairs, supers]) {
      for (let g = 0, at = 0; at < blocks.length; g++, at += 84) {
        splitBytes(blocks, at, 16, pairs!, 16 * g);
        splitTwoBits(blocks, at + 16, levels!, 64 * g);
        splitBytes(blocks, at + 80, 4, supers!, 4 * g);
      }
    },
  },
} as const satisfies Format;
