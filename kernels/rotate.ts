// x := R x, R a Hadamard transform of falling powers of two: it spreads what stands out.

/**
 * Rotates `size` values of x at `at`, in place: blocks of the powers of two that add up to `size`,
 * the largest first (80 = 64 + 16), each by its Hadamard matrix over the root of its size. That is
 * its own inverse, and products of two rotated vectors are those of the vectors.
 */
export function rotate(x: Float32Array | Float64Array, at: number, size: number): void {
  for (let rest = size; rest > 0; ) {
    const block = 2 ** Math.floor(Math.log2(rest));
    for (let half = 1; half < block; half *= 2)
      for (let i = 0; i < block; i++) {
        if ((i & half) !== 0) continue;
        const a = x[at + i]!;
        const b = x[at + i + half]!;
        x[at + i] = a + b;
        x[at + i + half] = a - b;
      }
    const factor = 1 / Math.sqrt(block);
    for (let i = 0; i < block; i++) x[at + i] = x[at + i]! * factor;
    at += block;
    rest -= block;
  }
}
