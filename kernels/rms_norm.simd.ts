// y = x / sqrt(mean(x²) + eps) * w, row by row. In f64 throughout, as the plain kernel: no square
// leaves its range.

import { highOf, lowOf, sumOf } from "./lib/simd/doubles.simd";

/** Rows [from, to) of y [T, D]; x [T, D], w [D]. y may be x. */
export function rmsNorm(from: u32, to: u32, thread: u32, x: usize, w: usize, eps: f64, D: u32, y: usize): void {
  const bytes = <usize>D * 4;
  const vectors = bytes & ~15; // bytes of whole vectors
  for (let t = from; t < to; t++) {
    const xp = x + <usize>t * bytes;
    const yp = y + <usize>t * bytes;
    let low = f64x2.splat(0);
    let high = f64x2.splat(0);
    let d: usize = 0;
    for (; d < vectors; d += 16) {
      const v = v128.load(xp + d);
      const a = lowOf(v);
      const b = highOf(v);
      low = f64x2.add(low, f64x2.mul(a, a));
      high = f64x2.add(high, f64x2.mul(b, b));
    }
    let sum = sumOf(f64x2.add(low, high));
    for (; d < bytes; d += 4) sum += <f64>load<f32>(xp + d) * <f64>load<f32>(xp + d);
    const scale = 1 / sqrt<f64>(sum / <f64>D + eps);
    const scales = f64x2.splat(scale);
    for (d = 0; d < vectors; d += 16) {
      const v = v128.load(xp + d);
      const g = v128.load(w + d);
      const a = f32x4.demote_f64x2_zero(f64x2.mul(f64x2.mul(lowOf(v), scales), lowOf(g)));
      const b = f32x4.demote_f64x2_zero(f64x2.mul(f64x2.mul(highOf(v), scales), highOf(g)));
      v128.store(yp + d, v128.shuffle<i32>(a, b, 0, 1, 4, 5));
    }
    for (; d < bytes; d += 4) store<f32>(yp + d, <f32>(<f64>load<f32>(xp + d) * scale * <f64>load<f32>(w + d)));
  }
}
