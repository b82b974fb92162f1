// Blocks of IQ1_S and IQ1_M to planes, bit for bit what split() in iq1.ts makes of them.

import { entryOf, putSixteen } from "../../lib/simd/codebook.simd";
import { splitWord } from "../../lib/simd/split.simd";

export function splitBlock(block: usize, bytes: usize, book: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  if (bytes == 50) {
    store<u16>(p3, load<u16>(block));
    splitS(block + 2, book, p0, p1, p2);
  } else splitM(block, book, p0, p1, p2, p3);
}

function splitS(from: usize, book: usize, p0: usize, p1: usize, p2: usize): void {
  for (let j: usize = 0; j < 8; j++) {
    const high: u32 = load<u16>(from + 2 * j, 32);
    store<u8>(p2 + j, ((high >>> 12) & 7) * 17);
    store<u32>(p1 + 4 * j, (high >>> 15) - 1);
    putFour(load<u32>(from + 4 * j), high & 7, (high >>> 3) & 7, (high >>> 6) & 7, (high >>> 9) & 7, book, p0 + 8 * j);
  }
}

function splitM(block: usize, book: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  let d: u32 = 0;
  for (let j: usize = 0; j < 4; j++) {
    const word: u32 = load<u16>(block + 2 * j, 48);
    d |= (word >>> 12) << <u32>(4 * j);
    store<u8>(p2 + 2 * j, (word & 7) | ((word & 0x38) << 1));
    store<u8>(p2 + 2 * j + 1, ((word >>> 6) & 7) | ((word >>> 5) & 0x70));
  }
  store<u16>(p3, d);
  for (let j: usize = 0; j < 8; j++) {
    const high: u32 = load<u16>(block + 2 * j, 32);
    const entries = load<u32>(block + 4 * j);
    putFour(entries, high & 7, (high >>> 4) & 7, (high >>> 8) & 7, (high >>> 12) & 7, book, p0 + 8 * j);
    const minus = high >>> 3; // of each eight weights
    const bytes = (minus & 1) | ((minus & 0x10) << 4) | ((minus & 0x100) << 8) | ((minus & 0x1000) << 12);
    store<u32>(p1 + 4 * j, splitWord(~(bytes * 255)));
  }
}

/** Four entries, by their low eight bits and their high three. */
// @ts-ignore: decorator
@inline function putFour(low: u32, a: u32, b: u32, c: u32, d: u32, book: usize, to: usize): void {
  putSixteen(entryOf(book, (low & 255) | (a << 8)), entryOf(book, ((low >>> 8) & 255) | (b << 8)), to);
  putSixteen(entryOf(book, ((low >>> 16) & 255) | (c << 8)), entryOf(book, (low >>> 24) | (d << 8)), to + 4);
}
