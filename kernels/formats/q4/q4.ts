// q4, ggml's Q4_0: levels u in 0..15 and an f16 scale s a group of 32: w = s (u - 8). 4.5 bits a
// weight. The order of nibbles: ../bits.ts.

import { type Format, GROUP } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import { halvesAt, nibble, packNibbles, splitBytes, splitNibbles, words } from "../bits.ts";
import { quantizeQ4Group } from "./quantize.ts";

export const q4 = {
  name: "q4",
  group: GROUP,
  planes: [
    { name: "levels", bytes: 16, element: 4 },
    { name: "scales", bytes: 2, element: 2 },
  ],
  centered: GROUP,
  arithmetics: ["f32", "f16", "int8"],
  unpack([levels, scales], cols, into) {
    const halves = words(scales!);
    for (let i = 0; i < cols; i++) into[i] = HALF_TO_FLOAT[halves[i >>> 5]!]! * (nibble(levels!, i) - 8);
  },
  pack(row, [levels, scales]) {
    const halves = words(scales!);
    for (let g = 0; g < halves.length; g++) {
      let [x, at] = [row, g * GROUP];
      if (row.length < at + GROUP) {
        x = new Float32Array(GROUP);
        x.set(row.subarray(at));
        at = 0;
      }
      halves[g] = quantizeQ4Group(x, at, found);
      packNibbles(found, levels!, g * 16);
    }
  },
  ggml: {
    type: 2,
    bytes: 18,
    exponents: halvesAt(0),
    // d: f16; 16 bytes of nibbles, the low ones first.
    split(blocks, [levels, scales]) {
      for (let g = 0, at = 0; at < blocks.length; g++, at += 18) {
        splitBytes(blocks, at, 2, scales!, 2 * g);
        splitNibbles(blocks, at + 2, 16, levels!, 16 * g, 16 * g + 8);
      }
    },
  },
} as const satisfies Format;

const found = new Uint8Array(GROUP);
