// The inner product of f32 rows that several kernels share.

/** Σ a[i] b[i] over n values; the sum in f64. */
export function dot(a: Float32Array, aAt: number, b: Float32Array, bAt: number, n: number): number {
  let sum = 0;
  for (let i = 0; i < n; i++) sum += a[aAt + i]! * b[bAt + i]!;
  return sum;
}
