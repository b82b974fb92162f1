// Products with int8 activations, of formats that have them (planes.simd.ts): panels of eight rows,
// whose words lie side by side so that a lane is a row.
//
// Per group of 32 columns an integer sum, then y += (weight scale * activation scale) * sum in f32.
// A word of nibbles is eight columns, which lib/simd/dot.simd multiplies. A word of bytes (WIDE) is
// four columns, which meet int16 pairs: even columns, then odd ones (splitting them into nibbles
// was slower by half). w, s and d are a panel's first three planes.

import {
  activations,
  dot as dotNibbles,
  madd,
  nibbles,
  PARTS,
  total as totalNibbles,
  X_GROUP,
  X_WORD,
} from "./dot.simd";
import { OFFSETS, offset4, P0, P1, P2, scale4, WIDE } from "./format.simd";
import { PAIRS_GROUP } from "./pairs.simd";

/** Bytes of a group of activations. */
// @ts-ignore: decorator
@inline export function xGroup(): usize {
  return WIDE ? PAIRS_GROUP : X_GROUP;
}

/** Bytes of the activations that one word meets. */
// @ts-ignore: decorator
@inline function xWord(): usize {
  return WIDE ? 8 : X_WORD;
}

/** What a sum of products begins with, where first() gave `value`. */
// @ts-ignore: decorator
@inline function begin(value: v128): v128 {
  return OFFSETS ? i32x4.splat(0) : value;
}

/**
 * y + the group's products as f32 times both scales, less the offset times the sum of activations,
 * which first() gave.
 */
// @ts-ignore: decorator
@inline function join(y: v128, sum: v128, step: v128, value: v128, s: usize, d: usize, g: usize, half: usize): v128 {
  const sums = madd(f32x4.mul(sum, step), scale4(s, d, g, half), y);
  return OFFSETS ? f32x4.sub(sums, f32x4.mul(f32x4.mul(value, step), offset4(s, d, g, half))) : sums;
}

/** One part of four rows' words as factors of a product. */
// @ts-ignore: decorator
@inline function factors(w: v128, part: i32): v128 {
  if (!WIDE) return nibbles(w, part);
  return part == 0 ? v128.and(w, i16x8.splat(255)) : i16x8.shr_u(w, 8);
}

/** sum + x · w, a row a lane. */
// @ts-ignore: decorator
@inline function dot(sum: v128, x: v128, w: v128): v128 {
  return WIDE ? i32x4.add(sum, i32x4.dot_i16x8_s(x, w)) : dotNibbles(sum, x, w);
}

/** A sum as f32. */
// @ts-ignore: decorator
@inline function total(sum: v128): v128 {
  return f32x4.convert_i32x4_s(WIDE ? sum : totalNibbles(sum));
}

/** sum + the columns of a word of four rows. */
// @ts-ignore: decorator
@inline function word(sum: v128, w: v128, x: usize): v128 {
  sum = dot(sum, activations(x, 0), factors(w, 0));
  sum = dot(sum, activations(x, 1), factors(w, 1));
  if (!WIDE && PARTS == 4) {
    sum = dot(sum, activations(x, 2), factors(w, 2));
    sum = dot(sum, activations(x, 3), factors(w, 3));
  }
  return sum;
}

/** sum + four words of four rows. */
// @ts-ignore: decorator
@inline function words(sum: v128, w: usize, x: usize): v128 {
  const step = xWord();
  sum = word(sum, v128.load(w), x);
  sum = word(sum, v128.load(w, 32), x + step);
  sum = word(sum, v128.load(w, 64), x + 2 * step);
  return word(sum, v128.load(w, 96), x + 3 * step);
}

/**
 * A group of four rows, the first or the second four of a panel, as f32. Without a loop, or V8
 * makes no 256 bits of it.
 */
// @ts-ignore: decorator
@inline function group(w: usize, x: usize, first: v128): v128 {
  let sum = words(first, w, x);
  if (WIDE) sum = words(sum, w + 128, x + 4 * xWord());
  return total(sum);
}

/** Eight rows by one token: 8 f32 at out. */
// @ts-ignore: decorator
@inline function vec(w: usize, s: usize, d: usize, groups: usize, x: usize, out: usize): void {
  let scale = x + groups * xGroup();
  let y0 = f32x4.splat(0);
  let y1 = y0;
  for (const end = scale, starts = groups * 4; x < end; x += xGroup()) {
    const value = v128.load32_splat(scale + starts);
    const start = begin(value);
    const step = v128.load32_splat(scale);
    const g = (scale - end) >> 2;
    y0 = join(y0, group(w, x, start), step, value, s, d, g, 0);
    y1 = join(y1, group(w + 16, x, start), step, value, s, d, g, 1);
    w += P0;
    s += P1;
    scale += 4;
  }
  v128.store(out, y0);
  v128.store(out, y1, 16);
}

/**
 * Four panels by one token: 32 f32 at out. Four streams at once, because a processor fetches ahead
 * in each: with one it reads memory at three quarters of the speed.
 */
// @ts-ignore: decorator
@inline function vec4(w: usize, s: usize, d: usize, groups: usize, x: usize, out: usize): void {
  let scale = x + groups * xGroup();
  const wPanel = groups * P0;
  const sPanel = groups * P1;
  const dPanel = groups * P2;
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let d0 = a0;
  let d1 = a0;
  for (const end = scale, starts = groups * 4; x < end; x += xGroup()) {
    const value = v128.load32_splat(scale + starts);
    const start = begin(value);
    const step = v128.load32_splat(scale);
    const g = (scale - end) >> 2;
    let wp = w;
    let sp = s;
    let dp = d;
    a0 = join(a0, group(wp, x, start), step, value, sp, dp, g, 0);
    a1 = join(a1, group(wp + 16, x, start), step, value, sp, dp, g, 1);
    wp += wPanel;
    sp += sPanel;
    dp += dPanel;
    b0 = join(b0, group(wp, x, start), step, value, sp, dp, g, 0);
    b1 = join(b1, group(wp + 16, x, start), step, value, sp, dp, g, 1);
    wp += wPanel;
    sp += sPanel;
    dp += dPanel;
    c0 = join(c0, group(wp, x, start), step, value, sp, dp, g, 0);
    c1 = join(c1, group(wp + 16, x, start), step, value, sp, dp, g, 1);
    wp += wPanel;
    sp += sPanel;
    dp += dPanel;
    d0 = join(d0, group(wp, x, start), step, value, sp, dp, g, 0);
    d1 = join(d1, group(wp + 16, x, start), step, value, sp, dp, g, 1);
    w += P0;
    s += P1;
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

/**
 * Eight rows by `tokens` (2, 3 or 4, a constant) tokens, whose quantized rows lie `stride` bytes
 * apart: [tokens, 8] f32 at out. Each word is unpacked once.
 */
// @ts-ignore: decorator
@inline function tile(
  tokens: i32,
  w: usize,
  s: usize,
  d: usize,
  groups: usize,
  x: usize,
  stride: usize,
  out: usize,
): void {
  let scale = x + groups * xGroup();
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
    const value = scale + starts;
    let a0 = begin(v128.load32_splat(value));
    let a1 = a0;
    let b0 = begin(v128.load32_splat(value + stride));
    let b1 = b0;
    let c0 = tokens > 2 ? begin(v128.load32_splat(value + stride2)) : a0;
    let c1 = c0;
    let d0 = tokens > 3 ? begin(v128.load32_splat(value + stride3)) : a0;
    let d1 = d0;
    for (const last = x + xGroup(); x < last; x += xWord()) {
      const w0 = v128.load(w);
      const w1 = v128.load(w, 16);
      w += 32;
      let n0 = factors(w0, 0);
      let n1 = factors(w1, 0);
      let v = activations(x, 0);
      a0 = dot(a0, v, n0);
      a1 = dot(a1, v, n1);
      v = activations(x + stride, 0);
      b0 = dot(b0, v, n0);
      b1 = dot(b1, v, n1);
      if (tokens > 2) {
        v = activations(x + stride2, 0);
        c0 = dot(c0, v, n0);
        c1 = dot(c1, v, n1);
      }
      if (tokens > 3) {
        v = activations(x + stride3, 0);
        d0 = dot(d0, v, n0);
        d1 = dot(d1, v, n1);
      }
      n0 = factors(w0, 1);
      n1 = factors(w1, 1);
      v = activations(x, 1);
      a0 = dot(a0, v, n0);
      a1 = dot(a1, v, n1);
      v = activations(x + stride, 1);
      b0 = dot(b0, v, n0);
      b1 = dot(b1, v, n1);
      if (tokens > 2) {
        v = activations(x + stride2, 1);
        c0 = dot(c0, v, n0);
        c1 = dot(c1, v, n1);
      }
      if (tokens > 3) {
        v = activations(x + stride3, 1);
        d0 = dot(d0, v, n0);
        d1 = dot(d1, v, n1);
      }
      if (!WIDE && PARTS == 4) {
        n0 = factors(w0, 2);
        n1 = factors(w1, 2);
        v = activations(x, 2);
        a0 = dot(a0, v, n0);
        a1 = dot(a1, v, n1);
        v = activations(x + stride, 2);
        b0 = dot(b0, v, n0);
        b1 = dot(b1, v, n1);
        if (tokens > 2) {
          v = activations(x + stride2, 2);
          c0 = dot(c0, v, n0);
          c1 = dot(c1, v, n1);
        }
        if (tokens > 3) {
          v = activations(x + stride3, 2);
          d0 = dot(d0, v, n0);
          d1 = dot(d1, v, n1);
        }
        n0 = factors(w0, 3);
        n1 = factors(w1, 3);
        v = activations(x, 3);
        a0 = dot(a0, v, n0);
        a1 = dot(a1, v, n1);
        v = activations(x + stride, 3);
        b0 = dot(b0, v, n0);
        b1 = dot(b1, v, n1);
        if (tokens > 2) {
          v = activations(x + stride2, 3);
          c0 = dot(c0, v, n0);
          c1 = dot(c1, v, n1);
        }
        if (tokens > 3) {
          v = activations(x + stride3, 3);
          d0 = dot(d0, v, n0);
          d1 = dot(d1, v, n1);
        }
      }
    }
    const g = (scale - end) >> 2;
    const s0 = scale4(s, d, g, 0);
    const s1 = scale4(s, d, g, 1);
    let step = v128.load32_splat(scale);
    y00 = madd(f32x4.mul(total(a0), step), s0, y00);
    y01 = madd(f32x4.mul(total(a1), step), s1, y01);
    step = v128.load32_splat(scale + stride);
    y10 = madd(f32x4.mul(total(b0), step), s0, y10);
    y11 = madd(f32x4.mul(total(b1), step), s1, y11);
    if (tokens > 2) {
      step = v128.load32_splat(scale + stride2);
      y20 = madd(f32x4.mul(total(c0), step), s0, y20);
      y21 = madd(f32x4.mul(total(c1), step), s1, y21);
    }
    if (tokens > 3) {
      step = v128.load32_splat(scale + stride3);
      y30 = madd(f32x4.mul(total(d0), step), s0, y30);
      y31 = madd(f32x4.mul(total(d1), step), s1, y31);
    }
    if (OFFSETS) {
      const o0 = offset4(s, d, g, 0);
      const o1 = offset4(s, d, g, 1);
      let taken = f32x4.mul(v128.load32_splat(value), v128.load32_splat(scale));
      y00 = f32x4.sub(y00, f32x4.mul(taken, o0));
      y01 = f32x4.sub(y01, f32x4.mul(taken, o1));
      taken = f32x4.mul(v128.load32_splat(value + stride), v128.load32_splat(scale + stride));
      y10 = f32x4.sub(y10, f32x4.mul(taken, o0));
      y11 = f32x4.sub(y11, f32x4.mul(taken, o1));
      if (tokens > 2) {
        taken = f32x4.mul(v128.load32_splat(value + stride2), v128.load32_splat(scale + stride2));
        y20 = f32x4.sub(y20, f32x4.mul(taken, o0));
        y21 = f32x4.sub(y21, f32x4.mul(taken, o1));
      }
      if (tokens > 3) {
        taken = f32x4.mul(v128.load32_splat(value + stride3), v128.load32_splat(scale + stride3));
        y30 = f32x4.sub(y30, f32x4.mul(taken, o0));
        y31 = f32x4.sub(y31, f32x4.mul(taken, o1));
      }
    }
    s += P1;
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

// A function each: two loops in one function share its registers, and V8 then makes both slower by
// a third.

/** Eight rows by one token: 8 f32 at out. */
export function vecInt8(w: usize, s: usize, d: usize, groups: usize, x: usize, out: usize): void {
  vec(w, s, d, groups, x, out);
}

/** Thirty-two rows by one token: 32 f32 at out. */
export function vec4Int8(w: usize, s: usize, d: usize, groups: usize, x: usize, out: usize): void {
  vec4(w, s, d, groups, x, out);
}

/** Eight rows by four, three or two tokens: [tokens, 8] f32 at out. */
export function tileInt8(w: usize, s: usize, d: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  tile(4, w, s, d, groups, x, stride, out);
}
export function tileInt8By3(w: usize, s: usize, d: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  tile(3, w, s, d, groups, x, stride, out);
}
export function tileInt8By2(w: usize, s: usize, d: usize, groups: usize, x: usize, stride: usize, out: usize): void {
  tile(2, w, s, d, groups, x, stride, out);
}
