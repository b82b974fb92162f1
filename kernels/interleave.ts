// Rows of a packed matrix into blocks of eight: word j of row r goes to [r / 8, j, r mod 8], and so do scales.
//
// A vector of four lanes then holds one word of each of four rows, so that a row's sum stays in its lane. This is the
// definition of the layout that the SIMD kernels read; they are fed by interleave.simd.ts.

/** Planes of packed rows as words: see src/tensor/pack.ts for what is in them. */
export interface WordPlanes {
  readonly quants: Uint32Array; // [rows, W] row by row, [rows / 8, W, 8] interleaved
  readonly scales: Uint16Array; // [rows, groups], [rows / 8, groups, 8]; empty where the precision has none
}

/**
 * Source row r in [from, to) becomes row `first + r * step` of `out`, whose rows are padded to a multiple of eight:
 * step 2 and first 0 or 1 make alternate rows of two matrices. Words are stored xor `flip`: 0x80808080 turns int8 into
 * unsigned weights plus 128. Rows of `out` that no source row becomes stay as they are; zeros make them weightless.
 */
export function interleave(
  source: WordPlanes,
  W: number,
  groups: number,
  first: number,
  step: number,
  flip: number,
  out: WordPlanes,
  from: number,
  to: number,
): void {
  for (let r = from; r < to; r++) {
    const row = first + r * step;
    const block = row >>> 3;
    const lane = row & 7;
    for (let j = 0; j < W; j++) out.quants[(block * W + j) * 8 + lane] = source.quants[r * W + j]! ^ flip;
    for (let g = 0; g < groups; g++) out.scales[(block * groups + g) * 8 + lane] = source.scales[r * groups + g]!;
  }
}
