// What ggml's formats of three bits share: a codebook with four magnitudes an entry, signs, and a
// scale a group of 32 in a super-group of 256: w = (d s unit) magnitude.

import type { Format } from "../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../src/tensor/half.ts";
import { nibble, once, putWord, words } from "./bits.ts";

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
 * A codebook of four magnitudes an entry, the place of each in a byte; made when it is first asked
 * for, as few models need it.
 * @param digits four an entry, each 0..7
 */
export function codebook(digits: string): () => Uint32Array {
  return once(() =>
    Uint32Array.from({ length: digits.length / 4 }, (_, entry) =>
      [3, 2, 1, 0].reduce((word, b) => (word << 8) | Number(digits[4 * entry + b]), 0),
    ),
  );
}

/**
 * Writes eight codes, a magnitude's place with its sign at bit 3, as nibbles (bits.ts).
 * @param first, next two entries of the codebook; bit b of `signs` is that of weight b
 */
export function putCodes(first: number, next: number, signs: number, plane: Uint8Array, at: number): void {
  putWord(first | (next << 4) | (eachByte(signs & 15) << 3) | (eachByte(signs >>> 4) << 7), plane, at);
}

/** Four bits as the lowest of a word's bytes. */
function eachByte(bits: number): number {
  return Math.imul(bits, 0x00204081) & 0x01010101;
}

/** Signs of eight weights: seven bits, and an eighth that makes the number of minuses even. */
export function signsOf(seven: number): number {
  const four = seven ^ (seven >>> 4);
  return seven | (((0x6996 >>> (four & 15)) & 1) << 7);
}
