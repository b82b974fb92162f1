// Products of rows of any precision with f32 activations: how f32 and f16 are computed, and the exact form of q8 and q4.
//
// Blocks of eight rows, whose words lie side by side so that a lane is a row (a word is 1 column of f32, 2 of f16, 4 of
// q8, 8 of q4). Each group of 32 columns is summed by itself before it joins y: shorter sums round less.

import { madd } from "./dot.simd";
import { halves } from "./lanes.simd";

export const F32: u32 = 0;
export const F16: u32 = 1;
export const Q8: u32 = 2;
export const Q4: u32 = 3;

/** Column i of four rows' words, as f32 without the group's scale. `precision` is a constant wherever this is inlined. */
// @ts-ignore: decorator
@inline function column(precision: u32, w: v128, i: i32): v128 {
  if (precision == F32) return w;
  if (precision == F16) {
    // The half's sign in bit 31 and the rest below it, shifted to where an f32 has its exponent, whose bias is 112 more.
    const bits = v128.and(i32x4.shr_s(i32x4.shl(w, 16 - 16 * i), 3), i32x4.splat(0x8fffe000));
    return f32x4.mul(bits, f32x4.splat(<f32>5.192296858534828e33));
  }
  if (precision == Q8)
    return f32x4.convert_i32x4_s(i32x4.sub(v128.and(i32x4.shr_u(w, 8 * i), i32x4.splat(255)), i32x4.splat(128)));
  const nibble = v128.and(i32x4.shr_u(w, 8 * (i & 3) + (i & 4)), i32x4.splat(15));
  return f32x4.convert_i32x4_s(i32x4.sub(nibble, i32x4.splat(8)));
}

// @ts-ignore: decorator
@inline function columnsPerWord(precision: u32): i32 {
  return 1 << precision;
}

/** Eight rows by `tokens` (2, 3 or 4, a constant) tokens, rows of x `stride` bytes apart: [tokens, 8] f32 at out. */
// @ts-ignore: decorator
@inline function tile(
  precision: u32,
  tokens: i32,
  w: usize,
  s: usize,
  groups: usize,
  x: usize,
  stride: usize,
  out: usize,
): void {
  let y00 = f32x4.splat(0);
  let y01 = y00;
  let y10 = y00;
  let y11 = y00;
  let y20 = y00;
  let y21 = y00;
  let y30 = y00;
  let y31 = y00;
  const stride2 = 2 * stride;
  const stride3 = 3 * stride;
  for (const end = x + groups * 128; x < end; ) {
    let a0 = f32x4.splat(0);
    let a1 = a0;
    let b0 = a0;
    let b1 = a0;
    let c0 = a0;
    let c1 = a0;
    let d0 = a0;
    let d1 = a0;
    for (const last = x + 128; x < last; ) {
      let value: v128;
      const xb = x + stride;
      const xc = x + stride2;
      const xd = x + stride3;
      if (precision == F32) {
        // Four columns at once: else a third of the instructions would be arithmetic with addresses.
        let v0 = v128.load(w);
        let v1 = v128.load(w, 16);
        value = v128.load32_splat(x);
        a0 = madd(value, v0, a0);
        a1 = madd(value, v1, a1);
        value = v128.load32_splat(xb);
        b0 = madd(value, v0, b0);
        b1 = madd(value, v1, b1);
        if (tokens > 2) {
          value = v128.load32_splat(xc);
          c0 = madd(value, v0, c0);
          c1 = madd(value, v1, c1);
        }
        if (tokens > 3) {
          value = v128.load32_splat(xd);
          d0 = madd(value, v0, d0);
          d1 = madd(value, v1, d1);
        }
        v0 = v128.load(w, 32);
        v1 = v128.load(w, 48);
        value = v128.load32_splat(x, 4);
        a0 = madd(value, v0, a0);
        a1 = madd(value, v1, a1);
        value = v128.load32_splat(xb, 4);
        b0 = madd(value, v0, b0);
        b1 = madd(value, v1, b1);
        if (tokens > 2) {
          value = v128.load32_splat(xc, 4);
          c0 = madd(value, v0, c0);
          c1 = madd(value, v1, c1);
        }
        if (tokens > 3) {
          value = v128.load32_splat(xd, 4);
          d0 = madd(value, v0, d0);
          d1 = madd(value, v1, d1);
        }
        v0 = v128.load(w, 64);
        v1 = v128.load(w, 80);
        value = v128.load32_splat(x, 8);
        a0 = madd(value, v0, a0);
        a1 = madd(value, v1, a1);
        value = v128.load32_splat(xb, 8);
        b0 = madd(value, v0, b0);
        b1 = madd(value, v1, b1);
        if (tokens > 2) {
          value = v128.load32_splat(xc, 8);
          c0 = madd(value, v0, c0);
          c1 = madd(value, v1, c1);
        }
        if (tokens > 3) {
          value = v128.load32_splat(xd, 8);
          d0 = madd(value, v0, d0);
          d1 = madd(value, v1, d1);
        }
        v0 = v128.load(w, 96);
        v1 = v128.load(w, 112);
        value = v128.load32_splat(x, 12);
        a0 = madd(value, v0, a0);
        a1 = madd(value, v1, a1);
        value = v128.load32_splat(xb, 12);
        b0 = madd(value, v0, b0);
        b1 = madd(value, v1, b1);
        if (tokens > 2) {
          value = v128.load32_splat(xc, 12);
          c0 = madd(value, v0, c0);
          c1 = madd(value, v1, c1);
        }
        if (tokens > 3) {
          value = v128.load32_splat(xd, 12);
          d0 = madd(value, v0, d0);
          d1 = madd(value, v1, d1);
        }
        w += 128;
        x += 16;
        continue;
      }
      const w0 = v128.load(w);
      const w1 = v128.load(w, 16);
      w += 32;
      for (let i = 0; i < columnsPerWord(precision); i++) {
        const v0 = column(precision, w0, i);
        const v1 = column(precision, w1, i);
        value = v128.load32_splat(x);
        a0 = madd(value, v0, a0);
        a1 = madd(value, v1, a1);
        value = v128.load32_splat(x + stride);
        b0 = madd(value, v0, b0);
        b1 = madd(value, v1, b1);
        if (tokens > 2) {
          value = v128.load32_splat(x + stride2);
          c0 = madd(value, v0, c0);
          c1 = madd(value, v1, c1);
        }
        if (tokens > 3) {
          value = v128.load32_splat(x + stride3);
          d0 = madd(value, v0, d0);
          d1 = madd(value, v1, d1);
        }
        x += 4;
      }
    }
    const scaled = precision == Q8 || precision == Q4;
    const s0 = scaled ? halves(s) : f32x4.splat(1);
    const s1 = scaled ? halves(s + 8) : s0;
    y00 = madd(a0, s0, y00);
    y01 = madd(a1, s1, y01);
    y10 = madd(b0, s0, y10);
    y11 = madd(b1, s1, y11);
    if (tokens > 2) {
      y20 = madd(c0, s0, y20);
      y21 = madd(c1, s1, y21);
    }
    if (tokens > 3) {
      y30 = madd(d0, s0, y30);
      y31 = madd(d1, s1, y31);
    }
    s += 16;
  }
  v128.store(out, y00);
  v128.store(out, y01, 16);
  v128.store(out, y10, 32);
  v128.store(out, y11, 48);
  if (tokens > 2) {
    v128.store(out, y20, 64);
    v128.store(out, y21, 80);
  }
  if (tokens > 3) {
    v128.store(out, y30, 96);
    v128.store(out, y31, 112);
  }
}

/** Sixteen rows (blocks `wBlock` and `sBlock` bytes apart) by one token: 16 f32 at out. */
// @ts-ignore: decorator
@inline function vec(
  precision: u32,
  w: usize,
  wBlock: usize,
  s: usize,
  sBlock: usize,
  groups: usize,
  x: usize,
  out: usize,
): void {
  let y0 = f32x4.splat(0);
  let y1 = y0;
  let y2 = y0;
  let y3 = y0;
  for (const end = x + groups * 128; x < end; ) {
    let a0 = f32x4.splat(0);
    let a1 = a0;
    let b0 = a0;
    let b1 = a0;
    for (const last = x + 128; x < last; ) {
      const w0 = v128.load(w);
      const w1 = v128.load(w, 16);
      const w2 = v128.load(w + wBlock);
      const w3 = v128.load(w + wBlock, 16);
      w += 32;
      for (let i = 0; i < columnsPerWord(precision); i++) {
        const value = v128.load32_splat(x);
        a0 = madd(value, column(precision, w0, i), a0);
        a1 = madd(value, column(precision, w1, i), a1);
        b0 = madd(value, column(precision, w2, i), b0);
        b1 = madd(value, column(precision, w3, i), b1);
        x += 4;
      }
    }
    if (precision == Q8 || precision == Q4) {
      y0 = madd(a0, halves(s), y0);
      y1 = madd(a1, halves(s + 8), y1);
      y2 = madd(b0, halves(s + sBlock), y2);
      y3 = madd(b1, halves(s + sBlock + 8), y3);
      s += 16;
    } else {
      y0 = f32x4.add(a0, y0);
      y1 = f32x4.add(a1, y1);
      y2 = f32x4.add(b0, y2);
      y3 = f32x4.add(b1, y3);
    }
  }
  v128.store(out, y0);
  v128.store(out, y1, 16);
  v128.store(out, y2, 32);
  v128.store(out, y3, 48);
}

/** Eight rows by four tokens: [4, 8] f32 at out. */
export function tileFloat(precision: u32, w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  if (precision == F32) tile(F32, 4, w, s, groups, x, stride, out);
  else if (precision == F16) tile(F16, 4, w, s, groups, x, stride, out);
  else if (precision == Q8) tile(Q8, 4, w, s, groups, x, stride, out);
  else tile(Q4, 4, w, s, groups, x, stride, out);
}

/** Eight rows by three or two tokens, of the precisions whose weights are multiplied as f32 by default. */
export function tileF32By3(w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  tile(F32, 3, w, s, groups, x, stride, out);
}
export function tileF32By2(w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  tile(F32, 2, w, s, groups, x, stride, out);
}
export function tileF16By3(w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  tile(F16, 3, w, s, groups, x, stride, out);
}
export function tileF16By2(w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  tile(F16, 2, w, s, groups, x, stride, out);
}

/** Eight rows (`blocks` = 1) or sixteen (2) by one token: f32 at out, where room for 16 is needed. */
export function vecFloat(precision: u32, w: usize, s: usize, groups: usize, x: usize, blocks: u32, out: usize): void {
  // One block is computed as two equal ones: it happens once in a range at most.
  const wBlock = blocks == 2 ? (groups * 1024) >> precision : 0;
  const sBlock: usize = blocks == 2 ? groups * 16 : 0;
  if (precision == F32) vec(F32, w, wBlock, s, sBlock, groups, x, out);
  else if (precision == F16) vec(F16, w, wBlock, s, sBlock, groups, x, out);
  else if (precision == Q8) vec(Q8, w, wBlock, s, sBlock, groups, x, out);
  else vec(Q4, w, wBlock, s, sBlock, groups, x, out);
}
