// Products of several tokens with int8 activations, of formats whose scales are integers times a
// factor of 256 columns (SUPER). A panel of eight rows is spread a super-block at a time
// (spread_super.simd.ts) and then meets all tokens, four at a time. Sums stay integers through a
// super-block, so that a result is, bit for bit, that of one token (super_int8.simd.ts).

import { CENTER, OFFSETS, P0, P1, P2, P3, SIXTEENS } from "./format.simd";
import { wordAt } from "./near.simd";
import { dot, scaled, starts, tailBytes, total, xGroup } from "./product_int8.simd";
import { readAhead } from "./read_ahead.simd";
import { FACTORS, SCALES } from "./spread_int8.simd";
import { GROUPS, minimumsAt, PAIRS, spreadSuper, supersAt } from "./spread_super.simd";
import { SUMS } from "./tile_int8.simd";

/** What a sum begins with: startOf() where i is no constant. */
// @ts-ignore: decorator
@inline function startAt(tail: usize, i: usize): v128 {
  return CENTER == 0 ? i32x4.splat(0) : v128.load32_splat(tail + 4 + 4 * i);
}

/** t + the products of a group, or of its half, times their scale. */
// @ts-ignore: decorator
@inline function add(t: v128, sum: v128, scale: v128, tail: usize): v128 {
  if (!OFFSETS || CENTER == 0) return i32x4.add(t, scaled(sum, scale));
  // Levels count from zero where something is subtracted: what a sum began with is put back.
  const whole = i32x4.add(total(sum, i16x8.splat(1)), wordAt(tail, 3 + <i32>starts()));
  return i32x4.add(t, i32x4.mul(whole, scale));
}

/** Sums of a token, and their factors, added to its [8] f32 at y, or subtracted. */
// @ts-ignore: decorator
@inline function join(adds: bool, y: usize, t0: v128, t1: v128, s0: v128, s1: v128, tail: usize): void {
  const step = v128.load32_splat(tail);
  const d0 = f32x4.mul(f32x4.convert_i32x4_s(t0), f32x4.mul(s0, step));
  const d1 = f32x4.mul(f32x4.convert_i32x4_s(t1), f32x4.mul(s1, step));
  const y0 = v128.load(y);
  const y1 = v128.load(y, 16);
  v128.store(y, adds ? f32x4.add(y0, d0) : f32x4.sub(y0, d0));
  v128.store(y, adds ? f32x4.add(y1, d1) : f32x4.sub(y1, d1), 16);
}

/** The sums of activations that meet a pair of minimums. */
// @ts-ignore: decorator
@inline function sumsAt(tail: usize): v128 {
  return wordAt(tail, 1 + <i32>starts());
}

/** What a super-block's minimums take from `tokens` tokens. */
// @ts-ignore: decorator
@inline function subtract(tokens: i32, scratch: usize, tail: usize, stride: usize, y: usize): void {
  const stride2 = 2 * stride;
  const stride3 = 3 * stride;
  const supers = scratch + supersAt();
  let m = scratch + minimumsAt();
  let at = SIXTEENS ? tail : tail + tailBytes();
  let a0 = i32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let d0 = a0;
  let d1 = a0;
  do {
    const m0 = v128.load(m);
    const m1 = v128.load(m, 16);
    let v = sumsAt(at);
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(m0, v));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(m1, v));
    if (tokens > 1) {
      v = sumsAt(at + stride);
      b0 = i32x4.add(b0, i32x4.dot_i16x8_s(m0, v));
      b1 = i32x4.add(b1, i32x4.dot_i16x8_s(m1, v));
    }
    if (tokens > 2) {
      v = sumsAt(at + stride2);
      c0 = i32x4.add(c0, i32x4.dot_i16x8_s(m0, v));
      c1 = i32x4.add(c1, i32x4.dot_i16x8_s(m1, v));
    }
    if (tokens > 3) {
      v = sumsAt(at + stride3);
      d0 = i32x4.add(d0, i32x4.dot_i16x8_s(m0, v));
      d1 = i32x4.add(d1, i32x4.dot_i16x8_s(m1, v));
    }
    m += 32;
    at += PAIRS * tailBytes();
  } while (m < supers);
  const s0 = v128.load(supers, 32);
  const s1 = v128.load(supers, 48);
  join(false, y, a0, a1, s0, s1, tail);
  if (tokens > 1) join(false, y + 32, b0, b1, s0, s1, tail + stride);
  if (tokens > 2) join(false, y + 64, c0, c1, s0, s1, tail + stride2);
  if (tokens > 3) join(false, y + 96, d0, d1, s0, s1, tail + stride3);
}

/**
 * A super-block of eight rows by `tokens` (1 .. 4, a constant) tokens, whose rows lie `stride`
 * bytes apart: added to [tokens, 8] f32 at y. x and `tail` are the first group's of the first
 * token.
 */
// @ts-ignore: decorator
@inline function tile(tokens: i32, scratch: usize, x: usize, tail: usize, stride: usize, y: usize): void {
  const stride2 = 2 * stride;
  const stride3 = 3 * stride;
  const begin = tail;
  const end = scratch + minimumsAt();
  let w = scratch + FACTORS;
  let s = scratch + SCALES;
  let t00 = i32x4.splat(0);
  let t01 = t00;
  let t10 = t00;
  let t11 = t00;
  let t20 = t00;
  let t21 = t00;
  let t30 = t00;
  let t31 = t00;
  do {
    let i: usize = 0;
    do {
      let a0 = startAt(tail, i);
      let a1 = a0;
      let b0 = tokens > 1 ? startAt(tail + stride, i) : a0;
      let b1 = b0;
      let c0 = tokens > 2 ? startAt(tail + stride2, i) : a0;
      let c1 = c0;
      let d0 = tokens > 3 ? startAt(tail + stride3, i) : a0;
      let d1 = d0;
      const last = x + (SIXTEENS ? xGroup() / 2 : xGroup());
      do {
        const xb = x + stride;
        const xc = x + stride2;
        const xd = x + stride3;
        let w0 = v128.load(w);
        let w1 = v128.load(w, 16);
        let v = v128.load32_splat(x);
        a0 = dot(a0, v, w0);
        a1 = dot(a1, v, w1);
        if (tokens > 1) {
          v = v128.load32_splat(xb);
          b0 = dot(b0, v, w0);
          b1 = dot(b1, v, w1);
        }
        if (tokens > 2) {
          v = v128.load32_splat(xc);
          c0 = dot(c0, v, w0);
          c1 = dot(c1, v, w1);
        }
        if (tokens > 3) {
          v = v128.load32_splat(xd);
          d0 = dot(d0, v, w0);
          d1 = dot(d1, v, w1);
        }
        // Never so. V8 loads all that a piece of code without a branch takes before it computes:
        // with this one there are registers for all, and two steps share their addresses.
        if (x >= last) break;
        w0 = v128.load(w, 32);
        w1 = v128.load(w, 48);
        v = v128.load32_splat(x, 4);
        a0 = dot(a0, v, w0);
        a1 = dot(a1, v, w1);
        if (tokens > 1) {
          v = v128.load32_splat(xb, 4);
          b0 = dot(b0, v, w0);
          b1 = dot(b1, v, w1);
        }
        if (tokens > 2) {
          v = v128.load32_splat(xc, 4);
          c0 = dot(c0, v, w0);
          c1 = dot(c1, v, w1);
        }
        if (tokens > 3) {
          v = v128.load32_splat(xd, 4);
          d0 = dot(d0, v, w0);
          d1 = dot(d1, v, w1);
        }
        x += 8;
        w += 64;
      } while (x < last);
      const s0 = v128.load(s);
      const s1 = v128.load(s, 16);
      t00 = add(t00, a0, s0, tail);
      t01 = add(t01, a1, s1, tail);
      if (tokens > 1) {
        t10 = add(t10, b0, s0, tail + stride);
        t11 = add(t11, b1, s1, tail + stride);
      }
      if (tokens > 2) {
        t20 = add(t20, c0, s0, tail + stride2);
        t21 = add(t21, c1, s1, tail + stride2);
      }
      if (tokens > 3) {
        t30 = add(t30, d0, s0, tail + stride3);
        t31 = add(t31, d1, s1, tail + stride3);
      }
      s += 32;
      i++;
    } while (SIXTEENS && i < 2);
    tail += tailBytes();
  } while (s < end);
  const supers = scratch + supersAt();
  const s0 = v128.load(supers);
  const s1 = v128.load(supers, 16);
  join(true, y, t00, t01, s0, s1, begin);
  if (tokens > 1) join(true, y + 32, t10, t11, s0, s1, begin + stride);
  if (tokens > 2) join(true, y + 64, t20, t21, s0, s1, begin + stride2);
  if (tokens > 3) join(true, y + 96, t30, t31, s0, s1, begin + stride3);
  if (OFFSETS) subtract(tokens, scratch, begin, stride, y);
}

// A function each: two loops in one function share its registers, and V8 then makes both slower.

function by4(scratch: usize, x: usize, tail: usize, stride: usize, y: usize): void {
  tile(4, scratch, x, tail, stride, y);
}
function by3(scratch: usize, x: usize, tail: usize, stride: usize, y: usize): void {
  tile(3, scratch, x, tail, stride, y);
}
function by2(scratch: usize, x: usize, tail: usize, stride: usize, y: usize): void {
  tile(2, scratch, x, tail, stride, y);
}
function by1(scratch: usize, x: usize, tail: usize, stride: usize, y: usize): void {
  tile(1, scratch, x, tail, stride, y);
}

/**
 * Eight rows, whose planes are at p0 .. p3, by 2 .. MOST tokens: [tokens, 8] f32 at scratch + SUMS.
 * The thread goes on to read the first plane until `end`.
 */
export function panelSuper(
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  groups: usize,
  x: usize,
  stride: usize,
  tokens: u32,
  scratch: usize,
  end: usize,
): void {
  memory.fill(scratch + SUMS, 0, <usize>tokens * 32);
  let tails = x + groups * xGroup();
  for (let g: usize = 0; g < groups; g += GROUPS) {
    spreadSuper(p0, p1, p2, p3, scratch);
    readAhead(p0, GROUPS * P0, end, scratch);
    let own = x;
    let tail = tails;
    let y = scratch + SUMS;
    let left = tokens;
    for (; left >= 4; left -= 4) {
      by4(scratch, own, tail, stride, y);
      own += 4 * stride;
      tail += 4 * stride;
      y += 128;
    }
    if (left == 3) by3(scratch, own, tail, stride, y);
    if (left == 2) by2(scratch, own, tail, stride, y);
    if (left == 1) by1(scratch, own, tail, stride, y);
    p0 += GROUPS * P0;
    p1 += GROUPS * P1;
    p2 += GROUPS * P2;
    p3 += GROUPS * P3;
    x += GROUPS * xGroup();
    tails += GROUPS * tailBytes();
  }
}
