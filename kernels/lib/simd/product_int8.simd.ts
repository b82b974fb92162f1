// Products of q4 and q8 rows with int8 activations: blocks of eight rows, whose words lie side by side so that a lane is a row.
//
// Per group of 32 columns an integer sum, then y += (weight scale * activation scale) * sum in f32. `q8` is a constant
// wherever these are inlined. A q4 word is eight columns, whose nibbles lib/simd/dot.simd multiplies. A q8 word is four columns
// as bytes w + 128, which meet int16 pairs: even columns, then odd ones (splitting them into nibbles was slower by half).

import { activations, dot as dotNibbles, madd, nibbles, PARTS, total as totalNibbles, X_GROUP, X_WORD } from "./dot.simd";
import { halves } from "./lanes.simd";
import { PAIRS_GROUP } from "./pairs.simd";

/** Bytes of a group of eight rows' scales. */
const S_GROUP: usize = 16;

/** Bytes of a group of eight rows' quants. */
// @ts-ignore: decorator
@inline function wGroup(q8: bool): usize {
  return q8 ? 256 : 128;
}

/** Bytes of a group of activations, and of those that one word meets. */
// @ts-ignore: decorator
@inline function xGroup(q8: bool): usize {
  return q8 ? PAIRS_GROUP : X_GROUP;
}
// @ts-ignore: decorator
@inline function xWord(q8: bool): usize {
  return q8 ? 8 : X_WORD;
}

/** One part of four rows' words as factors of a product. */
// @ts-ignore: decorator
@inline function factors(q8: bool, w: v128, part: i32): v128 {
  if (!q8) return nibbles(w, part);
  return part == 0 ? v128.and(w, i16x8.splat(255)) : i16x8.shr_u(w, 8);
}

/** sum + x · w, a row a lane. */
// @ts-ignore: decorator
@inline function dot(q8: bool, sum: v128, x: v128, w: v128): v128 {
  return q8 ? i32x4.add(sum, i32x4.dot_i16x8_s(x, w)) : dotNibbles(sum, x, w);
}

/** A sum as f32. */
// @ts-ignore: decorator
@inline function total(q8: bool, sum: v128): v128 {
  return f32x4.convert_i32x4_s(q8 ? sum : totalNibbles(sum));
}

/** sum + the columns of a word of four rows. */
// @ts-ignore: decorator
@inline function word(q8: bool, sum: v128, w: v128, x: usize): v128 {
  sum = dot(q8, sum, activations(x, 0), factors(q8, w, 0));
  sum = dot(q8, sum, activations(x, 1), factors(q8, w, 1));
  if (!q8 && PARTS == 4) {
    sum = dot(q8, sum, activations(x, 2), factors(q8, w, 2));
    sum = dot(q8, sum, activations(x, 3), factors(q8, w, 3));
  }
  return sum;
}

/** sum + four words of four rows. */
// @ts-ignore: decorator
@inline function words(q8: bool, sum: v128, w: usize, x: usize): v128 {
  const step = xWord(q8);
  sum = word(q8, sum, v128.load(w), x);
  sum = word(q8, sum, v128.load(w, 32), x + step);
  sum = word(q8, sum, v128.load(w, 64), x + 2 * step);
  return word(q8, sum, v128.load(w, 96), x + 3 * step);
}

/** A group of four rows, the first or the second four of a block, as f32. Without a loop, or V8 makes no 256 bits of it. */
// @ts-ignore: decorator
@inline function group(q8: bool, w: usize, x: usize, first: v128): v128 {
  let sum = words(q8, first, w, x);
  if (q8) sum = words(q8, sum, w + 128, x + 4 * xWord(q8));
  return total(q8, sum);
}

/** Eight rows by one token: 8 f32 at out. */
// @ts-ignore: decorator
@inline function vec(q8: bool, w: usize, s: usize, groups: usize, x: usize, out: usize): void {
  let scale = x + groups * xGroup(q8);
  let y0 = f32x4.splat(0);
  let y1 = y0;
  for (const end = scale, starts = groups * 4; x < end; x += xGroup(q8)) {
    const first = v128.load32_splat(scale + starts);
    const step = v128.load32_splat(scale);
    y0 = madd(f32x4.mul(group(q8, w, x, first), step), halves(s), y0);
    y1 = madd(f32x4.mul(group(q8, w + 16, x, first), step), halves(s + 8), y1);
    w += wGroup(q8);
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
// @ts-ignore: decorator
@inline function vec4(q8: bool, w: usize, s: usize, groups: usize, x: usize, out: usize): void {
  let scale = x + groups * xGroup(q8);
  const wBlock = groups * wGroup(q8);
  const sBlock = groups * S_GROUP;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let d0 = a0;
  let d1 = a0;
  for (const end = scale, starts = groups * 4; x < end; x += xGroup(q8)) {
    const first = v128.load32_splat(scale + starts);
    const step = v128.load32_splat(scale);
    let wp = w;
    let sp = s;
    a0 = madd(f32x4.mul(group(q8, wp, x, first), step), halves(sp), a0);
    a1 = madd(f32x4.mul(group(q8, wp + 16, x, first), step), halves(sp + 8), a1);
    wp += wBlock;
    sp += sBlock;
    b0 = madd(f32x4.mul(group(q8, wp, x, first), step), halves(sp), b0);
    b1 = madd(f32x4.mul(group(q8, wp + 16, x, first), step), halves(sp + 8), b1);
    wp += wBlock;
    sp += sBlock;
    c0 = madd(f32x4.mul(group(q8, wp, x, first), step), halves(sp), c0);
    c1 = madd(f32x4.mul(group(q8, wp + 16, x, first), step), halves(sp + 8), c1);
    wp += wBlock;
    sp += sBlock;
    d0 = madd(f32x4.mul(group(q8, wp, x, first), step), halves(sp), d0);
    d1 = madd(f32x4.mul(group(q8, wp + 16, x, first), step), halves(sp + 8), d1);
    w += wGroup(q8);
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

/** Eight rows by `tokens` (2, 3 or 4, a constant) tokens, whose quantized rows lie `stride` bytes apart: [tokens, 8] f32 at out. Each word is unpacked once. */
// @ts-ignore: decorator
@inline function tile(q8: bool, tokens: i32, w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  let scale = x + groups * xGroup(q8);
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
    let c0 = tokens > 2 ? v128.load32_splat(first + stride2) : a0;
    let c1 = c0;
    let d0 = tokens > 3 ? v128.load32_splat(first + stride3) : a0;
    let d1 = d0;
    for (const last = x + xGroup(q8); x < last; x += xWord(q8)) {
      const w0 = v128.load(w);
      const w1 = v128.load(w, 16);
      w += 32;
      let n0 = factors(q8, w0, 0);
      let n1 = factors(q8, w1, 0);
      let v = activations(x, 0);
      a0 = dot(q8, a0, v, n0);
      a1 = dot(q8, a1, v, n1);
      v = activations(x + stride, 0);
      b0 = dot(q8, b0, v, n0);
      b1 = dot(q8, b1, v, n1);
      if (tokens > 2) {
        v = activations(x + stride2, 0);
        c0 = dot(q8, c0, v, n0);
        c1 = dot(q8, c1, v, n1);
      }
      if (tokens > 3) {
        v = activations(x + stride3, 0);
        d0 = dot(q8, d0, v, n0);
        d1 = dot(q8, d1, v, n1);
      }
      n0 = factors(q8, w0, 1);
      n1 = factors(q8, w1, 1);
      v = activations(x, 1);
      a0 = dot(q8, a0, v, n0);
      a1 = dot(q8, a1, v, n1);
      v = activations(x + stride, 1);
      b0 = dot(q8, b0, v, n0);
      b1 = dot(q8, b1, v, n1);
      if (tokens > 2) {
        v = activations(x + stride2, 1);
        c0 = dot(q8, c0, v, n0);
        c1 = dot(q8, c1, v, n1);
      }
      if (tokens > 3) {
        v = activations(x + stride3, 1);
        d0 = dot(q8, d0, v, n0);
        d1 = dot(q8, d1, v, n1);
      }
      if (!q8 && PARTS == 4) {
        n0 = factors(q8, w0, 2);
        n1 = factors(q8, w1, 2);
        v = activations(x, 2);
        a0 = dot(q8, a0, v, n0);
        a1 = dot(q8, a1, v, n1);
        v = activations(x + stride, 2);
        b0 = dot(q8, b0, v, n0);
        b1 = dot(q8, b1, v, n1);
        if (tokens > 2) {
          v = activations(x + stride2, 2);
          c0 = dot(q8, c0, v, n0);
          c1 = dot(q8, c1, v, n1);
        }
        if (tokens > 3) {
          v = activations(x + stride3, 2);
          d0 = dot(q8, d0, v, n0);
          d1 = dot(q8, d1, v, n1);
        }
        n0 = factors(q8, w0, 3);
        n1 = factors(q8, w1, 3);
        v = activations(x, 3);
        a0 = dot(q8, a0, v, n0);
        a1 = dot(q8, a1, v, n1);
        v = activations(x + stride, 3);
        b0 = dot(q8, b0, v, n0);
        b1 = dot(q8, b1, v, n1);
        if (tokens > 2) {
          v = activations(x + stride2, 3);
          c0 = dot(q8, c0, v, n0);
          c1 = dot(q8, c1, v, n1);
        }
        if (tokens > 3) {
          v = activations(x + stride3, 3);
          d0 = dot(q8, d0, v, n0);
          d1 = dot(q8, d1, v, n1);
        }
      }
    }
    const s0 = halves(s);
    const s1 = halves(s + 8);
    let step = v128.load32_splat(scale);
    y00 = madd(f32x4.mul(total(q8, a0), step), s0, y00);
    y01 = madd(f32x4.mul(total(q8, a1), step), s1, y01);
    step = v128.load32_splat(scale + stride);
    y10 = madd(f32x4.mul(total(q8, b0), step), s0, y10);
    y11 = madd(f32x4.mul(total(q8, b1), step), s1, y11);
    if (tokens > 2) {
      step = v128.load32_splat(scale + stride2);
      y20 = madd(f32x4.mul(total(q8, c0), step), s0, y20);
      y21 = madd(f32x4.mul(total(q8, c1), step), s1, y21);
    }
    if (tokens > 3) {
      step = v128.load32_splat(scale + stride3);
      y30 = madd(f32x4.mul(total(q8, d0), step), s0, y30);
      y31 = madd(f32x4.mul(total(q8, d1), step), s1, y31);
    }
    s += S_GROUP;
    scale += 4;
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

// A function each: two loops in one function share its registers, and V8 then makes both slower by a third.

/** Eight rows by one token: 8 f32 at out. */
export function vecQ4(w: usize, s: usize, groups: usize, x: usize, out: usize): void {
  vec(false, w, s, groups, x, out);
}
export function vecQ8(w: usize, s: usize, groups: usize, x: usize, out: usize): void {
  vec(true, w, s, groups, x, out);
}

/** Thirty-two rows by one token: 32 f32 at out. */
export function vec4Q4(w: usize, s: usize, groups: usize, x: usize, out: usize): void {
  vec4(false, w, s, groups, x, out);
}
export function vec4Q8(w: usize, s: usize, groups: usize, x: usize, out: usize): void {
  vec4(true, w, s, groups, x, out);
}

/** Eight rows by four, three or two tokens: [tokens, 8] f32 at out. */
export function tileQ4(w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  tile(false, 4, w, s, groups, x, stride, out);
}
export function tileQ4By3(w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  tile(false, 3, w, s, groups, x, stride, out);
}
export function tileQ4By2(w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  tile(false, 2, w, s, groups, x, stride, out);
}
export function tileQ8(w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  tile(true, 4, w, s, groups, x, stride, out);
}
export function tileQ8By3(w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  tile(true, 3, w, s, groups, x, stride, out);
}
export function tileQ8By2(w: usize, s: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  tile(true, 2, w, s, groups, x, stride, out);
}
