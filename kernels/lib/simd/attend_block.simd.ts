// A block of keys or values against many queries: products of small matrices, for which the block
// is copied once so that four queries meet eight positions, or eight dimensions, in registers.
//
// Sums are those of attend.simd.ts to the bit: scores of dimensions d mod 4 apart, then (0 + 2) +
// (1 + 3); values position after position.

import { copyRow, placeFloats, placeHalves, turnFloats, turnHalves } from "./attend_copy.simd";
import { madd } from "./dot.simd";

/** Positions, or dimensions, that lie side by side. */
const SIDE: u32 = 8;

/** Bytes of the copy of a block of `positions` rows whose padded bytes are `padded`. */
// @ts-ignore: decorator
@inline export function copyBytes(positions: u32, padded: usize): usize {
  return <usize>((positions + SIDE - 1) / SIDE) * SIDE * padded;
}

/** Bytes of a query, its sums, or a row as f32, padded with zeros to whole steps of the loops. */
// @ts-ignore: decorator
@inline export function paddedBytes(headDim: u32): usize {
  return ((<usize>headDim + 7) / 8) * 32;
}

/**
 * Position p of a block; in place of one that no query of the tile sees, and that may not be
 * written yet, the nearest.
 */
// @ts-ignore: decorator
@inline export function rowOf(plane: usize, stride: usize, p: u32, begin: u32, end: u32): usize {
  return plane + <usize>min(max(p, begin), end - 1) * stride;
}

/** Bytes that scoreBlock() needs beside it: partial sums of a tile. */
export const PARTIAL: usize = 128;

/**
 * The keys of one KV head in a block meet its `count` queries, `group` of each token, the first of
 * which sees the block's positions below `seen`, the next one more, and so on: what none of four
 * queries sees is left out. `copy` has room for eight rows and PARTIAL.
 */
export function scoreMany(
  plane: usize,
  stride: usize,
  begin: u32,
  end: u32,
  headDim: u32,
  half: u32,
  rows: usize,
  count: u32,
  queries: usize,
  scores: usize,
  step: usize,
  copy: usize,
  seen: i32,
  group: u32,
): void {
  const padded = paddedBytes(headDim);
  const bytes = ((<usize>headDim + 3) & ~3) * 4;
  const keys = copy + PARTIAL;
  const whole = (headDim & 3) == 0;
  for (let p = begin & ~7; p < end; p += 8) {
    for (let side: u32 = 0; side < SIDE; side += 4) {
      let r0 = rowOf(plane, stride, p + side, begin, end);
      let r1 = rowOf(plane, stride, p + side + 1, begin, end);
      let r2 = rowOf(plane, stride, p + side + 2, begin, end);
      let r3 = rowOf(plane, stride, p + side + 3, begin, end);
      if (!whole) {
        r0 = copyRow(r0, headDim, half, rows);
        r1 = copyRow(r1, headDim, half, rows + padded);
        r2 = copyRow(r2, headDim, half, rows + 2 * padded);
        r3 = copyRow(r3, headDim, half, rows + 3 * padded);
      }
      if (half && whole) turnHalves(r0, r1, r2, r3, bytes, keys + 4 * side);
      else turnFloats(r0, r1, r2, r3, bytes, keys + 4 * side);
    }
    const first = <u32>max(<i32>p + 1 - seen, 0) * group; // the first query that sees position p
    scoreBlock(first & ~3, count, queries, padded, keys, bytes, scores + <usize>p * 4, step, copy);
  }
}

/**
 * The values of one KV head in a block, weighed, are added to the sums of its `count` queries.
 * `seen` and `group` as scoreMany() has them.
 */
export function addMany(
  plane: usize,
  stride: usize,
  begin: u32,
  end: u32,
  valueDim: u32,
  half: u32,
  rows: usize,
  count: u32,
  sums: usize,
  scores: usize,
  step: usize,
  copy: usize,
  seen: i32,
  group: u32,
): void {
  const padded = paddedBytes(valueDim);
  const first = begin & ~3;
  const positions = ((end + 3) & ~3) - first;
  const whole = (valueDim & 7) == 0;
  for (let p: u32 = 0; p < positions; p++) {
    let row = rowOf(plane, stride, first + p, begin, end);
    if (!whole) row = copyRow(row, valueDim, half, rows);
    const into = copy + 32 * <usize>p;
    if (half && whole) placeHalves(row, padded, into, 32 * <usize>positions);
    else placeFloats(row, padded, into, 32 * <usize>positions);
  }
  const weights = scores + <usize>first * 4;
  addBlock(count, sums, padded, copy, 32 * <usize>positions, positions, weights, step, seen - <i32>first, group);
}

/**
 * Scores of queries `first` (a multiple of four) to `count` of `bytes` bytes, `padded` apart, for
 * the eight positions of turned keys at `keys`; a query's are `step` bytes apart. `partial` has
 * room for PARTIAL bytes.
 */
function scoreBlock(
  first: u32,
  count: u32,
  queries: usize,
  padded: usize,
  keys: usize,
  bytes: usize,
  into: usize,
  step: usize,
  partial: usize,
): void {
  const last = count - 1;
  for (let i = first; i < count; i += 4) {
    const s0 = into + <usize>i * step;
    const s1 = into + <usize>min(i + 1, last) * step;
    const s2 = into + <usize>min(i + 2, last) * step;
    const s3 = into + <usize>min(i + 3, last) * step;
    const q0 = queries + <usize>i * padded;
    const q1 = queries + <usize>min(i + 1, last) * padded;
    const q2 = queries + <usize>min(i + 2, last) * padded;
    const q3 = queries + <usize>min(i + 3, last) * padded;
    const p1 = partial + 32;
    const p2 = partial + 64;
    const p3 = partial + 96;
    setStrip(q0 + 4, q1 + 4, q2 + 4, q3 + 4, bytes, keys + 32, partial, p1, p2, p3);
    strip(true, false, q0 + 12, q1 + 12, q2 + 12, q3 + 12, bytes, keys + 96, partial, p1, p2, p3, 0);
    setStrip(q0, q1, q2, q3, bytes, keys, s0, s1, s2, s3);
    strip(true, true, q0 + 8, q1 + 8, q2 + 8, q3 + 8, bytes, keys + 64, s0, s1, s2, s3, partial);
  }
}

/**
 * Every fourth dimension of four queries times eight positions, to s0 .. s3: to what is there
 * (`add`, a constant), and with the sums at `partial` (`end`, a constant). Queries that stand twice
 * are stored twice: all are read before.
 */
// @ts-ignore: decorator
@inline function strip(
  add: bool,
  end: bool,
  q0: usize,
  q1: usize,
  q2: usize,
  q3: usize,
  bytes: usize,
  keys: usize,
  s0: usize,
  s1: usize,
  s2: usize,
  s3: usize,
  partial: usize,
): void {
  let a0 = f32x4.splat(0);
  let a1 = a0;
  let b0 = a0;
  let b1 = a0;
  let c0 = a0;
  let c1 = a0;
  let d0 = a0;
  let d1 = a0;
  for (let d: usize = 0; d < bytes; d += 16) {
    const k0 = v128.load(keys);
    const k1 = v128.load(keys, 16);
    keys += 128;
    let q = v128.load32_splat(q0 + d);
    a0 = madd(q, k0, a0);
    a1 = madd(q, k1, a1);
    q = v128.load32_splat(q1 + d);
    b0 = madd(q, k0, b0);
    b1 = madd(q, k1, b1);
    q = v128.load32_splat(q2 + d);
    c0 = madd(q, k0, c0);
    c1 = madd(q, k1, c1);
    q = v128.load32_splat(q3 + d);
    d0 = madd(q, k0, d0);
    d1 = madd(q, k1, d1);
  }
  if (add) {
    a0 = f32x4.add(v128.load(s0), a0);
    a1 = f32x4.add(v128.load(s0, 16), a1);
    b0 = f32x4.add(v128.load(s1), b0);
    b1 = f32x4.add(v128.load(s1, 16), b1);
    c0 = f32x4.add(v128.load(s2), c0);
    c1 = f32x4.add(v128.load(s2, 16), c1);
    d0 = f32x4.add(v128.load(s3), d0);
    d1 = f32x4.add(v128.load(s3, 16), d1);
  }
  if (end) {
    a0 = f32x4.add(a0, v128.load(partial));
    a1 = f32x4.add(a1, v128.load(partial, 16));
    b0 = f32x4.add(b0, v128.load(partial, 32));
    b1 = f32x4.add(b1, v128.load(partial, 48));
    c0 = f32x4.add(c0, v128.load(partial, 64));
    c1 = f32x4.add(c1, v128.load(partial, 80));
    d0 = f32x4.add(d0, v128.load(partial, 96));
    d1 = f32x4.add(d1, v128.load(partial, 112));
  }
  v128.store(s0, a0);
  v128.store(s0, a1, 16);
  v128.store(s1, b0);
  v128.store(s1, b1, 16);
  v128.store(s2, c0);
  v128.store(s2, c1, 16);
  v128.store(s3, d0);
  v128.store(s3, d1, 16);
}

/** A function of its own, because it is called twice. */
function setStrip(
  q0: usize,
  q1: usize,
  q2: usize,
  q3: usize,
  bytes: usize,
  keys: usize,
  s0: usize,
  s1: usize,
  s2: usize,
  s3: usize,
): void {
  strip(false, false, q0, q1, q2, q3, bytes, keys, s0, s1, s2, s3, 0);
}

/**
 * Values of `positions` positions, placed at `values` in eights of dimensions `stride` bytes apart,
 * times the weights of `count` queries, added to their sums of `padded` bytes. A query's weights
 * are `step` bytes apart. Of the positions the first token sees `seen`, `group` queries each.
 */
export function addBlock(
  count: u32,
  sums: usize,
  padded: usize,
  values: usize,
  stride: usize,
  positions: usize,
  weights: usize,
  step: usize,
  seen: i32,
  group: u32,
): void {
  const last = count - 1;
  const all = seen >= <i32>positions;
  for (let d: usize = 0; d < padded; d += 32) {
    for (let i: u32 = 0; i < count; i += 4) {
      const j = min(i + 1, last);
      const k = min(i + 2, last);
      const l = min(i + 3, last);
      const own = all ? <i32>positions : (seen + <i32>(l / group) + 3) & ~3;
      if (own <= 0) continue;
      const y = sums + d;
      addTile(
        y + <usize>i * padded,
        y + <usize>j * padded,
        y + <usize>k * padded,
        y + <usize>l * padded,
        values,
        min<usize>(positions, own),
        weights + <usize>i * step,
        weights + <usize>j * step,
        weights + <usize>k * step,
        weights + <usize>l * step,
      );
    }
    values += stride;
  }
}

/** Eight dimensions of the values times four queries' weights, added at y0 .. y3. */
function addTile(
  y0: usize,
  y1: usize,
  y2: usize,
  y3: usize,
  values: usize,
  positions: usize,
  w0: usize,
  w1: usize,
  w2: usize,
  w3: usize,
): void {
  let a0 = v128.load(y0);
  let a1 = v128.load(y0, 16);
  let b0 = v128.load(y1);
  let b1 = v128.load(y1, 16);
  let c0 = v128.load(y2);
  let c1 = v128.load(y2, 16);
  let d0 = v128.load(y3);
  let d1 = v128.load(y3, 16);
  for (let p: usize = 0; p < 4 * positions; p += 4) {
    const v0 = v128.load(values);
    const v1 = v128.load(values, 16);
    values += 32;
    let w = v128.load32_splat(w0 + p);
    a0 = madd(v0, w, a0);
    a1 = madd(v1, w, a1);
    w = v128.load32_splat(w1 + p);
    b0 = madd(v0, w, b0);
    b1 = madd(v1, w, b1);
    w = v128.load32_splat(w2 + p);
    c0 = madd(v0, w, c0);
    c1 = madd(v1, w, c1);
    w = v128.load32_splat(w3 + p);
    d0 = madd(v0, w, d0);
    d1 = madd(v1, w, d1);
  }
  v128.store(y0, a0);
  v128.store(y0, a1, 16);
  v128.store(y1, b0);
  v128.store(y1, b1, 16);
  v128.store(y2, c0);
  v128.store(y2, c1, 16);
  v128.store(y3, d0);
  v128.store(y3, d1, 16);
}
