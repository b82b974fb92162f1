// q3_k, ggml's Q3_K: levels u in 0..7, a scale s in 0..63 a group of 16 and an f16 d a group of 256:
// w = (d (s - 32)) (u - 4). 3.4375 bits a weight.
//
// The low two bits of levels and the third are planes of their own (../bits.ts). Scales are six
// elements: nibble k of element j is the low bits of scale 4j+k, for j < 4; bits 2k and 2k+1 of
// element 4+j are the high bits of scale 8j+k.

import type { Format } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import { oneBit, splitBytes, splitOneBit, splitTwoBits, twoBits, words } from "../bits.ts";

export const q3_k = {
  name: "q3_k",
  group: 256,
  planes: [
    { name: "low bits", bytes: 64, element: 4 },
    { name: "high bits", bytes: 32, element: 4 },
    { name: "scales", bytes: 12, element: 2 },
    { name: "d", bytes: 2, element: 2 },
  ],
  arithmetics: ["f32", "f16"],
  unpack([low, high, scales, supers], cols, into) {
    const [packed, halves] = [words(scales!), words(supers!)];
    for (let i = 0; i < cols; i++) {
      const level = twoBits(low!, i) | (oneBit(high!, i) << 2);
      const [at, j] = [(i >>> 8) * 6, (i >>> 4) & 15];
      const s =
        ((packed[at + (j >>> 2)]! >>> (4 * (j & 3))) & 15) |
        (((packed[at + 4 + (j >>> 3)]! >>> (2 * (j & 7))) & 3) << 4);
      into[i] = Math.fround(HALF_TO_FLOAT[halves[i >>> 8]!]! * (s - 32)) * (level - 4);
    }
  },
  ggml: {
    type: 11,
    bytes: 110,
    // 32 bytes of third bits; 64 bytes of low bits; 16 scales of 6 bits in 12 bytes; d: f16.
    split(blocks, [low, high, scales, supers]) {
      for (let g = 0, at = 0; at < blocks.length; g++, at += 110) {
        splitOneBit(blocks, at, high!, 32 * g);
        splitTwoBits(blocks, at + 32, low!, 64 * g);
        splitScales(blocks, at + 96, scales!, 12 * g);
        splitBytes(blocks, at + 108, 2, supers!, 2 * g);
      }
    },
  },
} as const satisfies Format;

/**
 * Low nibbles of eight bytes are the low bits of scales 0..7, high ones those of 8..15; bits 2k and
 * 2k+1 of byte 8+j are the high bits of scale 4k+j.
 */
function splitScales(blocks: Uint8Array, at: number, scales: Uint8Array, to: number): void {
  for (let j = 0; j < 4; j++) {
    const first = blocks[at + 2 * j]!;
    const next = blocks[at + 2 * j + 1]!;
    scales[to + j] = (first & 15) | (next << 4);
    scales[to + 4 + j] = (first >>> 4) | (next & 0xf0);
  }
  for (let k = 0; k < 4; k++) {
    let four = 0;
    for (let j = 0; j < 4; j++) four |= ((blocks[at + 8 + j]! >>> (2 * k)) & 3) << (2 * j);
    scales[to + 8 + k] = four;
  }
}
