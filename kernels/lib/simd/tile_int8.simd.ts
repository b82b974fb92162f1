// Products of several tokens with int8 activations, four tokens at a time. A panel of eight rows,
// eight groups of columns at a time, is spread in the thread's scratch (spread_int8.simd.ts)
// to the factors of products, which then meet all tokens: nearly twice as fast as making them for
// each four tokens. Few tokens meet the words themselves (few_int8.simd.ts).
// Formats whose scales are integers: tile_super.simd.ts.

import { fewBy2, fewBy3, fewBy4, join } from "./few_int8.simd";
import { BITS, HIGH, NIBBLES, OFFSETS, P0 } from "./format.simd";
import { dot, startOf, tailBytes, total, xGroup } from "./product_int8.simd";
import { readAhead } from "./read_ahead.simd";
import { BLOCK, FACTORS, SCALES, SPREAD_END, scaleBytes, spread } from "./spread_int8.simd";
import { isWide } from "./wide.simd";

/** Where in a thread's scratch the sums lie, [tokens, 8 rows]. */
export const SUMS: usize = SPREAD_END;
/** The most tokens at once. */
export const MOST: u32 = 128;
/**
 * From how many tokens on spreading is faster, where an engine computes 256 bits and where not.
 * There nibbles are unpacked at little cost, and what is spread must be read again: it pays late
 * with offsets, and never without. Levels of a byte make two factors, or are looked up.
 */
const SPREAD_WIDE: u32 = !NIBBLES ? 8 : OFFSETS ? 40 : MOST + 1;
const SPREAD: u32 = BITS == 8 ? 8 : 6;

/**
 * Eight rows by `tokens` (2, 3 or 4, a constant) tokens, whose rows lie `stride` bytes apart: added
 * to [tokens, 8] f32 at y. x and `tail` are the first group's of the first token. Of the `count`
 * groups factors are at w and scales at s. `narrow` (a constant): four columns, or two, are a loop
 * of their own (wide.simd.ts).
 */
// @ts-ignore: decorator
@inline function tile(
  tokens: i32,
  narrow: bool,
  w: usize,
  s: usize,
  count: usize,
  x: usize,
  tail: usize,
  stride: usize,
  y: usize,
): void {
  const stride2 = 2 * stride;
  const stride3 = 3 * stride;
  let y00 = v128.load(y);
  let y01 = v128.load(y, 16);
  let y10 = v128.load(y, 32);
  let y11 = v128.load(y, 48);
  let y20 = tokens > 2 ? v128.load(y, 64) : y00;
  let y21 = tokens > 2 ? v128.load(y, 80) : y00;
  let y30 = tokens > 3 ? v128.load(y, 96) : y00;
  let y31 = tokens > 3 ? v128.load(y, 112) : y00;
  for (let g: usize = 0; g < count; g++) {
    let a0 = startOf(tail, 0);
    let a1 = a0;
    let b0 = startOf(tail + stride, 0);
    let b1 = b0;
    let c0 = tokens > 2 ? startOf(tail + stride2, 0) : a0;
    let c1 = c0;
    let d0 = tokens > 3 ? startOf(tail + stride3, 0) : a0;
    let d1 = d0;
    const last = x + xGroup();
    if (narrow) {
      for (; x < last; x += 4) {
        const w0 = v128.load(w);
        const w1 = v128.load(w, 16);
        let v = v128.load32_splat(x);
        a0 = dot(a0, v, w0);
        a1 = dot(a1, v, w1);
        v = v128.load32_splat(x + stride);
        b0 = dot(b0, v, w0);
        b1 = dot(b1, v, w1);
        if (tokens > 2) {
          v = v128.load32_splat(x + stride2);
          c0 = dot(c0, v, w0);
          c1 = dot(c1, v, w1);
        }
        if (tokens > 3) {
          v = v128.load32_splat(x + stride3);
          d0 = dot(d0, v, w0);
          d1 = dot(d1, v, w1);
        }
        w += 32;
      }
    }
    for (; !narrow && x < last; x += 16) {
      const xb = x + stride;
      const xc = x + stride2;
      const xd = x + stride3;
      let w0 = v128.load(w);
      let w1 = v128.load(w, 16);
      let v = v128.load32_splat(x);
      a0 = dot(a0, v, w0);
      a1 = dot(a1, v, w1);
      v = v128.load32_splat(xb);
      b0 = dot(b0, v, w0);
      b1 = dot(b1, v, w1);
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
      w0 = v128.load(w, 32);
      w1 = v128.load(w, 48);
      v = v128.load32_splat(x, 4);
      a0 = dot(a0, v, w0);
      a1 = dot(a1, v, w1);
      v = v128.load32_splat(xb, 4);
      b0 = dot(b0, v, w0);
      b1 = dot(b1, v, w1);
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
      w0 = v128.load(w, 64);
      w1 = v128.load(w, 80);
      v = v128.load32_splat(x, 8);
      a0 = dot(a0, v, w0);
      a1 = dot(a1, v, w1);
      v = v128.load32_splat(xb, 8);
      b0 = dot(b0, v, w0);
      b1 = dot(b1, v, w1);
      if (tokens > 2) {
        v = v128.load32_splat(xc, 8);
        c0 = dot(c0, v, w0);
        c1 = dot(c1, v, w1);
      }
      if (tokens > 3) {
        v = v128.load32_splat(xd, 8);
        d0 = dot(d0, v, w0);
        d1 = dot(d1, v, w1);
      }
      w0 = v128.load(w, 96);
      w1 = v128.load(w, 112);
      v = v128.load32_splat(x, 12);
      a0 = dot(a0, v, w0);
      a1 = dot(a1, v, w1);
      v = v128.load32_splat(xb, 12);
      b0 = dot(b0, v, w0);
      b1 = dot(b1, v, w1);
      if (tokens > 2) {
        v = v128.load32_splat(xc, 12);
        c0 = dot(c0, v, w0);
        c1 = dot(c1, v, w1);
      }
      if (tokens > 3) {
        v = v128.load32_splat(xd, 12);
        d0 = dot(d0, v, w0);
        d1 = dot(d1, v, w1);
      }
      w += 128;
    }
    const ones = i16x8.splat(1);
    const s0 = v128.load(s);
    const s1 = v128.load(s, 16);
    const o0 = OFFSETS ? v128.load(s, 32) : s0;
    const o1 = OFFSETS ? v128.load(s, 48) : s1;
    y00 = join(y00, total(a0, ones), tail, s0, o0);
    y01 = join(y01, total(a1, ones), tail, s1, o1);
    y10 = join(y10, total(b0, ones), tail + stride, s0, o0);
    y11 = join(y11, total(b1, ones), tail + stride, s1, o1);
    if (tokens > 2) {
      y20 = join(y20, total(c0, ones), tail + stride2, s0, o0);
      y21 = join(y21, total(c1, ones), tail + stride2, s1, o1);
    }
    if (tokens > 3) {
      y30 = join(y30, total(d0, ones), tail + stride3, s0, o0);
      y31 = join(y31, total(d1, ones), tail + stride3, s1, o1);
    }
    tail += tailBytes();
    s += scaleBytes();
  }
  v128.store(y, y00);
  v128.store(y, y01, 16);
  v128.store(y, y10, 32);
  v128.store(y, y11, 48);
  if (tokens > 2) {
    v128.store(y, y20, 64);
    v128.store(y, y21, 80);
  }
  if (tokens > 3) {
    v128.store(y, y30, 96);
    v128.store(y, y31, 112);
  }
}

// A function each: two loops in one function share its registers, and V8 then makes both slower by
// a third.

function wideBy4(count: usize, x: usize, tail: usize, stride: usize, scratch: usize, y: usize): void {
  tile(4, false, scratch + FACTORS, scratch + SCALES, count, x, tail, stride, y);
}
function spreadBy4(count: usize, x: usize, tail: usize, stride: usize, scratch: usize, y: usize): void {
  tile(4, true, scratch + FACTORS, scratch + SCALES, count, x, tail, stride, y);
}
function spreadBy3(count: usize, x: usize, tail: usize, stride: usize, scratch: usize, y: usize): void {
  tile(3, true, scratch + FACTORS, scratch + SCALES, count, x, tail, stride, y);
}
function spreadBy2(count: usize, x: usize, tail: usize, stride: usize, scratch: usize, y: usize): void {
  tile(2, true, scratch + FACTORS, scratch + SCALES, count, x, tail, stride, y);
}

/**
 * Eight rows, whose planes are at p0 .. p3, by 2 .. MOST tokens: [tokens, 8] f32 at
 * scratch + SUMS. The thread goes on to read the first plane until `end`.
 */
export function panelInt8(
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
  let y = scratch + SUMS;
  memory.fill(y, 0, <usize>tokens * 32);
  const wide = isWide();
  // No tile has one token: five are three and two.
  const spreads = wide ? SPREAD_WIDE : SPREAD;
  if (!HIGH && tokens < spreads) {
    let left = tokens;
    for (; left >= 6 || left == 4; left -= 4) {
      fewBy4(p0, p1, p2, p3, groups, x, stride, scratch, end, y);
      x += 4 * stride;
      y += 128;
    }
    if (left == 5 || left == 3) {
      fewBy3(p0, p1, p2, p3, groups, x, stride, scratch, end, y);
      x += 3 * stride;
      y += 96;
      left -= 3;
    }
    if (left == 2) fewBy2(p0, p1, p2, p3, groups, x, stride, scratch, end, y);
    return;
  }
  const tails = x + groups * xGroup();
  for (let g: usize = 0; g < groups; g += BLOCK) {
    const count = min<usize>(BLOCK, groups - g);
    spread(p0, p1, p2, p3, g, count, scratch);
    readAhead(p0 + g * P0, BLOCK * P0, end, scratch);
    let own = x + g * xGroup();
    let tail = tails + g * tailBytes();
    y = scratch + SUMS;
    let left = tokens;
    for (; left >= 6 || left == 4; left -= 4) {
      if (wide) wideBy4(count, own, tail, stride, scratch, y);
      else spreadBy4(count, own, tail, stride, scratch, y);
      own += 4 * stride;
      tail += 4 * stride;
      y += 128;
    }
    if (left == 5 || left == 3) {
      spreadBy3(count, own, tail, stride, scratch, y);
      own += 3 * stride;
      tail += 3 * stride;
      y += 96;
      left -= 3;
    }
    if (left == 2) spreadBy2(count, own, tail, stride, scratch, y);
  }
}
