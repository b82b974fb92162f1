// q5_0, ggml's Q5_0: levels u in 0..31 and an f16 d a group of 32: w = d (u - 16). 5.5 bits a
// weight. The low four bits of levels and the fifth are planes of their own (../bits.ts).

import { type Format, GROUP } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import { halvesAt, nibble, oneBit, packFive, splitBytes, splitNibbles, splitWord, words } from "../bits.ts";
import { eachGroup } from "../search/groups.ts";
import { evenGrid, packSigned } from "../search/signed.ts";

const GRID = evenGrid(-16, 15);
/** What the extreme of a group is tried at: clipped a little, or less than the whole range. */
const PEAKS = Float32Array.from({ length: 16 }, (_, k) => 0.33 * k - 18);
const found = new Uint8Array(GROUP);

export const q5_0 = {
  name: "q5_0",
  group: GROUP,
  planes: [
    { name: "low bits", bytes: 16, element: 4 },
    { name: "high bits", bytes: 4, element: 4 },
    { name: "d", bytes: 2, element: 2 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  unpack([low, high, scales], cols, into) {
    const halves = words(scales!);
    for (let i = 0; i < cols; i++)
      into[i] = HALF_TO_FLOAT[halves[i >>> 5]!]! * ((nibble(low!, i) | (oneBit(high!, i) << 4)) - 16);
  },
  pack(row, [low, high, scales], importance) {
    const halves = words(scales!);
    eachGroup(GROUP, row, importance, (x, w, g) => {
      halves[g] = packSigned(x, w, 0, GROUP, GRID, PEAKS, found);
      packFive(found, low!.subarray(16 * g), high!.subarray(4 * g, 4 * g + 4));
    });
  },
  ggml: {
    type: 6,
    bytes: 22,
    exponents: halvesAt(0),
    // d: f16; a word of fifth bits; 16 bytes of nibbles, the low ones first.
    split(blocks, [low, high, scales]) {
      for (let g = 0, at = 0; at < blocks.length; g++, at += 22) {
        splitBytes(blocks, at, 2, scales!, 2 * g);
        splitWord(blocks, at + 2, high!, 4 * g);
        splitNibbles(blocks, at + 6, 16, low!, 16 * g, 16 * g + 8);
      }
    },
  },
} as const satisfies Format;
