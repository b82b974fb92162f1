// A block of IQ3_XXS to planes, bit for bit what split() of iq3_xxs.ts makes of it.

import { codesOf, entryOf, signsOf } from "../../lib/simd/codebook.simd";

export function splitBlock(block: usize, bytes: usize, book: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  store<u16>(p2, load<u16>(block));
  for (let j: usize = 0; j < 8; j++) {
    const word = load<u32>(block + 4 * j, 66);
    store<u8>(p1 + j, 2 * (word >>> 28) + 1);
    for (let k: usize = 0; k < 4; k++) {
      const at = block + 8 * j + 2 * k;
      const first = entryOf(book, load<u8>(at, 2));
      const next = entryOf(book, load<u8>(at, 3));
      store<u32>(p0 + 16 * j + 4 * k, codesOf(first, next, signsOf((word >>> <u32>(7 * k)) & 127)));
    }
  }
}
