// A block of IQ3_S to planes, bit for bit what split() of iq3_s.ts makes of it.

import { codesOf, entryOf } from "../../lib/simd/codebook.simd";

export function splitBlock(block: usize, bytes: usize, book: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  store<u16>(p2, load<u16>(block));
  for (let j: usize = 0; j < 8; j++) {
    const high: u32 = load<u8>(block + j, 66);
    const scale: u32 = load<u8>(block + (j >> 1), 106);
    store<u8>(p1 + j, 2 * ((scale >>> <u32>(4 * (j & 1))) & 15) + 1);
    for (let k: usize = 0; k < 4; k++) {
      const at = block + 8 * j + 2 * k;
      const bits = high >>> <u32>(2 * k);
      const first = entryOf(book, <u32>load<u8>(at, 2) | ((bits & 1) << 8));
      const next = entryOf(book, <u32>load<u8>(at, 3) | ((bits & 2) << 7));
      store<u32>(p0 + 16 * j + 4 * k, codesOf(first, next, load<u8>(block + 4 * j + k, 74)));
    }
  }
}
