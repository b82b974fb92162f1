// q6_k, ggml's Q6_K: levels u in 0..63, an int8 scale s a group of 16 and an f16 d a group of 256:
// w = (d s) (u - 32). 6.5625 bits a weight.
//
// The low four bits of levels lie as in q4 (../q4/q4.ts). The high two bits of 16 columns are one
// element: bits 2k and 2k + 1 of its byte b belong to column 4k + b, so that `(element >> 2k) &
// 0x03030303` goes with four bytes of low bits.

import type { Format } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import { nibble, packNibbles } from "../q4/q4.ts";

export const q6_k = {
  name: "q6_k",
  group: 256,
  planes: [
    { name: "low bits", bytes: 128, element: 4 },
    { name: "high bits", bytes: 64, element: 4 },
    { name: "scales", bytes: 16, element: 2 },
    { name: "d", bytes: 2, element: 2 },
  ],
  arithmetics: ["f32", "f16"],
  unpack([low, high, scales, supers], cols, into) {
    const halves = new Uint16Array(supers!.buffer, supers!.byteOffset, supers!.length / 2);
    for (let i = 0; i < cols; i++) {
      const byte = high![(i >>> 4) * 4 + (i & 3)]!;
      const level = nibble(low!, i) | (((byte >>> (((i >>> 2) & 3) * 2)) & 3) << 4);
      const scale = Math.fround(HALF_TO_FLOAT[halves[i >>> 8]!]! * ((scales![i >>> 4]! << 24) >> 24));
      into[i] = scale * (level - 32);
    }
  },
  ggml: {
    type: 14,
    // Two halves of 128 columns: 64 bytes of low bits each, then 32 bytes of high bits each; 16
    // scales; d: f16.
    split(block, [low, high, scales, supers]) {
      const levels = Uint8Array.from({ length: 256 }, (_, i) => {
        const [half, quarter, l] = [i >>> 7, (i >>> 5) & 3, i & 31];
        const nibbles = block[64 * half + 32 * (quarter & 1) + l]! >>> (4 * (quarter >>> 1));
        return (nibbles & 15) | (((block[128 + 32 * half + l]! >>> (2 * quarter)) & 3) << 4);
      });
      for (let j = 0; j < 8; j++)
        packNibbles(
          levels.subarray(32 * j, 32 * j + 32).map((u) => u & 15),
          low!,
          16 * j,
        );
      high!.fill(0);
      for (const [i, u] of levels.entries()) high![(i >>> 4) * 4 + (i & 3)]! |= (u >>> 4) << (((i >>> 2) & 3) * 2);
      scales!.set(block.subarray(192, 208));
      supers!.set(block.subarray(208, 210));
    },
  },
} as const satisfies Format;
