// q4_k, ggml's Q4_K: levels u in 0..15, a scale s and a min m in 0..63 a group of 32, and f16 d and
// dmin a group of 256: w = (d s) u - dmin m. 4.625 bits a weight.
//
// Levels lie as ../bits.ts says; scales and mins are pairs of bytes.

import type { Format } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import { halvesAt, nibble, packNibbles, splitBytes, splitNibbles, words } from "../bits.ts";
import { packAffine256, tries } from "../search/affine.ts";
import { eachGroup } from "../search/groups.ts";

const TRIES = tries(13.5, 0.5, 0.9);
const found = new Uint8Array(256);

export const q4_k = {
  name: "q4_k",
  group: 256,
  planes: [
    { name: "levels", bytes: 128, element: 4 },
    { name: "scales and mins", bytes: 16, element: 2 },
    { name: "d and dmin", bytes: 4, element: 4 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  unpack([levels, pairs, supers], cols, into) {
    const halves = words(supers!);
    for (let i = 0; i < cols; i++) {
      const group = i >>> 5;
      const scale = Math.fround(HALF_TO_FLOAT[halves[(i >>> 8) * 2]!]! * pairs![2 * group]!);
      const offset = Math.fround(HALF_TO_FLOAT[halves[(i >>> 8) * 2 + 1]!]! * pairs![2 * group + 1]!);
      into[i] = Math.fround(scale * nibble(levels!, i)) - offset;
    }
  },
  pack(row, [levels, pairs, supers], importance) {
    const halves = words(supers!);
    eachGroup(256, row, importance, (x, w, g) => {
      packAffine256(x, w, 32, 15, 63, TRIES, found, pairs!.subarray(16 * g), halves, 2 * g);
      for (let j = 0; j < 8; j++) packNibbles(found.subarray(32 * j), levels!, 128 * g + 16 * j);
    });
  },
  ggml: {
    type: 12,
    bytes: 144,
    exponents: halvesAt(0, 2),
    // d, dmin: f16; eight scales and mins of 6 bits in 12 bytes; 128 bytes of nibbles.
    split(blocks, [levels, pairs, supers]) {
      for (let g = 0, at = 0; at < blocks.length; g++, at += 144) {
        splitBytes(blocks, at, 4, supers!, 4 * g);
        splitScales(blocks, at + 4, pairs!, 16 * g);
        for (let j = 0; j < 128; j += 32) splitNibbles(blocks, at + 16 + j, 32, levels!, 128 * g + j, 128 * g + j + 16);
      }
    },
  },
} as const satisfies Format;

/** Eight scales and eight mins of 6 bits, ggml's 12 bytes at blocks[at], to pairs at pairs[to]. */
export function splitScales(blocks: Uint8Array, at: number, pairs: Uint8Array, to: number): void {
  for (let j = 0; j < 4; j++) {
    const scale = blocks[at + j]!;
    const min = blocks[at + 4 + j]!;
    const late = blocks[at + 8 + j]!; // low bits of the scale and the min four groups on
    pairs[to + 2 * j] = scale & 63;
    pairs[to + 2 * j + 1] = min & 63;
    pairs[to + 2 * j + 8] = (late & 15) | ((scale >>> 6) << 4);
    pairs[to + 2 * j + 9] = (late >>> 4) | ((min >>> 6) << 4);
  }
}
