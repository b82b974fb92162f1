// q6_k, ggml's Q6_K: levels u in 0..63, an int8 scale s a group of 16 and an f16 d a group of 256:
// w = (d s) (u - 32). 6.5625 bits a weight.
//
// The low four bits of levels and the high two are planes of their own (../bits.ts).

import type { Format } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import {
  halvesAt,
  nibble,
  packNibbles,
  packTwoBits,
  splitBytes,
  splitNibbles,
  splitTwoBits,
  twoBits,
  words,
} from "../bits.ts";
import { eachGroup } from "../search/groups.ts";
import { evenGrid, packSigned256 } from "../search/signed.ts";

const GRID = evenGrid(-32, 31);
/**
 * What the extreme of a group of 16 is tried at: clipped a little, or less than the whole range.
 */
const PEAKS = Float32Array.from({ length: 16 }, (_, k) => 0.5 * k - 36);
const found = new Uint8Array(256);
const integers = new Int8Array(16);

export const q6_k = {
  name: "q6_k",
  group: 256,
  planes: [
    { name: "low bits", bytes: 128, element: 4 },
    { name: "high bits", bytes: 64, element: 4 },
    { name: "scales", bytes: 16, element: 2 },
    { name: "d", bytes: 2, element: 2 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  scaleColumns: 16,
  unpack([low, high, scales, supers], cols, into) {
    const halves = words(supers!);
    for (let i = 0; i < cols; i++) {
      const level = nibble(low!, i) | (twoBits(high!, i) << 4);
      const scale = Math.fround(HALF_TO_FLOAT[halves[i >>> 8]!]! * ((scales![i >>> 4]! << 24) >> 24));
      into[i] = scale * (level - 32);
    }
  },
  pack(row, [low, high, scales, supers], importance) {
    const halves = words(supers!);
    eachGroup(256, row, importance, (x, w, g) => {
      halves[g] = packSigned256(x, w, 16, GRID, PEAKS, -128, found, integers);
      for (let j = 0; j < 8; j++)
        packNibbles(
          found.subarray(32 * j, 32 * j + 32).map((u) => u & 15),
          low!,
          128 * g + 16 * j,
        );
      packTwoBits(
        found.map((u) => u >>> 4),
        high!.subarray(64 * g, 64 * g + 64),
      );
      for (let j = 0; j < 16; j++) scales![16 * g + j] = integers[j]!;
    });
  },
  ggml: {
    type: 14,
    bytes: 210,
    exponents: halvesAt(208),
    // 128 bytes of low bits: of 64, the low nibbles are the first 64 weights; 64 bytes of high
    // bits; 16 scales; d: f16.
    split(blocks, [low, high, scales, supers]) {
      for (let g = 0, at = 0; at < blocks.length; g++, at += 210) {
        splitNibbles(blocks, at, 64, low!, 128 * g, 128 * g + 32);
        splitNibbles(blocks, at + 64, 64, low!, 128 * g + 64, 128 * g + 96);
        splitTwoBits(blocks, at + 128, high!, 64 * g);
        splitBytes(blocks, at + 192, 16, scales!, 16 * g);
        splitBytes(blocks, at + 208, 2, supers!, 2 * g);
      }
    },
  },
} as const satisfies Format;
