// y = (x - mean(x)) / sqrt(mean((x - mean(x))²) + eps) * w + b, row by row.

/** Rows [from, to) of y [T, D]; x [T, D], w and b [D]. y may be x. */
export function layerNorm(
  x: Float32Array,
  w: Float32Array,
  b: Float32Array,
  eps: number,
  y: Float32Array,
  from: number,
  to: number,
): void {
  const D = w.length;
  for (let t = from; t < to; t++) {
    const at = t * D;
    let sum = 0;
    for (let d = 0; d < D; d++) sum += x[at + d]!;
    const mean = sum / D;
    let squares = 0;
    for (let d = 0; d < D; d++) squares += (x[at + d]! - mean) ** 2;
    const scale = 1 / Math.sqrt(squares / D + eps);
    for (let d = 0; d < D; d++) y[at + d] = (x[at + d]! - mean) * scale * w[d]! + b[d]!;
  }
}
