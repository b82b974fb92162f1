// Rotary position embedding, half-split: (a, b) -> (a cos - b sin, b cos + a sin), a = x[i], b =
// x[i + rd/2].

import { madd } from "./lib/simd/dot.simd";

/**
 * Turns the first `heads` heads of `headDim` of rows [from, to) of x [T, width] in place; table [T,
 * 2, pairs]: cos, then sin. A head's dimensions from 2 `pairs` on stay.
 */
export function rope(
  from: u32,
  to: u32,
  thread: u32,
  x: usize,
  width: u32,
  heads: u32,
  headDim: u32,
  pairs: u32,
  table: usize,
): void {
  const half = <usize>pairs * 4;
  const vectors = half & ~15; // bytes of whole vectors
  for (let t = from; t < to; t++) {
    const cosines = table + <usize>t * 2 * half;
    const sines = cosines + half;
    let a = x + <usize>t * <usize>width * 4;
    for (let h: u32 = 0; h < heads; h++) {
      const b = a + half;
      let i: usize = 0;
      for (; i < vectors; i += 16) {
        const cos = v128.load(cosines + i);
        const sin = v128.load(sines + i);
        const va = v128.load(a + i);
        const vb = v128.load(b + i);
        v128.store(a + i, madd(f32x4.neg(vb), sin, f32x4.mul(va, cos)));
        v128.store(b + i, madd(va, sin, f32x4.mul(vb, cos)));
      }
      for (; i < half; i += 4) {
        const cos = load<f32>(cosines + i);
        const sin = load<f32>(sines + i);
        const va = load<f32>(a + i);
        const vb = load<f32>(b + i);
        store<f32>(a + i, va * cos - vb * sin);
        store<f32>(b + i, vb * cos + va * sin);
      }
      a += <usize>headDim * 4;
    }
  }
}
