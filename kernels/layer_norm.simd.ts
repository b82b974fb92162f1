// y = (x - mean(x)) / sqrt(mean((x - mean(x))²) + eps) * w + b, row by row. In f64 throughout, as
// the plain kernel.

import { highOf, lowOf, sumOf } from "./lib/simd/doubles.simd";

/** Rows [from, to) of y [T, D]; x [T, D], w and b [D]. y may be x. */
export function layerNorm(
  from: u32,
  to: u32,
  thread: u32,
  x: usize,
  w: usize,
  b: usize,
  eps: f64,
  D: u32,
  y: usize,
): void {
  const bytes = <usize>D * 4;
  const vectors = bytes & ~15; // bytes of whole vectors
  for (let t = from; t < to; t++) {
    const xp = x + <usize>t * bytes;
    const yp = y + <usize>t * bytes;
    let pair = f64x2.splat(0);
    let d: usize = 0;
    for (; d < vectors; d += 16) {
      const v = v128.load(xp + d);
      pair = f64x2.add(pair, f64x2.add(lowOf(v), highOf(v)));
    }
    let sum = sumOf(pair);
    for (; d < bytes; d += 4) sum += <f64>load<f32>(xp + d);
    const mean = sum / <f64>D;
    const means = f64x2.splat(mean);
    pair = f64x2.splat(0);
    for (d = 0; d < vectors; d += 16) {
      const v = v128.load(xp + d);
      const low = f64x2.sub(lowOf(v), means);
      const high = f64x2.sub(highOf(v), means);
      pair = f64x2.add(pair, f64x2.add(f64x2.mul(low, low), f64x2.mul(high, high)));
    }
    let squares = sumOf(pair);
    for (; d < bytes; d += 4) {
      const off = <f64>load<f32>(xp + d) - mean;
      squares += off * off;
    }
    const scale = 1 / sqrt<f64>(squares / <f64>D + eps);
    const scales = f64x2.splat(scale);
    for (d = 0; d < vectors; d += 16) {
      const v = v128.load(xp + d);
      const g = v128.load(w + d);
      const c = v128.load(b + d);
      const low = f64x2.add(f64x2.mul(f64x2.mul(f64x2.sub(lowOf(v), means), scales), lowOf(g)), lowOf(c));
      const high = f64x2.add(f64x2.mul(f64x2.mul(f64x2.sub(highOf(v), means), scales), highOf(g)), highOf(c));
      const pairs = v128.shuffle<i32>(f32x4.demote_f64x2_zero(low), f32x4.demote_f64x2_zero(high), 0, 1, 4, 5);
      v128.store(yp + d, pairs);
    }
    for (; d < bytes; d += 4) {
      const off = <f64>load<f32>(xp + d) - mean;
      store<f32>(yp + d, <f32>(off * scale * <f64>load<f32>(w + d) + <f64>load<f32>(b + d)));
    }
  }
}
