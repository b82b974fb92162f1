// Rows of a packed matrix into blocks of eight: word j of row r goes to [r / 8, j, r mod 8], and so do scales.
//
// The layout's definition is interleave.ts. Whole and half blocks of consecutive rows are transposed in registers;
// other rows (alternate ones, the ends of a range) are stored word by word, and what lies between them is not touched.

/**
 * Rows [from, to) of the row-major planes at `quants` (u32 [rows, W]) and `scales` (f16 [rows, groups]; groups = 0
 * where there are none). Row r becomes row `first + r * step` of the planes at `outQuants` (u32 [.., W, 8]) and
 * `outScales` (f16 [.., groups, 8]). Words are stored xor `flip`.
 */
export function interleave(
  from: u32, to: u32, thread: u32,
  quants: usize, scales: usize, W: u32, groups: u32, first: u32, step: u32, outQuants: usize, outScales: usize, flip: u32,
): void {
  let r = from;
  while (r < to) {
    const row = first + r * step;
    const lane = row & 7;
    const block = <usize>(row >>> 3);
    let rows = min(to - r, (7 - lane) / step + 1); // that lie in this block
    const source = quants + <usize>r * W * 4;
    const target = outQuants + (block * W * 8 + lane) * 4;
    if (step == 1 && rows >= 4 && (lane & 3) == 0) {
      rows &= ~3;
      if (rows == 8) eightRows(source, W, target, flip);
      else fourRows(source, W, target, flip);
    } else {
      for (let i: u32 = 0; i < rows; i++) oneRow(source + <usize>i * W * 4, W, target + i * step * 4, flip);
    }
    const from16 = scales + <usize>r * groups * 2;
    const to16 = outScales + (block * groups * 8 + lane) * 2;
    for (let i: u32 = 0; i < rows; i++) {
      const p = from16 + <usize>i * groups * 2;
      const q = to16 + i * step * 2;
      for (let g: usize = 0; g < groups; g++) store<u16>(q + g * 16, load<u16>(p + g * 2));
    }
    r += rows;
  }
}

function eightRows(source: usize, W: u32, target: usize, flip: u32): void {
  const mask = i32x4.splat(flip);
  const bytes = <usize>W * 4;
  let j: u32 = 0;
  for (; j + 4 <= W; j += 4) {
    transpose(source + <usize>j * 4, bytes, target + <usize>j * 32, mask);
    transpose(source + <usize>j * 4 + 4 * bytes, bytes, target + <usize>j * 32 + 16, mask);
  }
  for (let i: usize = 0; i < 8; i++) words(source + i * bytes, j, W, target + i * 4, flip);
}

function fourRows(source: usize, W: u32, target: usize, flip: u32): void {
  const mask = i32x4.splat(flip);
  const bytes = <usize>W * 4;
  let j: u32 = 0;
  for (; j + 4 <= W; j += 4) transpose(source + <usize>j * 4, bytes, target + <usize>j * 32, mask);
  for (let i: usize = 0; i < 4; i++) words(source + i * bytes, j, W, target + i * 4, flip);
}

function oneRow(source: usize, W: u32, target: usize, flip: u32): void {
  const mask = i32x4.splat(flip);
  let j: u32 = 0;
  for (; j + 4 <= W; j += 4) {
    const v = v128.xor(v128.load(source + <usize>j * 4), mask);
    const to = target + <usize>j * 32;
    v128.store32_lane(to, v, 0);
    v128.store32_lane(to, v, 1, 32);
    v128.store32_lane(to, v, 2, 64);
    v128.store32_lane(to, v, 3, 96);
  }
  words(source, j, W, target, flip);
}

/** Four words of each of four rows, `bytes` apart, to four lanes of four words' vectors. */
// @ts-ignore: decorator
@inline function transpose(source: usize, bytes: usize, target: usize, mask: v128): void {
  const a = v128.xor(v128.load(source), mask);
  const b = v128.xor(v128.load(source + bytes), mask);
  const c = v128.xor(v128.load(source + 2 * bytes), mask);
  const d = v128.xor(v128.load(source + 3 * bytes), mask);
  const ab0 = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const ab2 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const cd0 = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const cd2 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(target, v128.shuffle<i64>(ab0, cd0, 0, 2));
  v128.store(target, v128.shuffle<i64>(ab0, cd0, 1, 3), 32);
  v128.store(target, v128.shuffle<i64>(ab2, cd2, 0, 2), 64);
  v128.store(target, v128.shuffle<i64>(ab2, cd2, 1, 3), 96);
}

/** Words [from, to) of a row, one by one. */
function words(source: usize, from: u32, to: u32, target: usize, flip: u32): void {
  for (let j = from; j < to; j++) store<u32>(target + <usize>j * 32, load<u32>(source + <usize>j * 4) ^ flip);
}
