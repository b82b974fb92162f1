// iq4_xs, ggml's IQ4_XS: codes of iq4_nl's table, an int8 scale s in -32..31 a group of
// 32 and an f16 d a group of 256: w = (d s) table[code]. 4.3125 bits a weight. The order
// of codes: ../bits.ts.

import type { Format } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import { halvesAt, nibble, packNibbles, splitBytes, splitNibbles, words } from "../bits.ts";
import { IQ4_GRID, IQ4_PEAKS, IQ4_VALUES } from "../iq4_nl/iq4_nl.ts";
import { eachGroup } from "../search/groups.ts";
import { packSigned256 } from "../search/signed.ts";

const found = new Uint8Array(256);
const integers = new Int8Array(8);

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
  pack(row, [codes, scales, supers], importance) {
    const halves = words(supers!);
    eachGroup(256, row, importance, (x, w, g) => {
      halves[g] = packSigned256(x, w, 32, IQ4_GRID, IQ4_PEAKS, -32, found, integers);
      for (let j = 0; j < 8; j++) {
        packNibbles(found.subarray(32 * j), codes!, 128 * g + 16 * j);
        scales![8 * g + j] = integers[j]!;
      }
    });
  },
  ggml: {
    type: 23,
    bytes: 136,
    exponents: halvesAt(0),
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
