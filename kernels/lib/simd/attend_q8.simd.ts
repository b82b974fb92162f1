// Four rows of keys or values in int8, with the largest magnitude of every 32 numbers, against
// queries: the inner loops of attention over a q8 cache (append_q8.ts).
//
// Queries are rounded to int16 with one scale each, which is finer than f32 sums are: products of
// 32 numbers are integers, and exact. Values are spread to f32 for all queries at once.

import { addEach } from "./attend.simd";
import { addBlock, rowOf } from "./attend_block.simd";
import { madd } from "./dot.simd";
import { half as halfToFloat, halves } from "./lanes.simd";
import { rotate } from "./rotate.simd";

/** The largest of four lanes; NaN if one is. */
// @ts-ignore: decorator
@inline export function maxOf(v: v128): f32 {
  const two = f32x4.max(v, v128.shuffle<i32>(v, v, 2, 3, 2, 3));
  return max(f32x4.extract_lane(two, 0), f32x4.extract_lane(two, 1));
}

/** Bytes of a query, of sums, or of a row as f32: whole groups. */
// @ts-ignore: decorator
@inline export function paddedQ8(headDim: u32): usize {
  return (<usize>(headDim + 31) / 32) * 128;
}

/** Bytes of a head's row in the cache: levels of whole groups, then magnitudes, in eights. */
// @ts-ignore: decorator
@inline export function rowBytes(headDim: u32): usize {
  const groups = <usize>(headDim + 31) / 32;
  return groups * 32 + ((groups + 3) / 4) * 8;
}

/**
 * A query times `scale` / 127, as int16 of whole groups and then its own scale, at `into`, where
 * 128 bytes a group are used.
 */
export function query(q: usize, headDim: u32, scale: f64, rotated: bool, into: usize): void {
  const bytes = <usize>headDim * 4;
  const all = (<usize>(headDim + 31) / 32) * 128;
  memory.copy(into, q, bytes);
  memory.fill(into + bytes, 0, all - bytes);
  if (rotated) rotate(into, headDim);
  let most = f32x4.splat(0);
  for (let d: usize = 0; d < all; d += 16) most = f32x4.max(most, f32x4.abs(v128.load(into + d)));
  const peak = maxOf(most);
  const inverse = f32x4.splat(peak > 0 ? 32767 / peak : 0);
  for (let d: usize = 0; d < all; d += 32) {
    const low = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(into + d), inverse)));
    const high = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(v128.load(into + d, 16), inverse)));
    v128.store(into + d / 2, i16x8.narrow_i32x4_s(low, high));
  }
  store<f32>(into + all / 2, <f32>((<f64>peak / 32767 / 127) * scale));
}

/**
 * Four positions of one KV head meet its `count` queries: keys write scores at `scores` from
 * queries at `at`, values are added to the sums at `at` by the weights at `scores`. One function
 * for both, like meet() of attention.simd.ts.
 */
export function meetQ8(
  values: bool,
  plane: usize,
  stride: usize,
  p: u32,
  begin: u32,
  end: u32,
  headDim: u32,
  space: usize,
  count: u32,
  at: usize,
  padded: usize,
  scores: usize,
  step: usize,
): void {
  const groups = <usize>(headDim + 31) / 32;
  const r0 = rowOf(plane, stride, p, begin, end);
  const r1 = rowOf(plane, stride, p + 1, begin, end);
  const r2 = rowOf(plane, stride, p + 2, begin, end);
  const r3 = rowOf(plane, stride, p + 3, begin, end);
  if (!values) {
    magnitudes(r0, r1, r2, r3, groups, space);
    for (; count >= 2; count -= 2) {
      scoreTwo(at, at + padded, r0, r1, r2, r3, groups, space, scores, scores + step);
      at += 2 * padded;
      scores += 2 * step;
    }
    if (count != 0) scoreOne(at, r0, r1, r2, r3, groups, space, scores);
    return;
  }
  const each = groups * 128;
  spread(r0, groups, space, 32);
  spread(r1, groups, space + each, 32);
  spread(r2, groups, space + 2 * each, 32);
  spread(r3, groups, space + 3 * each, 32);
  addEach(count, at, scores, step, space, space + each, space + 2 * each, space + 3 * each, padded, false);
}

/** addMany() (attend_block.simd.ts) of a cache in q8. */
export function addManyQ8(
  plane: usize,
  stride: usize,
  begin: u32,
  end: u32,
  headDim: u32,
  count: u32,
  sums: usize,
  scores: usize,
  step: usize,
  copy: usize,
  seen: i32,
  group: u32,
): void {
  const groups = <usize>(headDim + 31) / 32;
  const first = begin & ~3;
  const positions = ((end + 3) & ~3) - first;
  const apart = 32 * <usize>positions;
  for (let p: u32 = 0; p < positions; p++)
    spread(rowOf(plane, stride, first + p, begin, end), groups, copy + 32 * <usize>p, apart);
  const weights = scores + <usize>first * 4;
  addBlock(count, sums, groups * 128, copy, apart, positions, weights, step, seen - <i32>first, group);
}

/** The magnitudes of four rows, those of a group side by side. */
// @ts-ignore: decorator
@inline function magnitudes(r0: usize, r1: usize, r2: usize, r3: usize, groups: usize, into: usize): void {
  for (let g: usize = 0; g < groups; g += 4) {
    const at = groups * 32 + g * 2;
    const a = halves(r0 + at);
    const b = halves(r1 + at);
    const c = halves(r2 + at);
    const d = halves(r3 + at);
    const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
    const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
    v128.store(into + g * 16, v128.shuffle<i32>(ab, cd, 0, 1, 4, 5));
    v128.store(into + g * 16, v128.shuffle<i32>(ab, cd, 2, 3, 6, 7), 16);
    const ab2 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
    const cd2 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
    v128.store(into + g * 16, v128.shuffle<i32>(ab2, cd2, 0, 1, 4, 5), 32);
    v128.store(into + g * 16, v128.shuffle<i32>(ab2, cd2, 2, 3, 6, 7), 48);
  }
}

/** The values of a row, in eights that lie `apart` bytes from one to the next. */
function spread(row: usize, groups: usize, into: usize, apart: usize): void {
  for (let g: usize = 0; g < groups; g++) {
    const scale = f32x4.splat(halfToFloat(load<u16>(row + groups * 32 + g * 2)) * <f32>(1.0 / 127));
    for (let i: usize = 0; i < 32; i += 8) {
      const levels = v128.load8x8_s(row + g * 32 + i) as v128;
      v128.store(into, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(levels)), scale));
      v128.store(into, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(levels)), scale), 16);
      into += apart;
    }
  }
}

/** Products of 32 numbers of a query and of levels a .. d, in four sums. */
// @ts-ignore: decorator
@inline function dots(q: usize, a: v128, b: v128, c: v128, d: v128): v128 {
  const near = i32x4.add(i32x4.dot_i16x8_s(v128.load(q), a), i32x4.dot_i16x8_s(v128.load(q, 16), b));
  const far = i32x4.add(i32x4.dot_i16x8_s(v128.load(q, 32), c), i32x4.dot_i16x8_s(v128.load(q, 48), d));
  return i32x4.add(near, far);
}

/** The sums of the lanes of four vectors of integers, as f32. */
// @ts-ignore: decorator
@inline function sumsOf(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return f32x4.convert_i32x4_s(i32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7)));
}

// @ts-ignore: decorator
@inline function scoreTwo(
  q: usize,
  p: usize,
  r0: usize,
  r1: usize,
  r2: usize,
  r3: usize,
  groups: usize,
  scales: usize,
  s: usize,
  u: usize,
): void {
  let one = f32x4.splat(0);
  let two = one;
  for (let g: usize = 0; g < groups; g++) {
    const k = g * 32;
    const at = g * 64;
    let a = v128.load8x8_s(r0 + k) as v128;
    let b = v128.load8x8_s(r0 + k, 8) as v128;
    let c = v128.load8x8_s(r0 + k, 16) as v128;
    let d = v128.load8x8_s(r0 + k, 24) as v128;
    const a0 = dots(q + at, a, b, c, d);
    const b0 = dots(p + at, a, b, c, d);
    a = v128.load8x8_s(r1 + k) as v128;
    b = v128.load8x8_s(r1 + k, 8) as v128;
    c = v128.load8x8_s(r1 + k, 16) as v128;
    d = v128.load8x8_s(r1 + k, 24) as v128;
    const a1 = dots(q + at, a, b, c, d);
    const b1 = dots(p + at, a, b, c, d);
    a = v128.load8x8_s(r2 + k) as v128;
    b = v128.load8x8_s(r2 + k, 8) as v128;
    c = v128.load8x8_s(r2 + k, 16) as v128;
    d = v128.load8x8_s(r2 + k, 24) as v128;
    const a2 = dots(q + at, a, b, c, d);
    const b2 = dots(p + at, a, b, c, d);
    a = v128.load8x8_s(r3 + k) as v128;
    b = v128.load8x8_s(r3 + k, 8) as v128;
    c = v128.load8x8_s(r3 + k, 16) as v128;
    d = v128.load8x8_s(r3 + k, 24) as v128;
    const scale = v128.load(scales + g * 16);
    one = madd(sumsOf(a0, a1, a2, dots(q + at, a, b, c, d)), scale, one);
    two = madd(sumsOf(b0, b1, b2, dots(p + at, a, b, c, d)), scale, two);
  }
  v128.store(s, f32x4.mul(one, v128.load32_splat(q + groups * 64)));
  v128.store(u, f32x4.mul(two, v128.load32_splat(p + groups * 64)));
}

/** Products of 32 numbers of a query and a row. */
// @ts-ignore: decorator
@inline function meetRow(q: usize, r: usize): v128 {
  const a = v128.load8x8_s(r) as v128;
  const b = v128.load8x8_s(r, 8) as v128;
  return dots(q, a, b, v128.load8x8_s(r, 16) as v128, v128.load8x8_s(r, 24) as v128);
}

// @ts-ignore: decorator
@inline function scoreOne(
  q: usize,
  r0: usize,
  r1: usize,
  r2: usize,
  r3: usize,
  groups: usize,
  scales: usize,
  s: usize,
): void {
  let sum = f32x4.splat(0);
  for (let g: usize = 0; g < groups; g++) {
    const k = g * 32;
    const at = q + g * 64;
    const ints = sumsOf(meetRow(at, r0 + k), meetRow(at, r1 + k), meetRow(at, r2 + k), meetRow(at, r3 + k));
    sum = madd(ints, v128.load(scales + g * 16), sum);
  }
  v128.store(s, f32x4.mul(sum, v128.load32_splat(q + groups * 64)));
}
