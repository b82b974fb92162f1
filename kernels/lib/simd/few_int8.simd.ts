// Products of two, three or four tokens with int8 activations: eight rows, each word of the weights
// read and unpacked once for all tokens. Formats whose levels lie in the first plane alone.

import { madd } from "./dot.simd";
import { OFFSETS, offset4, P0, pairs4, scale4, supers4 } from "./format.simd";
import { wordAt } from "./near.simd";
import {
  activation,
  dot,
  evenMask,
  factor,
  keep,
  KEPT,
  offsetOf,
  parts,
  startOf,
  starts,
  tailBytes,
  total,
  xGroup,
} from "./product_int8.simd";
import { readAhead } from "./read_ahead.simd";

/** y + a group's products as f32 times both scales, less the offset times the activations' sum. */
// @ts-ignore: decorator
@inline export function join(y: v128, sum: v128, tail: usize, scale: v128, offset: v128): v128 {
  const step = v128.load32_splat(tail);
  y = madd(f32x4.mul(f32x4.convert_i32x4_s(sum), step), scale, y);
  if (!OFFSETS) return y;
  return f32x4.sub(y, f32x4.mul(f32x4.mul(wordAt(tail, 1 + <i32>starts()), step), offset));
}

/**
 * Eight rows, whose planes are at p0 .. p3, by `tokens` (2, 3 or 4, a constant) tokens, whose rows
 * of x lie `stride` bytes apart: [tokens, 8] f32 at y. The thread goes on to read the first plane
 * until `end`.
 */
// @ts-ignore: decorator
@inline function few(
  tokens: i32,
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  groups: usize,
  x: usize,
  stride: usize,
  scratch: usize,
  end: usize,
  y: usize,
): void {
  const kept = scratch + KEPT;
  keep(kept);
  const other = v128.load(kept);
  const low = v128.load32_splat(kept, 16);
  const even = v128.load32_splat(kept, 20);
  const ones = v128.load32_splat(kept, 24);
  const none = i32x4.splat(0);
  const stride2 = 2 * stride;
  const stride3 = 3 * stride;
  let tail = x + groups * xGroup();
  let y00 = f32x4.splat(0);
  let y01 = y00;
  let y10 = y00;
  let y11 = y00;
  let y20 = y00;
  let y21 = y00;
  let y30 = y00;
  let y31 = y00;
  for (let g: usize = 0; g < groups; g++) {
    readAhead(p0, P0, end, scratch);
    let a0 = startOf(tail, 0);
    let a1 = a0;
    let b0 = startOf(tail + stride, 0);
    let b1 = b0;
    let c0 = tokens > 2 ? startOf(tail + stride2, 0) : a0;
    let c1 = c0;
    let d0 = tokens > 3 ? startOf(tail + stride3, 0) : a0;
    let d1 = d0;
    const last = x + xGroup();
    // Eight columns. The branches are never taken: V8 loads all that a piece of code without a
    // branch takes before it computes, and then has no registers for it. Each tests something else,
    // or it would be removed.
    do {
      const xb = x + stride;
      const xc = x + stride2;
      const xd = x + stride3;
      let w0 = v128.load(p0);
      let w1 = v128.load(p0, 16);
      let f0 = factor(w0, none, 0, 0, low, other, even);
      let f1 = factor(w1, none, 0, 0, low, other, even);
      let v = activation(x, 0, 0);
      a0 = dot(a0, v, f0);
      a1 = dot(a1, v, f1);
      v = activation(xb, 0, 0);
      b0 = dot(b0, v, f0);
      b1 = dot(b1, v, f1);
      if (tokens > 3 && p0 == 0) break;
      if (tokens > 2) {
        v = activation(xc, 0, 0);
        c0 = dot(c0, v, f0);
        c1 = dot(c1, v, f1);
      }
      if (tokens > 3) {
        v = activation(xd, 0, 0);
        d0 = dot(d0, v, f0);
        d1 = dot(d1, v, f1);
      }
      if (parts() == 2) {
        if (x >= last) break;
        f0 = factor(w0, none, 0, 1, low, other, even);
        f1 = factor(w1, none, 0, 1, low, other, even);
        v = activation(x, 0, 1);
        a0 = dot(a0, v, f0);
        a1 = dot(a1, v, f1);
        v = activation(xb, 0, 1);
        b0 = dot(b0, v, f0);
        b1 = dot(b1, v, f1);
        if (tokens > 3 && xb == 0) break;
        if (tokens > 2) {
          v = activation(xc, 0, 1);
          c0 = dot(c0, v, f0);
          c1 = dot(c1, v, f1);
        }
        if (tokens > 3) {
          v = activation(xd, 0, 1);
          d0 = dot(d0, v, f0);
          d1 = dot(d1, v, f1);
        }
      }
      if (last == 0) break;
      w0 = P0 == 256 ? v128.load(p0, 32) : v128.load(p0);
      w1 = P0 == 256 ? v128.load(p0, 48) : v128.load(p0, 16);
      f0 = factor(w0, none, 1, 0, low, other, even);
      f1 = factor(w1, none, 1, 0, low, other, even);
      v = activation(x, 1, 0);
      a0 = dot(a0, v, f0);
      a1 = dot(a1, v, f1);
      v = activation(xb, 1, 0);
      b0 = dot(b0, v, f0);
      b1 = dot(b1, v, f1);
      if (tokens > 3 && xd == 0) break;
      if (tokens > 2) {
        v = activation(xc, 1, 0);
        c0 = dot(c0, v, f0);
        c1 = dot(c1, v, f1);
      }
      if (tokens > 3) {
        v = activation(xd, 1, 0);
        d0 = dot(d0, v, f0);
        d1 = dot(d1, v, f1);
      }
      if (parts() == 2) {
        if (tail == 0) break;
        f0 = factor(w0, none, 1, 1, low, other, even);
        f1 = factor(w1, none, 1, 1, low, other, even);
        v = activation(x, 1, 1);
        a0 = dot(a0, v, f0);
        a1 = dot(a1, v, f1);
        v = activation(xb, 1, 1);
        b0 = dot(b0, v, f0);
        b1 = dot(b1, v, f1);
        if (tokens > 3 && xc == 0) break;
        if (tokens > 2) {
          v = activation(xc, 1, 1);
          c0 = dot(c0, v, f0);
          c1 = dot(c1, v, f1);
        }
        if (tokens > 3) {
          v = activation(xd, 1, 1);
          d0 = dot(d0, v, f0);
          d1 = dot(d1, v, f1);
        }
      }
      x += xGroup() / 4;
      p0 += P0 / 4;
    } while (x < last);
    const pairs0 = pairs4(p1, p2, p3, g, 0);
    const pairs1 = pairs4(p1, p2, p3, g, 1);
    const supers0 = supers4(p1, p2, p3, g, 0);
    const supers1 = supers4(p1, p2, p3, g, 1);
    const s0 = scale4(pairs0, supers0, g);
    const s1 = scale4(pairs1, supers1, g);
    const o0 = OFFSETS ? offsetOf(s0, offset4(pairs0, supers0, g)) : s0;
    const o1 = OFFSETS ? offsetOf(s1, offset4(pairs1, supers1, g)) : s1;
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

// A function each: two loops in one function share its registers, and V8 then makes both slower.

export function fewBy4(
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  groups: usize,
  x: usize,
  stride: usize,
  scratch: usize,
  end: usize,
  y: usize,
): void {
  few(4, p0, p1, p2, p3, groups, x, stride, scratch, end, y);
}
export function fewBy3(
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  groups: usize,
  x: usize,
  stride: usize,
  scratch: usize,
  end: usize,
  y: usize,
): void {
  few(3, p0, p1, p2, p3, groups, x, stride, scratch, end, y);
}
export function fewBy2(
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  groups: usize,
  x: usize,
  stride: usize,
  scratch: usize,
  end: usize,
  y: usize,
): void {
  few(2, p0, p1, p2, p3, groups, x, stride, scratch, end, y);
}
