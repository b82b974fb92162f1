// y = x / sqrt(mean(x²) + eps) * w, row by row.

/** Rows [from, to) of y [T, D]; x [T, D], w [D]. y may be x. */
export function rmsNorm(
  x: Float32Array,
  w: Float32Array,
  eps: number,
  y: Float32Array,
  from: number,
  to: number,
): void {
  const D = w.length;
  for (let t = from; t < to; t++) {
    const at = t * D;
    let sum = 0;
    for (let d = 0; d < D; d++) sum += x[at + d]! * x[at + d]!;
    const scale = 1 / Math.sqrt(sum / D + eps);
    for (let d = 0; d < D; d++) y[at + d] = x[at + d]! * scale * w[d]!;
  }
}
