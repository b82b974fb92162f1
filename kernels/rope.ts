// Rotary position embedding, half-split: the pair (a, b) = (i, i + Dh/2) turns by position / theta^(2i/Dh).
//
// As transformers computes it: the inverse frequency and the angle are rounded to f32 before cos and sin.

/** cos then sin of each token's angles: [T, 2, Dh/2]. */
export function ropeTable(positions: Uint32Array, headDim: number, theta: number, into: Float32Array): void {
  const half = headDim / 2;
  for (let i = 0; i < half; i++) {
    const inverse = Math.fround(1 / Math.fround(theta ** Math.fround((2 * i) / headDim)));
    for (let t = 0; t < positions.length; t++) {
      const angle = Math.fround(positions[t]! * inverse);
      into[t * headDim + i] = Math.cos(angle);
      into[t * headDim + half + i] = Math.sin(angle);
    }
  }
}

/** Turns the first `heads` heads of rows [from, to) of x [T, width] in place; table as ropeTable makes it. */
export function rope(
  x: Float32Array,
  width: number,
  heads: number,
  headDim: number,
  table: Float32Array,
  from: number,
  to: number,
): void {
  const half = headDim / 2;
  for (let t = from; t < to; t++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < half; i++) {
        const cos = table[t * headDim + i]!;
        const sin = table[t * headDim + half + i]!;
        const at = t * width + h * headDim + i;
        const a = x[at]!;
        const b = x[at + half]!;
        x[at] = a * cos - b * sin;
        x[at + half] = b * cos + a * sin;
      }
}
