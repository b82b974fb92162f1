// RMS norms of q and k between projection and RoPE: run by run, x / sqrt(mean(x²) + eps) * w; a run
// is a head, or all heads.

import { rmsNorm } from "./rms_norm.ts";

/**
 * In rows [from, to) of x [T, width]: `runs` runs of w.length values from value `first` of a row
 * on, in place.
 */
export function qkNorm(
  x: Float32Array,
  width: number,
  first: number,
  runs: number,
  w: Float32Array,
  eps: number,
  from: number,
  to: number,
): void {
  for (let t = from; t < to; t++) {
    const at = t * width + first;
    const all = x.subarray(at, at + runs * w.length);
    rmsNorm(all, w, eps, all, 0, runs);
  }
}
