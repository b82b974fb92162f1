// y[t] = table[tokens[t]]: rows of the embedding table, unpacked.
//
// Rows lie in blocks of eight: word j of row r is word ((r >> 3) W + j) 8 + (r & 7) of the quants, W words a row; the
// scale of its group g is f16 ((r >> 3) groups + g) 8 + (r & 7) of the scales. q8 bytes are weights plus 128.

import { half } from "./lib/simd/lanes.simd";
import { scratchOf } from "./lib/simd/scratch.simd";

/** Rows [from, to) of y [T, D]; tokens [T], each below the table's rows. precision: 0 f32, 1 f16, 2 q8, 3 q4. */
export function embed(
  from: u32,
  to: u32,
  thread: u32,
  tokens: usize,
  precision: u32,
  quants: usize,
  scales: usize,
  D: u32,
  y: usize,
): void {
  const groups = (<usize>D + 31) / 32;
  const columns: usize = 1 << precision; // of a word
  const words = (groups * 32) >> precision;
  const last = scratchOf(thread); // a word of which only some columns are the row's
  for (let t = <usize>from; t < <usize>to; t++) {
    const row = <usize>load<u32>(tokens + t * 4);
    const word = quants + ((row >> 3) * words * 8 + (row & 7)) * 4;
    const scale = scales + ((row >> 3) * groups * 8 + (row & 7)) * 2;
    const yp = y + t * <usize>D * 4;
    for (let j: usize = 0, column: usize = 0; column < <usize>D; j++, column += columns) {
      const whole = column + columns <= <usize>D;
      const into = whole ? yp + column * 4 : last;
      const bits = load<u32>(word + j * 32);
      if (precision == 0) store<u32>(into, bits);
      else if (precision == 1) twoHalves(bits, into);
      else {
        const step = half(load<u16>(scale + (column >> 5) * 16));
        if (precision == 2) fourBytes(bits, step, into);
        else eightNibbles(bits, step, into);
      }
      if (!whole) memory.copy(yp + column * 4, last, (<usize>D - column) * 4);
    }
  }
}

// @ts-ignore: decorator
@inline function twoHalves(word: u32, y: usize): void {
  store<f32>(y, half(word & 0xffff));
  store<f32>(y, half(word >> 16), 4);
}

// @ts-ignore: decorator
@inline function fourBytes(word: u32, scale: f32, y: usize): void {
  const levels = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(i32x4.splat(word ^ 0x80808080)));
  v128.store(y, f32x4.mul(f32x4.convert_i32x4_s(levels), f32x4.splat(scale)));
}

// @ts-ignore: decorator
@inline function eightNibbles(word: u32, scale: f32, y: usize): void {
  fourNibbles(word & 0x0f0f0f0f, scale, y);
  fourNibbles((word >> 4) & 0x0f0f0f0f, scale, y + 16);
}

// @ts-ignore: decorator
@inline function fourNibbles(word: u32, scale: f32, y: usize): void {
  const levels = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(i32x4.splat(word)));
  v128.store(y, f32x4.mul(f32x4.convert_i32x4_s(i32x4.sub(levels, i32x4.splat(8))), f32x4.splat(scale)));
}
