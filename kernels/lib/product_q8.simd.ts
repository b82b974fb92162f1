// Products of q8 rows with int8 activations: blocks of eight rows, whose words lie side by side so that a lane is a row.
//
// A q8 word is four columns as bytes w + 128, which meet activations as int16 pairs: even columns, then odd ones. Splitting
// bytes into nibbles for the products of lib/dot.simd was slower by half. Per group: y += (weight scale * activation scale) * sum.

import { madd } from "./dot.simd";
import { halves } from "./lanes.simd";
import { PAIRS_GROUP } from "./pairs.simd";

/** Bytes of a group of eight rows: quants and scales. */
const W_GROUP: usize = 256;
const S_GROUP: usize = 16;

/** Columns 0 and 2 of four rows' words. */
// @ts-ignore: decorator
@inline function even(w: v128): v128 {
  return v128.and(w, i16x8.splat(255));
}

/** Columns 1 and 3. */
// @ts-ignore: decorator
@inline function odd(w: v128): v128 {
  return i16x8.shr_u(w, 8);
}

// @ts-ignore: decorator
@inline function dot(sum: v128, x: v128, w: v128): v128 {
  return i32x4.add(sum, i32x4.dot_i16x8_s(x, w));
}

/** A group of four rows, the first or the second four of a block, as f32. */
// @ts-ignore: decorator
@inline function group(w: usize, x: usize, first: v128): v128 {
  let a = first;
  let b = i32x4.splat(0);
  for (const end = x + PAIRS_GROUP; x < end; x += 16) {
    const w0 = v128.load(w);
    const w1 = v128.load(w, 32);
    a = dot(a, v128.load32_splat(x), even(w0));
    b = dot(b, v128.load32_splat(x, 4), odd(w0));
    a = dot(a, v128.load32_splat(x, 8), even(w1));
    b = dot(b, v128.load32_splat(x, 12), odd(w1));
    w += 64;
  }
  return f32x4.convert_i32x4_s(i32x4.add(a, b));
}

/** Eight rows by one token: 8 f32 at out. */
export function vecQ8(w: usize, s: usize, groups: usize, x: usize, out: usize): void {
  let scale = x + groups * PAIRS_GROUP;
  let y0 = f32x4.splat(0);
  let y1 = y0;
  for (const end = scale, starts = groups * 4; x < end; x += PAIRS_GROUP) {
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

/** Four blocks by one token: 32 f32 at out; four streams, as in product_q4. */
export function vec4Q8(w: usize, s: usize, groups: usize, x: usize, out: usize): void {
  let scale = x + groups * PAIRS_GROUP;
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
  for (const end = scale, starts = groups * 4; x < end; x += PAIRS_GROUP) {
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

/** Eight rows by four tokens, whose quantized rows lie `stride` bytes apart: [4, 8] f32 at out. */
export function tileQ8(w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  let scale = x + groups * PAIRS_GROUP;
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
    for (const last = x + PAIRS_GROUP; x < last; x += 8) {
      const w0 = v128.load(w);
      const w1 = v128.load(w, 16);
      w += 32;
      let n0 = even(w0);
      let n1 = even(w1);
      let v = v128.load32_splat(x);
      a0 = dot(a0, v, n0);
      a1 = dot(a1, v, n1);
      v = v128.load32_splat(x + stride);
      b0 = dot(b0, v, n0);
      b1 = dot(b1, v, n1);
      v = v128.load32_splat(x + stride2);
      c0 = dot(c0, v, n0);
      c1 = dot(c1, v, n1);
      v = v128.load32_splat(x + stride3);
      d0 = dot(d0, v, n0);
      d1 = dot(d1, v, n1);
      n0 = odd(w0);
      n1 = odd(w1);
      v = v128.load32_splat(x, 4);
      a0 = dot(a0, v, n0);
      a1 = dot(a1, v, n1);
      v = v128.load32_splat(x + stride, 4);
      b0 = dot(b0, v, n0);
      b1 = dot(b1, v, n1);
      v = v128.load32_splat(x + stride2, 4);
      c0 = dot(c0, v, n0);
      c1 = dot(c1, v, n1);
      v = v128.load32_splat(x + stride3, 4);
      d0 = dot(d0, v, n0);
      d1 = dot(d1, v, n1);
    }
    const s0 = halves(s);
    const s1 = halves(s + 8);
    let step = v128.load32_splat(scale);
    y00 = madd(f32x4.mul(f32x4.convert_i32x4_s(a0), step), s0, y00);
    y01 = madd(f32x4.mul(f32x4.convert_i32x4_s(a1), step), s1, y01);
    step = v128.load32_splat(scale + stride);
    y10 = madd(f32x4.mul(f32x4.convert_i32x4_s(b0), step), s0, y10);
    y11 = madd(f32x4.mul(f32x4.convert_i32x4_s(b1), step), s1, y11);
    step = v128.load32_splat(scale + stride2);
    y20 = madd(f32x4.mul(f32x4.convert_i32x4_s(c0), step), s0, y20);
    y21 = madd(f32x4.mul(f32x4.convert_i32x4_s(c1), step), s1, y21);
    step = v128.load32_splat(scale + stride3);
    y30 = madd(f32x4.mul(f32x4.convert_i32x4_s(d0), step), s0, y30);
    y31 = madd(f32x4.mul(f32x4.convert_i32x4_s(d1), step), s1, y31);
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
