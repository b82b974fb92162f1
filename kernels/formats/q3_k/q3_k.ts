// q3_k, ggml's Q3_K: levels u in 0..7, a scale s in 0..63 a group of 16 and an f16 d a group of
// 256: w = (d (s - 32)) (u - 4). 3.4375 bits a weight.
//
// The low two bits of levels and the third are planes of their own (../bits.ts). Scales are six
// elements: nibble k of element j is the low bits of scale 4j+k, for j < 4; bits 2k and 2k+1 of
// element 4+j are the high bits of scale 8j+k.

import type { Format } from "../../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../../src/tensor/half.ts";
import {
  halvesAt,
  oneBit,
  packOneBit,
  packTwoBits,
  splitBytes,
  splitOneBit,
  splitTwoBits,
  twoBits,
  words,
} from "../bits.ts";
import { eachGroup } from "../search/groups.ts";
import { evenGrid, packSigned256 } from "../search/signed.ts";

const GRID = evenGrid(-4, 3);
/**
 * What the extreme of a group of 16 is tried at: clipped a little, or less than the whole range.
 */
const PEAKS = Float32Array.from({ length: 8 }, (_, k) => 0.25 * k - 4.75);
const found = new Uint8Array(256);
const integers = new Int8Array(16);

export const q3_k = {
  name: "q3_k",
  group: 256,
  planes: [
    { name: "low bits", bytes: 64, element: 4 },
    { name: "high bits", bytes: 32, element: 4 },
    { name: "scales", bytes: 12, element: 2 },
    { name: "d", bytes: 2, element: 2 },
  ],
  arithmetics: ["f32", "f16", "int8"],
  scaleColumns: 16,
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
  pack(row, [low, high, scales, supers], importance) {
    const halves = words(supers!);
    eachGroup(256, row, importance, (x, w, g) => {
      halves[g] = packSigned256(x, w, 16, GRID, PEAKS, -32, found, integers);
      packTwoBits(
        found.map((u) => u & 3),
        low!.subarray(64 * g, 64 * g + 64),
      );
      packOneBit(
        found.map((u) => u >>> 2),
        high!.subarray(32 * g, 32 * g + 32),
      );
      packScales(integers, scales!.subarray(12 * g, 12 * g + 12));
    });
  },
  ggml: {
    type: 11,
    bytes: 110,
    exponents: halvesAt(108),
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

/** Writes 16 integers -32..31 as scales of 6 bits, 32 above. */
function packScales(integers: Int8Array, scales: Uint8Array): void {
  scales.fill(0);
  for (const [j, i] of integers.entries()) {
    const s = i + 32;
    scales[j >>> 1]! |= (s & 15) << (4 * (j & 1));
    scales[8 + (j >>> 2)]! |= (s >>> 4) << (2 * (j & 3));
  }
}
