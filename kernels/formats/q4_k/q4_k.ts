// q4_k, ggml's Q4_K: levels u in 0..15, a scale s and a min m in 0..63 a group of 32, and f16 d and
// dmin a group of 256: w = (d s) u - dmin m. 4.625 bits a weight.
//
// Levels lie as in q4 (../q4/q4.ts), eight groups of 32 one after the other; scales and mins as
// pairs of bytes.

import type { Format } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import { nibble, packNibbles } from "../q4/q4.ts";

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
    const halves = new Uint16Array(supers!.buffer, supers!.byteOffset, supers!.length / 2);
    for (let i = 0; i < cols; i++) {
      const group = i >>> 5;
      const scale = Math.fround(HALF_TO_FLOAT[halves[(i >>> 8) * 2]!]! * pairs![2 * group]!);
      const offset = Math.fround(HALF_TO_FLOAT[halves[(i >>> 8) * 2 + 1]!]! * pairs![2 * group + 1]!);
      into[i] = Math.fround(scale * nibble(levels!, i)) - offset;
    }
  },
  ggml: {
    type: 12,
    // d, dmin: f16; eight scales and mins of 6 bits in 12 bytes; then 32 bytes a pair of groups,
    // low nibbles and high ones.
    split(block, [levels, pairs, supers]) {
      supers!.set(block.subarray(0, 4));
      const sc = block.subarray(4, 16);
      for (let j = 0; j < 8; j++) {
        const late = j >= 4;
        pairs![2 * j] = late ? (sc[j + 4]! & 15) | ((sc[j - 4]! >>> 6) << 4) : sc[j]! & 63;
        pairs![2 * j + 1] = late ? (sc[j + 4]! >>> 4) | ((sc[j]! >>> 6) << 4) : sc[j + 4]! & 63;
        const from = block.subarray(16 + 32 * (j >>> 1), 48 + 32 * (j >>> 1));
        packNibbles(
          from.map((byte) => (byte >>> (4 * (j & 1))) & 15),
          levels!,
          16 * j,
        );
      }
    },
  },
} as const satisfies Format;
