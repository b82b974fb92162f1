// iq1, ggml's IQ1_S and IQ1_M without their codebook: a third t in 0..2 and a bit b a weight, an
// odd scale 2 s + 1 a group of 16, s in 0..7, and an f16 d a group of 256:
// w = (d (2 s + 1) / 8) (8 t + 2 b - 9). 3.3125 bits a weight; 1.5625 and 1.75 in files.
//
// That is d (2 s + 1) times -1, 0 or 1 and an eighth more or less.

import type { Format, GgmlType } from "../../../src/tensor/format.ts";
import { halvesAt, putOneBits, splitBytes } from "../bits.ts";
import { codebook, planesOf, putSixteen, unpackOdd } from "../two_bit_codebook.ts";
import { GRID } from "./grid.ts";

/** Values of thirds, then those with the bit; the fourths are in no codebook. */
export const IQ1_VALUES = Int8Array.of(-9, -1, 7, 15, -7, 1, 9, 17);
const ENTRIES = codebook(GRID);

const iq1_s: GgmlType = {
  type: 19,
  bytes: 50,
  exponents: halvesAt(0),
  get codebook() {
    return ENTRIES();
  },
  // d: f16; the low eight bits of 32 entries; a u16 for each 32 weights: three high bits of each
  // entry, three of a scale, and the sign of the eighth.
  split(blocks, [thirds, eighths, scales, supers]) {
    const entries = ENTRIES();
    for (let g = 0, at = 0; at < blocks.length; g++, at += 50) {
      splitBytes(blocks, at, 2, supers!, 2 * g);
      for (let j = 0; j < 8; j++) {
        const high = blocks[at + 34 + 2 * j]! | (blocks[at + 35 + 2 * j]! << 8);
        scales![8 * g + j] = ((high >>> 12) & 7) * 17; // one scale for both groups
        putOneBits(high & 0x8000 ? 0 : -1, eighths!, 32 * g + 4 * j);
        for (let k = 0; k < 4; k += 2) {
          const from = at + 2 + 4 * j + k;
          const first = entries[blocks[from]! | (((high >>> (3 * k)) & 7) << 8)]!;
          const next = entries[blocks[from + 1]! | (((high >>> (3 * k + 3)) & 7) << 8)]!;
          putSixteen(first, next, thirds!, 64 * g + 8 * j + 2 * k);
        }
      }
    }
  },
};

const iq1_m: GgmlType = {
  type: 29,
  bytes: 56,
  exponents: [[55, 0x70]], // the upper three bits of the exponent
  get codebook() {
    return ENTRIES();
  },
  // The low eight bits of 32 entries; a nibble for each: three high bits, and the sign of the
  // eighth; four u16: four scales of three bits and four bits of d, an f16, the lowest first.
  split(blocks, [thirds, eighths, scales, supers]) {
    const entries = ENTRIES();
    for (let g = 0, at = 0; at < blocks.length; g++, at += 56) {
      let d = 0;
      for (let j = 0; j < 4; j++) {
        const word = blocks[at + 48 + 2 * j]! | (blocks[at + 49 + 2 * j]! << 8);
        d |= (word >>> 12) << (4 * j);
        scales![8 * g + 2 * j] = (word & 7) | (((word >>> 3) & 7) << 4);
        scales![8 * g + 2 * j + 1] = ((word >>> 6) & 7) | (((word >>> 9) & 7) << 4);
      }
      supers![2 * g] = d;
      supers![2 * g + 1] = d >>> 8;
      for (let j = 0; j < 8; j++) {
        let bits = 0; // all eight of an entry, or none
        for (let k = 0; k < 4; k += 2) {
          const from = at + 4 * j + k;
          const high = blocks[at + 32 + 2 * j + (k >>> 1)]!;
          const first = entries[blocks[from]! | ((high & 7) << 8)]!;
          const next = entries[blocks[from + 1]! | (((high >>> 4) & 7) << 8)]!;
          putSixteen(first, next, thirds!, 64 * g + 8 * j + 2 * k);
          bits |= ((high & 8 ? 0 : 0xff) | (high & 0x80 ? 0 : 0xff00)) << (8 * k);
        }
        putOneBits(bits, eighths!, 32 * g + 4 * j);
      }
    }
  },
};

export const iq1 = {
  name: "iq1",
  group: 256,
  planes: planesOf("thirds", "eighths"),
  arithmetics: ["f32", "f16", "int8"],
  scaleColumns: 16,
  unpack: unpackOdd(IQ1_VALUES),
  ggml: iq1_m,
  alsoGgml: [iq1_s],
} as const satisfies Format;
