// A depthwise causal convolution over positions, y_t = silu(Σ_j w_j x_(t - taps + 1 + j)); gated:
// of B ⊙ x, times C and without silu.

import { siluTimes } from "./lib/simd/lanes.simd";
import { read, RUN, write } from "./lib/simd/runs.simd";

/** Channels of a unit. */
// @ts-ignore: decorator
@inline const BLOCK: u32 = 64;

/** Row t of a run, of four channels or of one. */
// @ts-ignore: decorator
@inline function row(
  four: bool,
  t: i32,
  x: usize,
  rowBytes: usize,
  gated: u32,
  w: usize,
  before: i32,
  C: usize,
  state: usize,
  y: usize,
): void {
  let sum = f32x4.splat(0);
  for (let j: i32 = 0; j <= before; j++) {
    const at = input(four, x, rowBytes, gated, C, state, t - before + j, before);
    sum = f32x4.add(sum, f32x4.mul(read(four, w + <usize>j * C), at));
  }
  const out = gated
    ? f32x4.mul(sum, read(four, x + <usize>t * rowBytes + C))
    : siluTimes(sum, f32x4.splat(1.0));
  write(four, y + <usize>t * C, out);
}

/** Row t of the state (negative), or of the step. */
// @ts-ignore: decorator
@inline function input(
  four: bool,
  x: usize,
  rowBytes: usize,
  gated: u32,
  C: usize,
  state: usize,
  t: i32,
  before: i32,
): v128 {
  if (t < 0) return read(four, state + <usize>(t + before) * C);
  const at = x + <usize>t * rowBytes;
  const own = read(four, at);
  return gated ? f32x4.mul(own, read(four, at + 2 * C)) : own;
}

/**
 * Units [from, to): unit u is a block of channels of run u div blocks. x [T, C], gated: [T, 3 C],
 * B, C and x side by side; w [taps, C], the oldest row's first; `runs` [n, 4] u32; a state [taps -
 * 1, C] is updated; y [T, C].
 */
export function conv(
  from: u32,
  to: u32,
  thread: u32,
  x: usize,
  gated: u32,
  w: usize,
  taps: u32,
  C: u32,
  runs: usize,
  y: usize,
): void {
  const blocks = (C + BLOCK - 1) / BLOCK;
  const bytes = <usize>C * 4;
  const rowBytes = gated ? 3 * bytes : bytes;
  const before = <i32>taps - 1;
  for (let u = from; u < to; u++) {
    const run = runs + <usize>(u / blocks) * RUN;
    const first = <usize>load<u32>(run);
    const rows = <i32>load<u32>(run, 4);
    const state = <usize>load<u32>(run, 8);
    const fresh = load<u32>(run, 12) != 0;
    const own = x + first * rowBytes;
    const out = y + first * bytes;
    const begin = <usize>(u % blocks) * BLOCK * 4;
    const end = min(begin + BLOCK * 4, bytes);
    const fours = begin + ((end - begin) & ~15);
    for (let j = 0; fresh && j < before; j++) memory.fill(state + <usize>j * bytes + begin, 0, end - begin);
    // Row by row, so that a block's channels of a row are read together.
    for (let t: i32 = 0; t < rows; t++) {
      let c = begin;
      for (; c < fours; c += 16) row(true, t, own + c, rowBytes, gated, w + c, before, bytes, state + c, out + c);
      for (; c < end; c += 4) row(false, t, own + c, rowBytes, gated, w + c, before, bytes, state + c, out + c);
    }
    // Oldest first, so that no row is overwritten before it has moved.
    for (let j: i32 = 0; j < before; j++) {
      const to = state + <usize>j * bytes;
      for (let c = begin; c < end; c += 4)
        write(false, to + c, input(false, own + c, rowBytes, gated, bytes, state + c, rows - before + j, before));
    }
  }
}
