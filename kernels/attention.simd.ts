// y = softmax(scale q kᵀ) v over a sequence's paged keys: online, grouped queries, sliding window.
//
// A tile of queries goes through the keys together: those of several tokens that follow one another
// in a sequence, or of several KV heads of one token, whose keys lie side by side. For many queries
// a block of keys or values is copied as f32 and meets four of them at a time
// (lib/simd/attend_block.simd.ts). For few, four positions meet two, and an f16 is only moved into
// place (lib/simd/attend.simd.ts). A NaN in f16 becomes a number. Keys in int8 meet queries in
// int16 (lib/simd/attend_q8.simd.ts). Positions are weighed in fours at multiples of four, the same
// for every tile: those of a four that a query does not see get the weight 0, and what no query of
// the tile sees is not read. So results do not depend on how the work was cut.

import { addEach, scoreEach } from "./lib/simd/attend.simd";
import { addMany, copyBytes, paddedBytes, PARTIAL, rowOf, scoreMany } from "./lib/simd/attend_block.simd";
import { copyRow } from "./lib/simd/attend_copy.simd";
import { addManyQ8, meetQ8, paddedQ8, query as queryQ8, rowBytes as rowBytesQ8 } from "./lib/simd/attend_q8.simd";
import { END, FIRST, finish, MAX, STATE, weigh } from "./lib/simd/attend_state.simd";
import { EXP_BYTES, keepExp } from "./lib/simd/exp.simd";

/**
 * Queries of a tile: the more, the fewer copies of a block; with their sums and scores those of
 * small heads fit in the first cache.
 */
const TILE: u32 = 64;

/** What rows of a cache are: f32, f16, q8, or q8 and rotated. */
const F16: u32 = 1;
const Q8: u32 = 2;
const ROTATED: u32 = 3;

/** Bytes of a query or a row as f32; and of sums, which q8 has of whole rows. */
// @ts-ignore: decorator
@inline function paddedKey(headDim: u32, kind: u32): usize {
  return kind >= Q8 ? paddedQ8(headDim) : paddedBytes(headDim);
}

// @ts-ignore: decorator
@inline function paddedSums(headDim: u32, valueDim: u32, kind: u32): usize {
  return kind >= Q8 ? paddedQ8(headDim) : paddedBytes(valueDim);
}

/** Bytes of a query's scores in one block, in whole eights. */
// @ts-ignore: decorator
@inline function scoreBytes(blockSize: u32): usize {
  return ((<usize>blockSize + 7) / 8) * 32;
}

/** Bytes of scratch that a thread needs. */
export function attentionScratch(
  blockSize: u32,
  heads: u32,
  kvHeads: u32,
  headDim: u32,
  valueDim: u32,
  kind: u32,
): u32 {
  const queries = <usize>max(TILE, heads / kvHeads);
  const key = paddedKey(headDim, kind);
  const value = paddedSums(headDim, valueDim, kind);
  const both = key + value;
  const copies = max(copyBytes(8, key), copyBytes(blockSize, value));
  return <u32>(queries * (both + STATE + scoreBytes(blockSize)) + 4 * both + copies + PARTIAL + EXP_BYTES);
}

/**
 * Unit u of [from, to): the queries that share KV head u mod Hkv, of token t = u / Hkv. q [H, Dh]
 * at row t of `width` floats, y [T, H, valueDim]. The token sees positions max(0, p + 1 - window)
 * .. p = positions[t] (window 0: all of them) of the blocks at the addresses in the u32 array at
 * address tables[t]: keys at keyOffset and values at valueOffset of a block, each [blockSize,
 * rowHeads, Dh] of a `kind` (f32, f16, q8, or q8 and rotated). rowHeads is Hkv; or 1 where all KV
 * heads are the same one and values, of which valueDim numbers count, may be a part of keys: in q8
 * they are the last numbers of the rows at valueOffset. `sinks` [H]: a logit a head that joins the
 * softmax and has no value; 0: none. `scratchBytes` at `scratch` a thread.
 */
export function attention(
  from: u32,
  to: u32,
  thread: u32,
  q: usize,
  width: u32,
  positions: usize,
  tables: usize,
  keyOffset: u32,
  valueOffset: u32,
  blockSize: u32,
  heads: u32,
  kvHeads: u32,
  headDim: u32,
  scale: f64,
  sinks: usize,
  window: u32,
  kind: u32,
  scratch: usize,
  scratchBytes: u32,
  y: usize,
  valueDim: u32,
  rowHeads: u32,
): void {
  const group = heads / kvHeads;
  const both = paddedKey(headDim, kind) + paddedSums(headDim, valueDim, kind);
  const own = scratch + <usize>thread * <usize>scratchBytes;
  // Padding of queries and rows is zero and stays so.
  if (both != <usize>(headDim + valueDim) * 4) memory.fill(own, 0, <usize>(max(TILE, group) + 4) * both);
  for (let u = from; u < to; ) {
    const t = u / kvHeads;
    const firstHead = u % kvHeads;
    // Either some KV heads of one token, or all of them of tokens that follow one another
    // in one sequence.
    const whole = firstHead == 0 ? (to - u) / kvHeads : 0;
    const tokens = whole > 1 ? run(positions, tables, t, whole) : 1;
    const endHead = whole > 0 ? kvHeads : min(kvHeads, firstHead + to - u);
    const tileTokens = min(tokens, max(1, TILE / group));
    const tileHeads = max(1, TILE / (tileTokens * group));
    for (let head = firstHead; head < endHead; head += tileHeads)
      for (let i: u32 = 0; i < tokens; i += tileTokens)
        attendTile(
          t + i,
          min(tileTokens, tokens - i),
          head,
          min(tileHeads, endHead - head),
          q,
          width,
          load<u32>(positions + <usize>(t + i) * 4),
          <usize>load<u32>(tables + <usize>t * 4),
          keyOffset,
          valueOffset,
          blockSize,
          group,
          kvHeads,
          headDim,
          scale,
          sinks,
          window,
          kind,
          own,
          y,
          valueDim,
          rowHeads,
        );
    u += whole > 0 ? tokens * kvHeads : endHead - firstHead;
  }
}

/** How many of `most` tokens from token t on follow one another in one sequence. */
function run(positions: usize, tables: usize, t: u32, most: u32): u32 {
  const at = <usize>t * 4;
  const table = load<u32>(tables + at);
  const position = load<u32>(positions + at);
  let n: u32 = 1;
  while (
    n < most &&
    load<u32>(tables + at + <usize>n * 4) == table &&
    load<u32>(positions + at + <usize>n * 4) == position + n
  )
    n++;
  return n;
}

/**
 * `count` KV heads of `tokens` tokens, the first of which is t at `position`. Queries lie [KV head,
 * token, head].
 */
function attendTile(
  t: u32,
  tokens: u32,
  kvHead: u32,
  count: u32,
  q: usize,
  width: u32,
  position: u32,
  table: usize,
  keyOffset: u32,
  valueOffset: u32,
  blockSize: u32,
  group: u32,
  kvHeads: u32,
  headDim: u32,
  scale: f64,
  sinks: usize,
  window: u32,
  kind: u32,
  queries: usize,
  y: usize,
  valueDim: u32,
  rowHeads: u32,
): void {
  const q8 = kind >= Q8;
  const half = u32(kind == F16);
  const padded = paddedKey(headDim, kind);
  const paddedValue = paddedSums(headDim, valueDim, kind);
  const most = <usize>max(TILE, group);
  const sums = queries + most * padded;
  const rows = sums + most * paddedValue;
  const valueRows = valueDim == headDim ? rows : rows + 4 * padded;
  const states = rows + 4 * (padded + paddedValue);
  const scores = states + most * STATE;
  const headBytes = <usize>headDim * 4;
  const valueBytes = <usize>valueDim * 4;
  const skipped = q8 ? headBytes - valueBytes : 0;
  const each = tokens * group; // queries of a KV head
  const total = count * each;
  const rowBytes = q8 ? rowBytesQ8(headDim) : half ? headBytes / 2 : headBytes;
  const stride = <usize>rowHeads * rowBytes;
  const headStride = rowHeads == kvHeads ? rowBytes : 0; // from one KV head to the next
  const many = !q8 && each > (half ? 4 : 8);
  const manyValues = q8 ? each > 2 : many;
  const copied = many || headBytes != padded || valueBytes != paddedValue;
  const raw = half != 0 && !copied;
  const step = scoreBytes(blockSize);
  const kept = scores + most * step;
  const copy = kept + EXP_BYTES;
  keepExp(kept);
  for (let i: u32 = 0; i < total; i++) {
    const token = (i % each) / group;
    const head = (kvHead + i / each) * group + (i % group);
    const state = states + <usize>i * STATE;
    const end = position + token + 1;
    v128.store(state, f32x4.splat(0));
    store<f32>(state, -Infinity, MAX);
    if (sinks != 0) {
      store<f32>(state, 1); // a sink is what the softmax has seen before the first key
      store<f32>(state, load<f32>(sinks + <usize>head * 4), MAX);
    }
    store<u32>(state, window != 0 && end > window ? end - window : 0, FIRST);
    store<u32>(state, end, END);
    const from = q + <usize>(t + token) * <usize>width * 4 + <usize>head * headBytes;
    if (q8) queryQ8(from, headDim, scale, kind == ROTATED, queries + <usize>i * padded);
    else scaled(from, headDim, scale, raw, queries + <usize>i * padded);
    memory.fill(sums + <usize>i * paddedValue, 0, paddedValue);
  }
  const low = load<u32>(states, FIRST);
  const high = position + tokens;
  for (let block = low / blockSize; block * blockSize < high; block++) {
    const start = block * blockSize;
    const begin = max(low, start) - start;
    const end = min(high - start, blockSize);
    const seen = <i32>position + 1 - <i32>start; // of the block's positions by the first token
    const base = <usize>load<u32>(table + <usize>block * 4) + <usize>kvHead * headStride;
    const keys = base + <usize>keyOffset;
    const values = base + <usize>valueOffset;
    for (let h: u32 = 0; many && h < count; h++) {
      const i = <usize>(h * each);
      const plane = keys + <usize>h * headStride;
      const into = scores + i * step;
      scoreMany(plane, stride, begin, end, headDim, half, rows, each, queries + i * padded, into, step, copy, seen, group);
    }
    for (let p = many ? end : begin & ~3; p < end; p += 4)
      for (let h: u32 = 0; h < count; h++) {
        const i = <usize>(h * each);
        const into = scores + i * step + <usize>p * 4;
        const plane = keys + <usize>h * headStride;
        const query = queries + i * padded;
        if (q8) meetQ8(false, plane, stride, p, begin, end, headDim, rows, each, query, padded, into, step);
        else meet(false, plane, stride, p, begin, end, headDim, half, copied, rows, each, query, into, step);
      }
    for (let i: usize = 0; i < <usize>total; i++) {
      const own = scores + i * step;
      weigh(states + i * STATE, sums + i * paddedValue, paddedValue, own, start, begin & ~3, end, raw, kept);
    }
    for (let h: u32 = 0; manyValues && h < count; h++) {
      const i = <usize>(h * each);
      const plane = values + <usize>h * headStride;
      const at = sums + i * paddedValue;
      const own = scores + i * step;
      if (q8) addManyQ8(plane, stride, begin, end, headDim, each, at, own, step, copy, seen, group);
      else addMany(plane, stride, begin, end, valueDim, half, valueRows, each, at, own, step, copy, seen, group);
    }
    for (let p = manyValues ? end : begin & ~3; p < end; p += 4)
      for (let h: u32 = 0; h < count; h++) {
        const i = <usize>(h * each);
        const weights = scores + i * step + <usize>p * 4;
        const plane = values + <usize>h * headStride;
        const at = sums + i * paddedValue;
        if (q8) meetQ8(true, plane, stride, p, begin, end, headDim, rows, each, at, paddedValue, weights, step);
        else meet(true, plane, stride, p, begin, end, valueDim, half, copied, valueRows, each, at, weights, step);
      }
  }
  for (let i: u32 = 0; i < total; i++) {
    const token = (i % each) / group;
    const head = (kvHead + i / each) * group + (i % group);
    const into = y + (<usize>(t + token) * <usize>(group * kvHeads) + <usize>head) * valueBytes;
    finish(states + <usize>i * STATE, sums + <usize>i * paddedValue + skipped, into, valueDim);
  }
}

/**
 * Positions p .. p + 3 of one KV head meet its `count` queries: keys write scores at `scores` from
 * queries at `at`, values are added to the sums at `at` by the weights at `scores`. One function
 * for both, and called twice, so that the optimizer leaves it one: as a part of its caller its
 * loops would run short of registers.
 */
function meet(
  values: bool,
  plane: usize,
  stride: usize,
  p: u32,
  begin: u32,
  end: u32,
  headDim: u32,
  half: u32,
  copied: bool,
  rows: usize,
  count: u32,
  at: usize,
  scores: usize,
  step: usize,
): void {
  const padded = paddedBytes(headDim);
  let r0 = rowOf(plane, stride, p, begin, end);
  let r1 = rowOf(plane, stride, p + 1, begin, end);
  let r2 = rowOf(plane, stride, p + 2, begin, end);
  let r3 = rowOf(plane, stride, p + 3, begin, end);
  if (copied) {
    r0 = copyRow(r0, headDim, half, rows);
    r1 = copyRow(r1, headDim, half, rows + padded);
    r2 = copyRow(r2, headDim, half, rows + 2 * padded);
    r3 = copyRow(r3, headDim, half, rows + 3 * padded);
  }
  if (half && !copied) {
    if (values) addEach(count, at, scores, step, r0, r1, r2, r3, padded, true);
    else scoreEach(count, at, r0, r1, r2, r3, padded, scores, step, true);
  } else {
    if (values) addEach(count, at, scores, step, r0, r1, r2, r3, padded, false);
    else scoreEach(count, at, r0, r1, r2, r3, padded, scores, step, false);
  }
}

/** A query's own values times `scale`, and times 2^100 for raw keys, which are 2^112 too small. */
function scaled(q: usize, headDim: u32, scale: f64, raw: bool, into: usize): void {
  const factor = <f32>((raw ? 1.2676506002282294e30 : 1) * scale);
  const bytes = <usize>headDim * 4;
  let d: usize = 0;
  for (; d + 16 <= bytes; d += 16) v128.store(into + d, f32x4.mul(v128.load(q + d), f32x4.splat(factor)));
  for (; d < bytes; d += 4) store<f32>(into + d, load<f32>(q + d) * factor);
}
