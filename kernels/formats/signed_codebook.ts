// What ggml's formats of three bits share: a codebook with four magnitudes an entry, signs, and a
// scale a group of 32 in a super-group of 256: w = (d s unit) magnitude.

import type { Format } from "../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../src/tensor/half.ts";
import { nibble, words } from "./bits.ts";

export const PLANES = [
  { name: "codes", bytes: 128, element: 4 },
  { name: "scales", bytes: 8, element: 2 },
  { name: "d", bytes: 2, element: 2 },
] as const;

/** @param values the magnitudes of codes with their signs; products with `unit` are exact */
export function unpackSigned(values: Int8Array, unit: number): Format["unpack"] {
  return ([codes, scales, supers], cols, into) => {
    const halves = words(supers!);
    for (let i = 0; i < cols; i++) {
      const scale = HALF_TO_FLOAT[halves[i >>> 8]!]! * scales![i >>> 5]! * unit;
      into[i] = scale * values[nibble(codes!, i)]!;
    }
  };
}

/**
 * Entries of a codebook as u16: the place of magnitude b in bits 4b..4b+2.
 * @param digits four an entry, each 0..7
 */
export function codebook(digits: string): Uint16Array {
  return Uint16Array.from({ length: digits.length / 4 }, (_, entry) =>
    [3, 2, 1, 0].reduce((word, b) => (word << 4) | Number(digits[4 * entry + b]), 0),
  );
}

/**
 * Writes eight codes, a magnitude's place with its sign at bit 3, as nibbles (bits.ts).
 * @param first, next two entries of the codebook; bit b of `signs` is that of weight b
 */
export function putCodes(first: number, next: number, signs: number, plane: Uint8Array, at: number): void {
  for (let b = 0; b < 4; b++) {
    const low = ((first >>> (4 * b)) & 7) | (((signs >>> b) & 1) << 3);
    const high = ((next >>> (4 * b)) & 7) | (((signs >>> (4 + b)) & 1) << 3);
    plane[at + b] = low | (high << 4);
  }
}
