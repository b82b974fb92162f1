// Rows of a plane into panels of eight: element j of row r goes to [r / 8, j, r mod 8].
//
// The definition is weave() in src/tensor/panels.ts. Whole and half panels of consecutive rows of
// four-byte elements are transposed in registers; other rows (alternate ones, the ends of a range)
// are stored element by element, and what lies between them is not touched.

/**
 * Rows [from, to) of a row-major plane at `plane`, W elements of `size` (2 or 4) bytes a row. Row r
 * becomes row `first + r * step` of the panels at `out`.
 */
export function weave(
  from: u32,
  to: u32,
  thread: u32,
  plane: usize,
  W: u32,
  size: u32,
  first: u32,
  step: u32,
  out: usize,
): void {
  const bytes = <usize>W * size;
  let r = from;
  while (r < to) {
    const row = first + r * step;
    const lane = row & 7;
    let rows = min(to - r, (7 - lane) / step + 1); // that lie in this panel
    const source = plane + <usize>r * bytes;
    const target = out + <usize>(row >>> 3) * bytes * 8 + <usize>lane * size;
    if (size == 2) {
      for (let i: u32 = 0; i < rows; i++) halves(source + <usize>i * bytes, W, target + i * step * 2);
    } else if (step == 1 && rows >= 4 && (lane & 3) == 0) {
      rows &= ~3;
      if (rows == 8) eightRows(source, W, target);
      else fourRows(source, W, target);
    } else {
      for (let i: u32 = 0; i < rows; i++) oneRow(source + <usize>i * bytes, W, target + i * step * 4);
    }
    r += rows;
  }
}

function eightRows(source: usize, W: u32, target: usize): void {
  const bytes = <usize>W * 4;
  let j: u32 = 0;
  for (; j + 4 <= W; j += 4) {
    transpose(source + <usize>j * 4, bytes, target + <usize>j * 32);
    transpose(source + <usize>j * 4 + 4 * bytes, bytes, target + <usize>j * 32 + 16);
  }
  for (let i: usize = 0; i < 8; i++) words(source + i * bytes, j, W, target + i * 4);
}

function fourRows(source: usize, W: u32, target: usize): void {
  const bytes = <usize>W * 4;
  let j: u32 = 0;
  for (; j + 4 <= W; j += 4) transpose(source + <usize>j * 4, bytes, target + <usize>j * 32);
  for (let i: usize = 0; i < 4; i++) words(source + i * bytes, j, W, target + i * 4);
}

function oneRow(source: usize, W: u32, target: usize): void {
  let j: u32 = 0;
  for (; j + 4 <= W; j += 4) {
    const v = v128.load(source + <usize>j * 4);
    const to = target + <usize>j * 32;
    v128.store32_lane(to, v, 0);
    v128.store32_lane(to, v, 1, 32);
    v128.store32_lane(to, v, 2, 64);
    v128.store32_lane(to, v, 3, 96);
  }
  words(source, j, W, target);
}

/** Four words of each of four rows, `bytes` apart, to four lanes of four words' vectors. */
// @ts-ignore: decorator
@inline function transpose(source: usize, bytes: usize, target: usize): void {
  const a = v128.load(source);
  const b = v128.load(source + bytes);
  const c = v128.load(source + 2 * bytes);
  const d = v128.load(source + 3 * bytes);
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
function words(source: usize, from: u32, to: u32, target: usize): void {
  for (let j = from; j < to; j++) store<u32>(target + <usize>j * 32, load<u32>(source + <usize>j * 4));
}

/** All elements of a row of two bytes each. */
function halves(source: usize, W: u32, target: usize): void {
  for (let j: usize = 0; j < <usize>W; j++) store<u16>(target + j * 16, load<u16>(source + j * 2));
}
