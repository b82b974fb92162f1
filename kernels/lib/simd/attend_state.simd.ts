// What attention keeps of a query while it goes through the keys: scores become weights, and sums
// are rescaled when a larger score comes.

import { expKept } from "./exp.simd";
import { exp4, sumOf } from "./lanes.simd";

/** Bytes of a query's state: total (a v128, to be summed), max (f32), first and end (u32). */
export const STATE: usize = 32;
export const MAX: usize = 16;
export const FIRST: usize = 20;
export const END: usize = 24;

/**
 * Scores of one query become weights exp(score - max), 0 where it does not look; a larger max
 * rescales its sums.
 */
export function weigh(
  state: usize,
  sums: usize,
  padded: usize,
  scores: usize,
  start: u32,
  low: u32,
  high: u32,
  raw: bool,
  kept: usize,
): void {
  const first = load<u32>(state, FIRST);
  const end = min(load<u32>(state, END), start + high);
  if (end <= start + low || first >= start + high) {
    memory.fill(scores + <usize>low * 4, 0, <usize>(((high + 3) & ~3) - low) * 4);
    return;
  }
  const from = scores + <usize>low * 4;
  const to = scores + <usize>((high + 3) & ~3) * 4;
  const whole = first <= start + low && end >= start + ((high + 3) & ~3);
  const peaks = whole && !raw ? largestOf(from, to) : masked(from, to, start + low, first, end, raw);
  const before = load<f32>(state, MAX);
  const peak = largest(f32x4.pmax(peaks, f32x4.splat(before)));
  let total = v128.load(state);
  if (before != peak) {
    const fade = exp4(f32x4.splat(before - peak));
    store<f32>(state, peak, MAX);
    total = f32x4.mul(total, fade);
    for (let d: usize = 0; d < padded; d += 16) v128.store(sums + d, f32x4.mul(v128.load(sums + d), fade));
  }
  v128.store(state, raw ? rawWeights(from, to, peak, total, kept) : weights(from, to, peak, total, kept));
}

/** The largest of the scores from `at` to `to`, lane by lane. */
// @ts-ignore: decorator
@inline function largestOf(at: usize, to: usize): v128 {
  let peaks = f32x4.splat(-Infinity);
  for (; at < to; at += 16) peaks = f32x4.pmax(peaks, v128.load(at));
  return peaks;
}

/** The same; the scores of positions that the query does not see become -Infinity. */
function masked(at: usize, to: usize, position: u32, first: u32, end: u32, raw: bool): v128 {
  const least = f32x4.splat(-Infinity);
  const rest = f32x4.splat(raw ? 4096 : 1); // of the 2^112 that queries did not get
  let peaks = least;
  for (; at < to; at += 16) {
    let score = f32x4.mul(v128.load(at), rest);
    if (position < first || position + 4 > end) {
      const positions = i32x4.add(i32x4.splat(position), i32x4(0, 1, 2, 3));
      const seen = v128.and(i32x4.ge_u(positions, i32x4.splat(first)), i32x4.lt_u(positions, i32x4.splat(end)));
      score = v128.bitselect(score, least, seen);
    }
    v128.store(at, score);
    peaks = f32x4.pmax(peaks, score);
    position += 4;
  }
  return peaks;
}

/**
 * Scores from `at` to `to` become exp(score - peak), times 2^112 for raw values (a constant).
 * Returns `total` and their sum, lane by lane.
 */
// @ts-ignore: decorator
@inline function exps(at: usize, to: usize, peak: f32, total: v128, kept: usize, raw: bool): v128 {
  const peaks = f32x4.splat(peak);
  const gain = f32x4.splat(<f32>5.192296858534828e33);
  for (; at + 16 < to; at += 32) {
    const first = expKept(f32x4.sub(v128.load(at), peaks), kept);
    const second = expKept(f32x4.sub(v128.load(at, 16), peaks), kept);
    v128.store(at, raw ? f32x4.mul(first, gain) : first);
    v128.store(at, raw ? f32x4.mul(second, gain) : second, 16);
    total = f32x4.add(f32x4.add(total, first), second);
  }
  if (at < to) {
    const weight = expKept(f32x4.sub(v128.load(at), peaks), kept);
    v128.store(at, raw ? f32x4.mul(weight, gain) : weight);
    total = f32x4.add(total, weight);
  }
  return total;
}

function weights(at: usize, to: usize, peak: f32, total: v128, kept: usize): v128 {
  return exps(at, to, peak, total, kept, false);
}

function rawWeights(at: usize, to: usize, peak: f32, total: v128, kept: usize): v128 {
  return exps(at, to, peak, total, kept, true);
}

/** The largest of four lanes, without a branch. */
// @ts-ignore: decorator
@inline function largest(v: v128): f32 {
  const two = f32x4.pmax(v, v128.shuffle<i32>(v, v, 2, 3, 0, 1));
  return f32x4.extract_lane(f32x4.pmax(two, v128.shuffle<i32>(two, two, 1, 0, 3, 2)), 0);
}

/** y = sums / total. */
export function finish(state: usize, sums: usize, y: usize, headDim: u32): void {
  const total = sumOf(v128.load(state));
  const end = <usize>headDim * 4;
  let d: usize = 0;
  for (; d + 16 <= end; d += 16) v128.store(y + d, f32x4.div(v128.load(sums + d), f32x4.splat(total)));
  for (; d < end; d += 4) store<f32>(y + d, load<f32>(sums + d) / total);
}
