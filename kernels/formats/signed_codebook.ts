// Codebooks of ggml's formats of three bits: four magnitudes an entry, with signs of their own.

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
