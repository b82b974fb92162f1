// Four rows of keys or values against one or two queries: the inner loops of attention.
//
// `raw` is a constant wherever these are called. Rows are f32 or, if raw, f16 whose bits are only
// moved to where f32 has them (smallHalves), which makes them 2^112 too small: the callers make up
// for it.

import { madd } from "./dot.simd";
import { smallHalves } from "./lanes.simd";

/** Four elements of a row, where its elements from byte d on lie if they are f32. */
// @ts-ignore: decorator
@inline function four(row: usize, d: usize, raw: bool): v128 {
  return raw ? smallHalves(row + d / 2) : v128.load(row + d);
}

/**
 * Products of two queries of `bytes` bytes and four rows: of the first at s0, of the second at s1.
 */
// @ts-ignore: decorator
@inline export function scoreTwo(
  q0: usize,
  q1: usize,
  r0: usize,
  r1: usize,
  r2: usize,
  r3: usize,
  bytes: usize,
  s0: usize,
  s1: usize,
  raw: bool,
): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  let b0 = a0;
  let b1 = a0;
  let b2 = a0;
  let b3 = a0;
  for (let d: usize = 0; d < bytes; d += 16) {
    const a = v128.load(q0 + d);
    const b = v128.load(q1 + d);
    let k = four(r0, d, raw);
    a0 = madd(a, k, a0);
    b0 = madd(b, k, b0);
    k = four(r1, d, raw);
    a1 = madd(a, k, a1);
    b1 = madd(b, k, b1);
    k = four(r2, d, raw);
    a2 = madd(a, k, a2);
    b2 = madd(b, k, b2);
    k = four(r3, d, raw);
    a3 = madd(a, k, a3);
    b3 = madd(b, k, b3);
  }
  v128.store(s0, sumsOf(a0, a1, a2, a3));
  v128.store(s1, sumsOf(b0, b1, b2, b3));
}

/** Products of one query and four rows. */
// @ts-ignore: decorator
@inline export function scoreOne(
  q: usize,
  r0: usize,
  r1: usize,
  r2: usize,
  r3: usize,
  bytes: usize,
  s: usize,
  raw: bool,
): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let a2 = a0;
  let a3 = a0;
  for (let d: usize = 0; d < bytes; d += 16) {
    const a = v128.load(q + d);
    a0 = madd(a, four(r0, d, raw), a0);
    a1 = madd(a, four(r1, d, raw), a1);
    a2 = madd(a, four(r2, d, raw), a2);
    a3 = madd(a, four(r3, d, raw), a3);
  }
  v128.store(s, sumsOf(a0, a1, a2, a3));
}

/** The sums of the lanes of four vectors. */
// @ts-ignore: decorator
@inline function sumsOf(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
}

/** Four rows times the weights at w0 added to y0, times those at w1 to y1. */
// @ts-ignore: decorator
@inline export function addTwo(
  y0: usize,
  y1: usize,
  w0: usize,
  w1: usize,
  r0: usize,
  r1: usize,
  r2: usize,
  r3: usize,
  bytes: usize,
  raw: bool,
): void {
  const a0 = v128.load32_splat(w0);
  const a1 = v128.load32_splat(w0, 4);
  const a2 = v128.load32_splat(w0, 8);
  const a3 = v128.load32_splat(w0, 12);
  const b0 = v128.load32_splat(w1);
  const b1 = v128.load32_splat(w1, 4);
  const b2 = v128.load32_splat(w1, 8);
  const b3 = v128.load32_splat(w1, 12);
  for (let d: usize = 0; d < bytes; d += 16) {
    const v0 = four(r0, d, raw);
    const v1 = four(r1, d, raw);
    const v2 = four(r2, d, raw);
    const v3 = four(r3, d, raw);
    v128.store(y0 + d, madd(v3, a3, madd(v2, a2, madd(v1, a1, madd(v0, a0, v128.load(y0 + d))))));
    v128.store(y1 + d, madd(v3, b3, madd(v2, b2, madd(v1, b1, madd(v0, b0, v128.load(y1 + d))))));
  }
}

/** Four rows times the weights at w added to y. */
// @ts-ignore: decorator
@inline export function addOne(
  y: usize,
  w: usize,
  r0: usize,
  r1: usize,
  r2: usize,
  r3: usize,
  bytes: usize,
  raw: bool,
): void {
  const a0 = v128.load32_splat(w);
  const a1 = v128.load32_splat(w, 4);
  const a2 = v128.load32_splat(w, 8);
  const a3 = v128.load32_splat(w, 12);
  for (let d: usize = 0; d < bytes; d += 16) {
    const sum = madd(four(r1, d, raw), a1, madd(four(r0, d, raw), a0, v128.load(y + d)));
    v128.store(y + d, madd(four(r3, d, raw), a3, madd(four(r2, d, raw), a2, sum)));
  }
}

/** Four rows' scores for each of `count` queries. */
// @ts-ignore: decorator
@inline export function scoreEach(
  count: u32,
  query: usize,
  r0: usize,
  r1: usize,
  r2: usize,
  r3: usize,
  padded: usize,
  into: usize,
  step: usize,
  raw: bool,
): void {
  for (; count >= 2; count -= 2) {
    scoreTwo(query, query + padded, r0, r1, r2, r3, padded, into, into + step, raw);
    query += 2 * padded;
    into += 2 * step;
  }
  if (count != 0) scoreOne(query, r0, r1, r2, r3, padded, into, raw);
}

/** Four weighted rows added to the sums of each of `count` queries. */
// @ts-ignore: decorator
@inline export function addEach(
  count: u32,
  sums: usize,
  weights: usize,
  step: usize,
  r0: usize,
  r1: usize,
  r2: usize,
  r3: usize,
  padded: usize,
  raw: bool,
): void {
  for (; count >= 2; count -= 2) {
    addTwo(sums, sums + padded, weights, weights + step, r0, r1, r2, r3, padded, raw);
    sums += 2 * padded;
    weights += 2 * step;
  }
  if (count != 0) addOne(sums, weights, r0, r1, r2, r3, padded, raw);
}
