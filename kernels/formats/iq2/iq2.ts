// iq2, ggml's IQ2_XXS, IQ2_XS and IQ2_S without their codebooks: a sign and a magnitude 8, 25 or 43
// a weight, an odd scale 2 s + 1 a group of 16, s in 0..15, and an f16 d a group of 256:
// w = (d (2 s + 1) / 8) magnitude. 3.3125 bits a weight; 2.0625, 2.3125 and 2.5625 in files.

import type { Format, GgmlType } from "../../../src/tensor/format.ts";
import { halvesAt, putOneBits, splitBytes, splitWord, wordAt } from "../bits.ts";
import { signsOf } from "../signed_codebook.ts";
import { codebook, planesOf, putSixteen, unpackOdd } from "../two_bit_codebook.ts";
import * as grids from "./grids.ts";

/** Magnitudes with their signs; the fourth is in no codebook. */
export const IQ2_VALUES = Int8Array.of(8, 25, 43, 60, -8, -25, -43, -60);
const XXS = codebook(grids.IQ2_XXS);
const XS = codebook(grids.IQ2_XS);
const S = codebook(grids.IQ2_S);

const iq2_xxs: GgmlType = {
  type: 16,
  bytes: 66,
  exponents: halvesAt(0),
  get codebook() {
    return XXS();
  },
  // d: f16; of each 32 weights four entries and a u32: seven bits of signs for each eight weights
  // and four of a scale.
  split(blocks, [magnitudes, signs, scales, supers]) {
    const entries = XXS();
    for (let g = 0, at = 0; at < blocks.length; g++, at += 66) {
      splitBytes(blocks, at, 2, supers!, 2 * g);
      for (let j = 0; j < 8; j++) {
        const from = at + 2 + 8 * j;
        const word = wordAt(blocks, from + 4);
        scales![8 * g + j] = (word >>> 28) * 17; // one scale for both groups
        let own = 0;
        for (let k = 0; k < 4; k++) own |= signsOf((word >>> (7 * k)) & 127) << (8 * k);
        putOneBits(own, signs!, 32 * g + 4 * j);
        for (let k = 0; k < 4; k += 2)
          putSixteen(entries[blocks[from + k]!]!, entries[blocks[from + k + 1]!]!, magnitudes!, 64 * g + 8 * j + 2 * k);
      }
    }
  },
};

const iq2_xs: GgmlType = {
  type: 17,
  bytes: 74,
  exponents: halvesAt(0),
  get codebook() {
    return XS();
  },
  // d: f16; 32 u16, each an entry and seven bits of signs; 16 scales.
  split(blocks, [magnitudes, signs, scales, supers]) {
    const entries = XS();
    for (let g = 0, at = 0; at < blocks.length; g++, at += 74) {
      splitBytes(blocks, at, 2, supers!, 2 * g);
      splitBytes(blocks, at + 66, 8, scales!, 8 * g);
      for (let j = 0; j < 8; j++) {
        let own = 0;
        for (let k = 0; k < 4; k += 2) {
          const word = wordAt(blocks, at + 2 + 8 * j + 2 * k);
          putSixteen(entries[word & 511]!, entries[(word >>> 16) & 511]!, magnitudes!, 64 * g + 8 * j + 2 * k);
          own |= (signsOf((word >>> 9) & 127) | (signsOf(word >>> 25) << 8)) << (8 * k);
        }
        putOneBits(own, signs!, 32 * g + 4 * j);
      }
    }
  },
};

const iq2_s: GgmlType = {
  type: 22,
  bytes: 82,
  exponents: halvesAt(0),
  get codebook() {
    return S();
  },
  // d: f16; the low eight bits of 32 entries; 32 bytes of signs; two high bits of each entry; 16
  // scales.
  split(blocks, [magnitudes, signs, scales, supers]) {
    const entries = S();
    for (let g = 0, at = 0; at < blocks.length; g++, at += 82) {
      splitBytes(blocks, at, 2, supers!, 2 * g);
      splitBytes(blocks, at + 74, 8, scales!, 8 * g);
      for (let j = 0; j < 8; j++) {
        const high = blocks[at + 66 + j]!;
        for (let k = 0; k < 4; k += 2) {
          const from = at + 2 + 4 * j + k;
          const first = entries[blocks[from]! | (((high >>> (2 * k)) & 3) << 8)]!;
          const next = entries[blocks[from + 1]! | (((high >>> (2 * k + 2)) & 3) << 8)]!;
          putSixteen(first, next, magnitudes!, 64 * g + 8 * j + 2 * k);
        }
        splitWord(blocks, at + 34 + 4 * j, signs!, 32 * g + 4 * j);
      }
    }
  },
};

export const iq2 = {
  name: "iq2",
  group: 256,
  planes: planesOf("magnitudes", "signs"),
  arithmetics: ["f32", "f16", "int8"],
  scaleColumns: 16,
  unpack: unpackOdd(IQ2_VALUES),
  ggml: iq2_s,
  alsoGgml: [iq2_xs, iq2_xxs],
} as const satisfies Format;
