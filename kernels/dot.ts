// Dot products of f32 rows, the inner loops that several kernels share; sums in f64.

/** Σ a[i] b[i] over n values. */
export function dot(a: Float32Array, aAt: number, b: Float32Array, bAt: number, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += a[aAt + i]! * b[bAt + i]!;
  return sum;
}

/** One token by four rows: y[0..3]. Four independent sums hide the latency of an addition. */
export function tile1x4(
  x: Float32Array,
  xAt: number,
  w: Float32Array,
  wAt: number,
  stride: number,
  D: number,
  y: Float32Array,
  yAt: number,
): void {
  const w1 = wAt + stride;
  const w2 = w1 + stride;
  const w3 = w2 + stride;
  let y0 = 0;
  let y1 = 0;
  let y2 = 0;
  let y3 = 0;
  for (let d = 0; d < D; d++) {
    const a = x[xAt + d]!;
    y0 += a * w[wAt + d]!;
    y1 += a * w[w1 + d]!;
    y2 += a * w[w2 + d]!;
    y3 += a * w[w3 + d]!;
  }
  y[yAt] = y0;
  y[yAt + 1] = y1;
  y[yAt + 2] = y2;
  y[yAt + 3] = y3;
}
