// iq4_nl, ggml's IQ4_NL: codes of a table of 16 values and an f16 d a group of 32: w
// = d table[code].
// 4.5 bits a weight. The order of codes: ../bits.ts.

import { type Format, GROUP } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import { halvesAt, nibble, packNibbles, splitBytes, splitNibbles, words } from "../bits.ts";
import { eachGroup } from "../search/groups.ts";
import { type Grid, packSigned, unevenGrid } from "../search/signed.ts";

/** The values of codes, denser around zero. */
export const IQ4_VALUES = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

export const IQ4_GRID: Grid = unevenGrid(IQ4_VALUES);
/** What the extreme of a group is tried at: either end of the table, or less or more of it. */
export const IQ4_PEAKS: Float32Array = Float32Array.from({ length: 16 }, (_, k) => {
  const share = 0.78 + 0.046 * (k & 7);
  return share * (k < 8 ? -127 : 113);
});
const found = new Uint8Array(GROUP);

export const iq4_nl = {
  name: "iq4_nl",
  group: GROUP,
  planes: [
    { name: "codes", bytes: 16, element: 4 },
    { name: "d", bytes: 2, element: 2 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  unpack([codes, scales], cols, into) {
    const halves = words(scales!);
    for (let i = 0; i < cols; i++) into[i] = HALF_TO_FLOAT[halves[i >>> 5]!]! * IQ4_VALUES[nibble(codes!, i)]!;
  },
  pack(row, [codes, scales], importance) {
    const halves = words(scales!);
    eachGroup(GROUP, row, importance, (x, w, g) => {
      halves[g] = packSigned(x, w, 0, GROUP, IQ4_GRID, IQ4_PEAKS, found);
      packNibbles(found, codes!, 16 * g);
    });
  },
  ggml: {
    type: 20,
    bytes: 18,
    exponents: halvesAt(0),
    // d: f16; 16 bytes of codes, the low nibbles first.
    split(blocks, [codes, scales]) {
      for (let g = 0, at = 0; at < blocks.length; g++, at += 18) {
        splitBytes(blocks, at, 2, scales!, 2 * g);
        splitNibbles(blocks, at + 2, 16, codes!, 16 * g, 16 * g + 8);
      }
    },
  },
} as const satisfies Format;
