// Products of q4 rows with int8 activations: blocks of eight rows, whose words lie side by side so that a lane is a row.
//
// Per group of 32 columns: sum = Σ (u - 8) q in integers, then y += (weight scale * activation scale) * sum in f32.

import { activations, dot, madd, nibbles, PARTS, total, X_GROUP, X_WORD } from "./dot.simd";
import { halves } from "./lanes.simd";

/** Bytes of a group of eight rows: quants and scales. */
const W_GROUP: usize = 128;
const S_GROUP: usize = 16;

/** sum + eight columns of four rows. */
// @ts-ignore: decorator
@inline function word(sum: v128, w: v128, x: usize): v128 {
  sum = dot(sum, activations(x, 0), nibbles(w, 0));
  sum = dot(sum, activations(x, 1), nibbles(w, 1));
  if (PARTS == 4) {
    sum = dot(sum, activations(x, 2), nibbles(w, 2));
    sum = dot(sum, activations(x, 3), nibbles(w, 3));
  }
  return sum;
}

/** A group of four rows, the first or the second four of a block, as f32. */
// @ts-ignore: decorator
@inline function group(w: usize, x: usize, first: v128): v128 {
  let sum = word(first, v128.load(w), x);
  sum = word(sum, v128.load(w, 32), x + X_WORD);
  sum = word(sum, v128.load(w, 64), x + 2 * X_WORD);
  sum = word(sum, v128.load(w, 96), x + 3 * X_WORD);
  return f32x4.convert_i32x4_s(total(sum));
}

/** Eight rows by one token: 8 f32 at out. */
export function vecQ4(w: usize, s: usize, groups: usize, x: usize, out: usize): void {
  let scale = x + groups * X_GROUP;
  let y0 = f32x4.splat(0);
  let y1 = y0;
  for (const end = scale, starts = groups * 4; x < end; x += X_GROUP) {
    const first = v128.load32_splat(scale + starts);
    const step = v128.load32_splat(scale);
    y0 = madd(f32x4.mul(group(w, x, first), step), halves(s), y0);
    y1 = madd(f32x4.mul(group(w + 16, x, first), step), halves(s + 8), y1);
    w += W_GROUP;
    s += S_GROUP;
    scale += 4;
  }
  v128.store(out, y0);
  v128.store(out, y1, 16);
}

/**
 * Four blocks by one token: 32 f32 at out. Four streams at once, because a processor fetches ahead in each: with one
 * it reads memory at three quarters of the speed.
 */
export function vec4Q4(w: usize, s: usize, groups: usize, x: usize, out: usize): void {
  let scale = x + groups * X_GROUP;
  const wBlock = groups * W_GROUP;
  const sBlock = groups * S_GROUP;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let d0 = a0;
  let d1 = a0;
  for (const end = scale, starts = groups * 4; x < end; x += X_GROUP) {
    const first = v128.load32_splat(scale + starts);
    const step = v128.load32_splat(scale);
    let wp = w;
    let sp = s;
    a0 = madd(f32x4.mul(group(wp, x, first), step), halves(sp), a0);
    a1 = madd(f32x4.mul(group(wp + 16, x, first), step), halves(sp + 8), a1);
    wp += wBlock;
    sp += sBlock;
    b0 = madd(f32x4.mul(group(wp, x, first), step), halves(sp), b0);
    b1 = madd(f32x4.mul(group(wp + 16, x, first), step), halves(sp + 8), b1);
    wp += wBlock;
    sp += sBlock;
    c0 = madd(f32x4.mul(group(wp, x, first), step), halves(sp), c0);
    c1 = madd(f32x4.mul(group(wp + 16, x, first), step), halves(sp + 8), c1);
    wp += wBlock;
    sp += sBlock;
    d0 = madd(f32x4.mul(group(wp, x, first), step), halves(sp), d0);
    d1 = madd(f32x4.mul(group(wp + 16, x, first), step), halves(sp + 8), d1);
    w += W_GROUP;
    s += S_GROUP;
    scale += 4;
  }
  v128.store(out, a0);
  v128.store(out, a1, 16);
  v128.store(out, b0, 32);
  v128.store(out, b1, 48);
  v128.store(out, c0, 64);
  v128.store(out, c1, 80);
  v128.store(out, d0, 96);
  v128.store(out, d1, 112);
}

/** Eight rows by four tokens, whose quantized rows lie `stride` bytes apart: [4, 8] f32 at out. Each word is unpacked once. */
export function tileQ4(w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  let scale = x + groups * X_GROUP;
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
  for (const end = scale, starts = groups * 4; x < end; ) {
    const first = scale + starts;
    let a0 = v128.load32_splat(first);
    let a1 = a0;
    let b0 = v128.load32_splat(first + stride);
    let b1 = b0;
    let c0 = v128.load32_splat(first + stride2);
    let c1 = c0;
    let d0 = v128.load32_splat(first + stride3);
    let d1 = d0;
    for (const last = x + X_GROUP; x < last; x += X_WORD) {
      const w0 = v128.load(w);
      const w1 = v128.load(w, 16);
      w += 32;
      let n0 = nibbles(w0, 0);
      let n1 = nibbles(w1, 0);
      let v = activations(x, 0);
      a0 = dot(a0, v, n0);
      a1 = dot(a1, v, n1);
      v = activations(x + stride, 0);
      b0 = dot(b0, v, n0);
      b1 = dot(b1, v, n1);
      v = activations(x + stride2, 0);
      c0 = dot(c0, v, n0);
      c1 = dot(c1, v, n1);
      v = activations(x + stride3, 0);
      d0 = dot(d0, v, n0);
      d1 = dot(d1, v, n1);
      n0 = nibbles(w0, 1);
      n1 = nibbles(w1, 1);
      v = activations(x, 1);
      a0 = dot(a0, v, n0);
      a1 = dot(a1, v, n1);
      v = activations(x + stride, 1);
      b0 = dot(b0, v, n0);
      b1 = dot(b1, v, n1);
      v = activations(x + stride2, 1);
      c0 = dot(c0, v, n0);
      c1 = dot(c1, v, n1);
      v = activations(x + stride3, 1);
      d0 = dot(d0, v, n0);
      d1 = dot(d1, v, n1);
      if (PARTS == 4) {
        n0 = nibbles(w0, 2);
        n1 = nibbles(w1, 2);
        v = activations(x, 2);
        a0 = dot(a0, v, n0);
        a1 = dot(a1, v, n1);
        v = activations(x + stride, 2);
        b0 = dot(b0, v, n0);
        b1 = dot(b1, v, n1);
        v = activations(x + stride2, 2);
        c0 = dot(c0, v, n0);
        c1 = dot(c1, v, n1);
        v = activations(x + stride3, 2);
        d0 = dot(d0, v, n0);
        d1 = dot(d1, v, n1);
        n0 = nibbles(w0, 3);
        n1 = nibbles(w1, 3);
        v = activations(x, 3);
        a0 = dot(a0, v, n0);
        a1 = dot(a1, v, n1);
        v = activations(x + stride, 3);
        b0 = dot(b0, v, n0);
        b1 = dot(b1, v, n1);
        v = activations(x + stride2, 3);
        c0 = dot(c0, v, n0);
        c1 = dot(c1, v, n1);
        v = activations(x + stride3, 3);
        d0 = dot(d0, v, n0);
        d1 = dot(d1, v, n1);
      }
    }
    const s0 = halves(s);
    const s1 = halves(s + 8);
    let step = v128.load32_splat(scale);
    y00 = madd(f32x4.mul(f32x4.convert_i32x4_s(total(a0)), step), s0, y00);
    y01 = madd(f32x4.mul(f32x4.convert_i32x4_s(total(a1)), step), s1, y01);
    step = v128.load32_splat(scale + stride);
    y10 = madd(f32x4.mul(f32x4.convert_i32x4_s(total(b0)), step), s0, y10);
    y11 = madd(f32x4.mul(f32x4.convert_i32x4_s(total(b1)), step), s1, y11);
    step = v128.load32_splat(scale + stride2);
    y20 = madd(f32x4.mul(f32x4.convert_i32x4_s(total(c0)), step), s0, y20);
    y21 = madd(f32x4.mul(f32x4.convert_i32x4_s(total(c1)), step), s1, y21);
    step = v128.load32_splat(scale + stride3);
    y30 = madd(f32x4.mul(f32x4.convert_i32x4_s(total(d0)), step), s0, y30);
    y31 = madd(f32x4.mul(f32x4.convert_i32x4_s(total(d1)), step), s1, y31);
    s += S_GROUP;
    scale += 4;
  }
  v128.store(out, y00);
  v128.store(out, y01, 16);
  v128.store(out, y10, 32);
  v128.store(out, y11, 48);
  v128.store(out, y20, 64);
  v128.store(out, y21, 80);
  v128.store(out, y30, 96);
  v128.store(out, y31, 112);
}
