// What ggml's formats of one and two bits share: a codebook with eight entries of two bits, one bit
// more a weight, and an odd scale 2 s + 1 a group of 16 in a super-group of 256:
// w = (d (2 s + 1) / 8) value.
//
// The two bits of weights and the one are planes of their own (bits.ts). Byte j of scales is s of
// groups 2j (its low nibble) and 2j+1.

import type { Format } from "../../src/tensor/format.ts";
import { HALF_TO_FLOAT } from "../../src/tensor/half.ts";
import { once, oneBit, putWord, twoBits, words } from "./bits.ts";

/** @param two, one the names of the planes of bits */
export function planesOf(two: string, one: string): Format["planes"] {
  return [
    { name: two, bytes: 64, element: 4 },
    { name: one, bytes: 32, element: 4 },
    { name: "scales", bytes: 8, element: 2 },
    { name: "d", bytes: 2, element: 2 },
  ];
}

/** @param values of the two bits, and those where the one is set behind them: eight */
export function unpackOdd(values: Int8Array): Format["unpack"] {
  return ([two, one, scales, supers], cols, into) => {
    const halves = words(supers!);
    for (let i = 0; i < cols; i++) {
      const s = (scales![i >>> 5]! >>> ((i >>> 2) & 4)) & 15;
      const scale = HALF_TO_FLOAT[halves[i >>> 8]!]! * (2 * s + 1) * 0.125;
      into[i] = scale * values[twoBits(two!, i) | (oneBit(one!, i) << 2)]!;
    }
  };
}

/**
 * A codebook of eight weights an entry: bits of weights b and 4 + b in byte b, as in planes; made
 * when it is first asked for, as few models need it.
 * @param hex two bytes an entry, two bits a weight
 */
export function codebook(hex: string): () => Uint32Array {
  const entryAt = (entry: number): number => {
    const byte = (i: number) => Number.parseInt(hex.slice(4 * entry + 2 * i, 4 * entry + 2 * i + 2), 16);
    const of = (b: number) => ((byte(0) >>> (2 * b)) & 3) | (((byte(1) >>> (2 * b)) & 3) << 2);
    return of(0) | (of(1) << 8) | (of(2) << 16) | (of(3) << 24);
  };
  return once(() => Uint32Array.from({ length: hex.length / 4 }, (_, entry) => entryAt(entry)));
}

/** Writes two entries, sixteen weights. */
export function putSixteen(first: number, next: number, plane: Uint8Array, to: number): void {
  putWord(first | (next << 4), plane, to);
}
