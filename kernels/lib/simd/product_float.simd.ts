// Products of rows of any format with f32 activations: eight rows by two, three or four tokens, and
// sixteen rows by one.
//
// A group of 32 columns at a time is unpacked to f32, eight rows side by side so that a lane is a
// row, and summed by itself before it joins y: shorter sums round less.

import { madd } from "./dot.simd";
import { column, EXACT, FUSED, P0, weights } from "./format.simd";
import { scaleAt } from "./planes.simd";

/** Where a thread unpacks a group of one panel or of two, from its results on. */
const UNPACKED: usize = 1024;
/** Bytes of a group of eight rows, unpacked. */
const GROUP: usize = 1024;

/**
 * Eight rows, whose planes are at p0 .. p3, by `tokens` (2, 3 or 4, a constant) tokens, whose rows
 * of x lie `stride` bytes apart: [tokens, 8] f32 at out. `narrow` (a constant, with four tokens): a
 * column is a loop of its own (wide.simd.ts).
 */
// @ts-ignore: decorator
@inline function tile(
  tokens: i32,
  narrow: bool,
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
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
  for (let g: usize = 0; g < groups; g++) {
    let w = FUSED && tokens < 4 ? p0 + g * P0 : weights(p0, p1, p2, p3, g, out + UNPACKED);
    let a0 = f32x4.splat(0);
    let a1 = a0;
    let b0 = a0;
    let b1 = a0;
    let c0 = a0;
    let c1 = a0;
    let d0 = a0;
    let d1 = a0;
    const last = x + 128;
    if (narrow) {
      for (; x < last; x += 4) {
        const v0 = v128.load(w);
        const v1 = v128.load(w, 16);
        let value = v128.load32_splat(x);
        a0 = madd(value, v0, a0);
        a1 = madd(value, v1, a1);
        value = v128.load32_splat(x + stride);
        b0 = madd(value, v0, b0);
        b1 = madd(value, v1, b1);
        value = v128.load32_splat(x + stride2);
        c0 = madd(value, v0, c0);
        c1 = madd(value, v1, c1);
        value = v128.load32_splat(x + stride3);
        d0 = madd(value, v0, d0);
        d1 = madd(value, v1, d1);
        w += 32;
      }
    }
    // Four columns at once: else a third of the instructions would be arithmetic with addresses.
    for (; !narrow && x < last; ) {
      const xb = x + stride;
      const xc = x + stride2;
      const xd = x + stride3;
      if (FUSED && tokens < 4) {
        const w0 = v128.load(w);
        const w1 = v128.load(w, 16);
        w += 32;
        let u0 = column(w0, 0);
        let u1 = column(w1, 0);
        let item = v128.load32_splat(x);
        a0 = madd(item, u0, a0);
        a1 = madd(item, u1, a1);
        item = v128.load32_splat(xb);
        b0 = madd(item, u0, b0);
        b1 = madd(item, u1, b1);
        if (tokens > 2) {
          item = v128.load32_splat(xc);
          c0 = madd(item, u0, c0);
          c1 = madd(item, u1, c1);
        }
        u0 = column(w0, 1);
        u1 = column(w1, 1);
        item = v128.load32_splat(x, 4);
        a0 = madd(item, u0, a0);
        a1 = madd(item, u1, a1);
        item = v128.load32_splat(xb, 4);
        b0 = madd(item, u0, b0);
        b1 = madd(item, u1, b1);
        if (tokens > 2) {
          item = v128.load32_splat(xc, 4);
          c0 = madd(item, u0, c0);
          c1 = madd(item, u1, c1);
        }
        x += 8;
        continue;
      }
      let v0 = v128.load(w);
      let v1 = v128.load(w, 16);
      let value = v128.load32_splat(x);
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
    }
    if (EXACT) {
      y00 = f32x4.add(a0, y00);
      y01 = f32x4.add(a1, y01);
      y10 = f32x4.add(b0, y10);
      y11 = f32x4.add(b1, y11);
      if (tokens > 2) {
        y20 = f32x4.add(c0, y20);
        y21 = f32x4.add(c1, y21);
      }
      if (tokens > 3) {
        y30 = f32x4.add(d0, y30);
        y31 = f32x4.add(d1, y31);
      }
    } else {
      const s0 = scaleAt(p1, p2, p3, g, 0);
      const s1 = scaleAt(p1, p2, p3, g, 1);
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
    }
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

// A function each: two loops in one function share its registers, and V8 then makes both slower by
// a third.

/** Eight rows by four, three or two tokens: [tokens, 8] f32 at out. */
export function tileNarrow(
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  groups: usize,
  x: usize,
  stride: usize,
  out: usize,
): void {
  tile(4, true, p0, p1, p2, p3, groups, x, stride, out);
}
export function tileFloat(
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  groups: usize,
  x: usize,
  stride: usize,
  out: usize,
): void {
  tile(4, false, p0, p1, p2, p3, groups, x, stride, out);
}
export function tileFloatBy3(
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  groups: usize,
  x: usize,
  stride: usize,
  out: usize,
): void {
  tile(3, false, p0, p1, p2, p3, groups, x, stride, out);
}
export function tileFloatBy2(
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  groups: usize,
  x: usize,
  stride: usize,
  out: usize,
): void {
  tile(2, false, p0, p1, p2, p3, groups, x, stride, out);
}

/** Sixteen rows by one token: 16 f32 at out. `q0` .. `q3` are the planes of the second eight. */
export function vecFloat(
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  q0: usize,
  q1: usize,
  q2: usize,
  q3: usize,
  groups: usize,
  x: usize,
  out: usize,
): void {
  let y0 = f32x4.splat(0);
  let y1 = y0;
  let y2 = y0;
  let y3 = y0;
  for (let g: usize = 0; g < groups; g++) {
    let v = FUSED ? p0 + g * P0 : weights(p0, p1, p2, p3, g, out + UNPACKED);
    let w = FUSED ? q0 + g * P0 : weights(q0, q1, q2, q3, g, out + UNPACKED + GROUP);
    let a0 = f32x4.splat(0);
    let a1 = a0;
    let b0 = a0;
    let b1 = a0;
    for (const last = x + 128; x < last; x += 4) {
      let value = v128.load32_splat(x);
      if (FUSED) {
        const v0 = v128.load(v);
        const v1 = v128.load(v, 16);
        const w0 = v128.load(w);
        const w1 = v128.load(w, 16);
        a0 = madd(value, column(v0, 0), a0);
        a1 = madd(value, column(v1, 0), a1);
        b0 = madd(value, column(w0, 0), b0);
        b1 = madd(value, column(w1, 0), b1);
        x += 4;
        value = v128.load32_splat(x);
        a0 = madd(value, column(v0, 1), a0);
        a1 = madd(value, column(v1, 1), a1);
        b0 = madd(value, column(w0, 1), b0);
        b1 = madd(value, column(w1, 1), b1);
        v += 32;
        w += 32;
        continue;
      }
      a0 = madd(value, v128.load(v), a0);
      a1 = madd(value, v128.load(v, 16), a1);
      b0 = madd(value, v128.load(w), b0);
      b1 = madd(value, v128.load(w, 16), b1);
      v += 32;
      w += 32;
    }
    if (EXACT) {
      y0 = f32x4.add(a0, y0);
      y1 = f32x4.add(a1, y1);
      y2 = f32x4.add(b0, y2);
      y3 = f32x4.add(b1, y3);
    } else {
      y0 = madd(a0, scaleAt(p1, p2, p3, g, 0), y0);
      y1 = madd(a1, scaleAt(p1, p2, p3, g, 1), y1);
      y2 = madd(b0, scaleAt(q1, q2, q3, g, 0), y2);
      y3 = madd(b1, scaleAt(q1, q2, q3, g, 1), y3);
    }
  }
  v128.store(out, y0);
  v128.store(out, y1, 16);
  v128.store(out, y2, 32);
  v128.store(out, y3, 48);
}
