// What experts give, added to the rows of the tokens that chose them.

import { madd } from "./lib/simd/dot.simd";

/**
 * y[tokens[i]] += weights[i] * x[i] for i in [from, to): x [n, D], tokens and weights [n], y [T,
 * D]. Ranges that run at once must not share a token.
 */
export function addWeighted(
  from: u32,
  to: u32,
  thread: u32,
  y: usize,
  tokens: usize,
  weights: usize,
  x: usize,
  D: u32,
): void {
  const bytes = <usize>D * 4;
  for (let i = <usize>from; i < <usize>to; i++) {
    const row = y + <usize>load<u32>(tokens + i * 4) * bytes;
    const weight = load<f32>(weights + i * 4);
    const four = f32x4.splat(weight);
    const xp = x + i * bytes;
    let d: usize = 0;
    for (; d + 16 <= bytes; d += 16) v128.store(row + d, madd(v128.load(xp + d), four, v128.load(row + d)));
    for (; d < bytes; d += 4) store<f32>(row + d, load<f32>(row + d) + weight * load<f32>(xp + d));
  }
}
