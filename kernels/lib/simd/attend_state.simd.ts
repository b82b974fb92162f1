// What attention keeps of a query while it goes through the keys: scores become weights, and sums
// are rescaled when a larger score comes.

import { expOf } from "./exp.simd";
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
  const least = f32x4.splat(-Infinity);
  const rest = f32x4.splat(raw ? 4096 : 1); // of the 2^112 that queries did not get
  const gain = f32x4.splat(raw ? <f32>5.192296858534828e33 : 1); // 2^112, for raw values
  let peaks = least;
  for (let p = low; p < high; p += 4) {
    const at = scores + <usize>p * 4;
    let score = f32x4.mul(v128.load(at), rest);
    if (start + p < first || start + p + 4 > end) {
      const position = i32x4.add(i32x4.splat(start + p), i32x4(0, 1, 2, 3));
      const seen = v128.and(i32x4.ge_u(position, i32x4.splat(first)), i32x4.lt_u(position, i32x4.splat(end)));
      score = v128.bitselect(score, least, seen);
    }
    v128.store(at, score);
    peaks = f32x4.pmax(peaks, score);
  }
  const before = load<f32>(state, MAX);
  const peak = largest(f32x4.pmax(peaks, f32x4.splat(before)));
  let total = v128.load(state);
  if (before != peak) {
    const fade = exp4(f32x4.splat(before - peak));
    store<f32>(state, peak, MAX);
    total = f32x4.mul(total, fade);
    for (let d: usize = 0; d < padded; d += 16) v128.store(sums + d, f32x4.mul(v128.load(sums + d), fade));
  }
  const peakOfAll = f32x4.splat(peak);
  let p = low;
  for (; p + 4 < high; p += 8) {
    const at = scores + <usize>p * 4;
    const first = expOf(f32x4.sub(v128.load(at), peakOfAll), kept);
    const second = expOf(f32x4.sub(v128.load(at, 16), peakOfAll), kept);
    v128.store(at, f32x4.mul(first, gain));
    v128.store(at, f32x4.mul(second, gain), 16);
    total = f32x4.add(f32x4.add(total, first), second);
  }
  if (p < high) {
    const at = scores + <usize>p * 4;
    const weight = expOf(f32x4.sub(v128.load(at), peakOfAll), kept);
    v128.store(at, f32x4.mul(weight, gain));
    total = f32x4.add(total, weight);
  }
  v128.store(state, total);
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
