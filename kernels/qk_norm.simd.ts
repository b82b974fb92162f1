// RMS norms of q and k between projection and RoPE: run by run, x / sqrt(mean(x²) + eps) * w; a run
// is a head, or all heads.

import { rmsNorm } from "./rms_norm.simd";

/**
 * In rows [from, to) of x [T, width]: `runs` runs of D values from value `first` of a row on, in
 * place; w [D].
 */
export function qkNorm(
  from: u32,
  to: u32,
  thread: u32,
  x: usize,
  width: u32,
  first: u32,
  runs: u32,
  w: usize,
  eps: f64,
  D: u32,
): void {
  for (let t = from; t < to; t++) {
    const at = x + (<usize>t * <usize>width + <usize>first) * 4;
    rmsNorm(0, runs, thread, at, w, eps, D, at);
  }
}
