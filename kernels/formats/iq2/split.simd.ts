// Blocks of IQ2_XXS, IQ2_XS and IQ2_S to planes, bit for bit what split() in iq2.ts makes of them.

import { entryOf, putSixteen, signsOf } from "../../lib/simd/codebook.simd";
import { splitWord } from "../../lib/simd/split.simd";

export function splitBlock(block: usize, bytes: usize, book: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  store<u16>(p3, load<u16>(block));
  if (bytes == 66) splitXxs(block + 2, book, p0, p1, p2);
  else if (bytes == 74) splitXs(block + 2, book, p0, p1, p2);
  else splitS(block + 2, book, p0, p1, p2);
}

function splitXxs(from: usize, book: usize, p0: usize, p1: usize, p2: usize): void {
  for (let j: usize = 0; j < 8; j++) {
    const entries = load<u32>(from + 8 * j);
    const word = load<u32>(from + 8 * j, 4);
    store<u8>(p2 + j, (word >>> 28) * 17);
    const low = signsOf(word & 127) | (signsOf((word >>> 7) & 127) << 8);
    const high = signsOf((word >>> 14) & 127) | (signsOf((word >>> 21) & 127) << 8);
    store<u32>(p1 + 4 * j, splitWord(low | (high << 16)));
    putSixteen(entryOf(book, entries & 255), entryOf(book, (entries >>> 8) & 255), p0 + 8 * j);
    putSixteen(entryOf(book, (entries >>> 16) & 255), entryOf(book, entries >>> 24), p0 + 8 * j + 4);
  }
}

function splitXs(from: usize, book: usize, p0: usize, p1: usize, p2: usize): void {
  store<u64>(p2, load<u64>(from, 64));
  for (let j: usize = 0; j < 8; j++) {
    const first = load<u32>(from + 8 * j);
    const next = load<u32>(from + 8 * j, 4);
    const low = signsOf((first >>> 9) & 127) | (signsOf(first >>> 25) << 8);
    const high = signsOf((next >>> 9) & 127) | (signsOf(next >>> 25) << 8);
    store<u32>(p1 + 4 * j, splitWord(low | (high << 16)));
    putSixteen(entryOf(book, first & 511), entryOf(book, (first >>> 16) & 511), p0 + 8 * j);
    putSixteen(entryOf(book, next & 511), entryOf(book, (next >>> 16) & 511), p0 + 8 * j + 4);
  }
}

function splitS(from: usize, book: usize, p0: usize, p1: usize, p2: usize): void {
  store<u64>(p2, load<u64>(from, 72));
  for (let j: usize = 0; j < 8; j++) {
    const entries = load<u32>(from + 4 * j);
    const high: u32 = load<u8>(from + j, 64);
    store<u32>(p1 + 4 * j, splitWord(load<u32>(from + 4 * j, 32)));
    const first = entryOf(book, (entries & 255) | ((high & 3) << 8));
    const second = entryOf(book, ((entries >>> 8) & 255) | ((high & 12) << 6));
    const third = entryOf(book, ((entries >>> 16) & 255) | ((high & 48) << 4));
    putSixteen(first, second, p0 + 8 * j);
    putSixteen(third, entryOf(book, (entries >>> 24) | ((high & 192) << 2)), p0 + 8 * j + 4);
  }
}
