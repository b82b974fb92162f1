// Words of eight nibbles, from the orders of published checkpoints to ours
// (kernels/formats/bits.ts), which has columns 0 4 1 5 2 6 3 7 of eight from the low end on.

/** A word of eight columns in ascending order, from the low end on, in our order. */
function ordered(word: number): number {
  return spread(word & 0xffff) | (spread(word >>> 16) << 4);
}

/** Four nibbles as the low halves of four bytes. */
function spread(four: number): number {
  const two = (four | (four << 8)) & 0x00ff00ff;
  return (two | (two << 4)) & 0x0f0f0f0f;
}

/** Orders the words of a matrix in place. */
export function orderWords(words: Uint32Array): void {
  for (let i = 0; i < words.length; i++) words[i] = ordered(words[i]!);
}

/**
 * GPTQ's words [rows of words, outputs], eight columns of an output each, to `levels` [outputs,
 * columns / 8] from word `first` of each output on.
 */
export function transposeGptq(from: Uint32Array, outputs: number, levels: Uint32Array, first: number, words: number) {
  const rows = from.length / outputs;
  // Sixteen words of a row of levels are a cache line.
  for (let top = 0; top < rows; top += 16) {
    const end = Math.min(top + 16, rows);
    for (let o = 0; o < outputs; o++)
      for (let j = top; j < end; j++) levels[o * words + first + j] = ordered(from[j * outputs + o]!);
  }
}

/**
 * AWQ's words [columns, outputs / 8], eight outputs of a column each, in the order 0 2 4 6 1 3 5 7
 * from the low end on; the rest as for GPTQ.
 */
export function transposeAwq(from: Uint32Array, outputs: number, levels: Uint32Array, first: number, words: number) {
  const eighths = outputs / 8;
  const rows = from.length / eighths / 8;
  for (let top = 0; top < rows; top += 16) {
    const end = Math.min(top + 16, rows);
    for (let e = 0; e < eighths; e++)
      for (let j = top; j < end; j++)
        transposeEight(from, 8 * j * eighths + e, eighths, levels, 8 * e * words + first + j, words);
  }
}

/**
 * Eight words of eight outputs, `step` apart, to eight words of eight columns, `words` apart: a
 * square of nibbles is transposed by halves, quarters and eighths.
 */
function transposeEight(from: Uint32Array, at: number, step: number, levels: Uint32Array, to: number, words: number) {
  // In the order that columns have in a word of levels.
  let a = from[at]!;
  let b = from[at + 4 * step]!;
  let c = from[at + step]!;
  let d = from[at + 5 * step]!;
  let e = from[at + 2 * step]!;
  let f = from[at + 6 * step]!;
  let g = from[at + 3 * step]!;
  let h = from[at + 7 * step]!;
  let swap = ((a >>> 16) ^ e) & 0xffff;
  e ^= swap;
  a ^= swap << 16;
  swap = ((b >>> 16) ^ f) & 0xffff;
  f ^= swap;
  b ^= swap << 16;
  swap = ((c >>> 16) ^ g) & 0xffff;
  g ^= swap;
  c ^= swap << 16;
  swap = ((d >>> 16) ^ h) & 0xffff;
  h ^= swap;
  d ^= swap << 16;
  swap = ((a >>> 8) ^ c) & 0x00ff00ff;
  c ^= swap;
  a ^= swap << 8;
  swap = ((b >>> 8) ^ d) & 0x00ff00ff;
  d ^= swap;
  b ^= swap << 8;
  swap = ((e >>> 8) ^ g) & 0x00ff00ff;
  g ^= swap;
  e ^= swap << 8;
  swap = ((f >>> 8) ^ h) & 0x00ff00ff;
  h ^= swap;
  f ^= swap << 8;
  swap = ((a >>> 4) ^ b) & 0x0f0f0f0f;
  b ^= swap;
  a ^= swap << 4;
  swap = ((c >>> 4) ^ d) & 0x0f0f0f0f;
  d ^= swap;
  c ^= swap << 4;
  swap = ((e >>> 4) ^ f) & 0x0f0f0f0f;
  f ^= swap;
  e ^= swap << 4;
  swap = ((g >>> 4) ^ h) & 0x0f0f0f0f;
  h ^= swap;
  g ^= swap << 4;
  // Nibble n of a word is output 0 2 4 6 1 3 5 7.
  levels[to] = a;
  levels[to + 2 * words] = b;
  levels[to + 4 * words] = c;
  levels[to + 6 * words] = d;
  levels[to + words] = e;
  levels[to + 3 * words] = f;
  levels[to + 5 * words] = g;
  levels[to + 7 * words] = h;
}
