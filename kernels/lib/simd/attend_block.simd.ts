// A block of keys or values against many queries: products of small matrices, for which the block
// is copied once so that four queries meet eight positions, or eight dimensions, in registers.
//
// Sums are those of attend.simd.ts to the bit: scores of dimensions d mod 4 apart, then (0 + 2) +
// (1 + 3); values position after position.

import { madd } from "./dot.simd";
import { half as halfToFloat, halves } from "./lanes.simd";

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

/** One position's key or value as f32, at `into`. */
export function copyRow(row: usize, headDim: u32, half: u32, into: usize): usize {
  const vectors = (<usize>headDim & ~3) * 4;
  const end = <usize>headDim * 4;
  let d: usize = 0;
  if (half) {
    for (; d < vectors; d += 16) v128.store(into + d, halves(row + d / 2));
    for (; d < end; d += 4) store<f32>(into + d, halfToFloat(load<u16>(row + d / 2)));
  } else {
    for (; d < vectors; d += 16) v128.store(into + d, v128.load(row + d));
    for (; d < end; d += 4) store<f32>(into + d, load<f32>(row + d));
  }
  return into;
}

/**
 * Four rows of keys, of `bytes` bytes, to `into`: [dimension, 8 positions], of which they are the
 * first or the second four.
 */
function turnKeys(r0: usize, r1: usize, r2: usize, r3: usize, bytes: usize, into: usize): void {
  for (let d: usize = 0; d < bytes; d += 16) {
    const a = v128.load(r0 + d);
    const b = v128.load(r1 + d);
    const c = v128.load(r2 + d);
    const e = v128.load(r3 + d);
    const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
    const ce = v128.shuffle<i32>(c, e, 0, 4, 1, 5);
    const ab2 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
    const ce2 = v128.shuffle<i32>(c, e, 2, 6, 3, 7);
    v128.store(into, v128.shuffle<i32>(ab, ce, 0, 1, 4, 5));
    v128.store(into, v128.shuffle<i32>(ab, ce, 2, 3, 6, 7), 32);
    v128.store(into, v128.shuffle<i32>(ab2, ce2, 0, 1, 4, 5), 64);
    v128.store(into, v128.shuffle<i32>(ab2, ce2, 2, 3, 6, 7), 96);
    into += 128;
  }
}

/** A row of values, of `bytes` bytes, in eights of dimensions that lie `stride` bytes apart. */
function placeValues(row: usize, bytes: usize, into: usize, stride: usize): void {
  for (let d: usize = 0; d < bytes; d += 32) {
    v128.store(into, v128.load(row + d));
    v128.store(into, v128.load(row + d, 16), 16);
    into += stride;
  }
}

/**
 * The keys of one KV head in a block meet its `count` queries. `copy` has room for eight rows and
 * PARTIAL.
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
): void {
  const padded = paddedBytes(headDim);
  const bytes = ((<usize>headDim + 3) & ~3) * 4;
  const keys = copy + PARTIAL;
  for (let p = begin & ~7; p < end; p += 8) {
    for (let four: u32 = 0; four < 8; four += 4) {
      let r0 = rowOf(plane, stride, p + four, begin, end);
      let r1 = rowOf(plane, stride, p + four + 1, begin, end);
      let r2 = rowOf(plane, stride, p + four + 2, begin, end);
      let r3 = rowOf(plane, stride, p + four + 3, begin, end);
      if (half || (headDim & 3) != 0) {
        r0 = copyRow(r0, headDim, half, rows);
        r1 = copyRow(r1, headDim, half, rows + padded);
        r2 = copyRow(r2, headDim, half, rows + 2 * padded);
        r3 = copyRow(r3, headDim, half, rows + 3 * padded);
      }
      turnKeys(r0, r1, r2, r3, bytes, keys + 4 * four);
    }
    scoreBlock(count, queries, padded, keys, bytes, scores + <usize>p * 4, step, copy);
  }
}

/** The values of one KV head in a block, weighed, are added to the sums of its `count` queries. */
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
): void {
  const padded = paddedBytes(valueDim);
  const first = begin & ~3;
  const positions = ((end + 3) & ~3) - first;
  for (let p: u32 = 0; p < positions; p++) {
    let row = rowOf(plane, stride, first + p, begin, end);
    if (half || (valueDim & 7) != 0) row = copyRow(row, valueDim, half, rows);
    placeValues(row, padded, copy + 32 * <usize>p, 32 * <usize>positions);
  }
  addBlock(count, sums, padded, copy, 32 * <usize>positions, positions, scores + <usize>first * 4, step);
}

/**
 * Scores of `count` queries of `bytes` bytes, `padded` apart, for the eight positions of turned
 * keys at `keys`; a query's are `step` bytes apart. `partial` has room for PARTIAL bytes.
 */
function scoreBlock(
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
  for (let i: u32 = 0; i < count; i += 4) {
    const s0 = into + <usize>i * step;
    const s1 = into + <usize>min(i + 1, last) * step;
    const s2 = into + <usize>min(i + 2, last) * step;
    const s3 = into + <usize>min(i + 3, last) * step;
    const q0 = queries + <usize>i * padded;
    const q1 = queries + <usize>min(i + 1, last) * padded;
    const q2 = queries + <usize>min(i + 2, last) * padded;
    const q3 = queries + <usize>min(i + 3, last) * padded;
    clear(partial, partial + 32, partial + 64, partial + 96);
    scoreStrip(q0 + 4, q1 + 4, q2 + 4, q3 + 4, bytes, keys + 32, partial, partial + 32, partial + 64, partial + 96);
    scoreStrip(q0 + 12, q1 + 12, q2 + 12, q3 + 12, bytes, keys + 96, partial, partial + 32, partial + 64, partial + 96);
    clear(s0, s1, s2, s3);
    scoreStrip(q0, q1, q2, q3, bytes, keys, s0, s1, s2, s3);
    scoreStrip(q0 + 8, q1 + 8, q2 + 8, q3 + 8, bytes, keys + 64, s0, s1, s2, s3);
    // Queries that stand twice are stored twice: all are read before.
    const a = f32x4.add(v128.load(s0), v128.load(partial));
    const b = f32x4.add(v128.load(s0, 16), v128.load(partial, 16));
    const c = f32x4.add(v128.load(s1), v128.load(partial, 32));
    const d = f32x4.add(v128.load(s1, 16), v128.load(partial, 48));
    const e = f32x4.add(v128.load(s2), v128.load(partial, 64));
    const f = f32x4.add(v128.load(s2, 16), v128.load(partial, 80));
    const g = f32x4.add(v128.load(s3), v128.load(partial, 96));
    const h = f32x4.add(v128.load(s3, 16), v128.load(partial, 112));
    v128.store(s0, a);
    v128.store(s0, b, 16);
    v128.store(s1, c);
    v128.store(s1, d, 16);
    v128.store(s2, e);
    v128.store(s2, f, 16);
    v128.store(s3, g);
    v128.store(s3, h, 16);
  }
}

// @ts-ignore: decorator
@inline function clear(s0: usize, s1: usize, s2: usize, s3: usize): void {
  const zero = f32x4.splat(0);
  v128.store(s0, zero);
  v128.store(s0, zero, 16);
  v128.store(s1, zero);
  v128.store(s1, zero, 16);
  v128.store(s2, zero);
  v128.store(s2, zero, 16);
  v128.store(s3, zero);
  v128.store(s3, zero, 16);
}

/** Every fourth dimension of four queries times eight positions, added at s0 .. s3. */
function scoreStrip(
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
  a0 = f32x4.add(v128.load(s0), a0);
  a1 = f32x4.add(v128.load(s0, 16), a1);
  b0 = f32x4.add(v128.load(s1), b0);
  b1 = f32x4.add(v128.load(s1, 16), b1);
  c0 = f32x4.add(v128.load(s2), c0);
  c1 = f32x4.add(v128.load(s2, 16), c1);
  d0 = f32x4.add(v128.load(s3), d0);
  d1 = f32x4.add(v128.load(s3, 16), d1);
  v128.store(s0, a0);
  v128.store(s0, a1, 16);
  v128.store(s1, b0);
  v128.store(s1, b1, 16);
  v128.store(s2, c0);
  v128.store(s2, c1, 16);
  v128.store(s3, d0);
  v128.store(s3, d1, 16);
}

/**
 * Values of `positions` positions, placed at `values` in eights of dimensions `stride` bytes apart,
 * times the weights of `count` queries, added to their sums of `padded` bytes. A query's weights
 * are `step` bytes apart.
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
): void {
  const last = count - 1;
  for (let d: usize = 0; d < padded; d += 32) {
    for (let i: u32 = 0; i < count; i += 4) {
      const j = min(i + 1, last);
      const k = min(i + 2, last);
      const l = min(i + 3, last);
      const y = sums + d;
      addTile(
        y + <usize>i * padded,
        y + <usize>j * padded,
        y + <usize>k * padded,
        y + <usize>l * padded,
        values,
        positions,
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
