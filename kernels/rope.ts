// Rotary position embedding, half-split: of a head's first rd dimensions the pair (a, b) = (i, i +
// rd/2) turns by position * inverse[i].
//
// As transformers computes it: the inverse frequency and the angle are rounded to f32 before cos
// and sin.

/** What turns, and how fast: `inverse` [rd/2], in f32; cos and sin are multiplied by `factor`. */
export interface Frequencies {
  readonly inverse: Float64Array;
  readonly factor: number;
}

/** cos then sin of each token's angles: [T, 2, rd/2]. */
export function ropeTable(positions: Uint32Array, { inverse, factor }: Frequencies, into: Float32Array): void {
  const pairs = inverse.length;
  for (let i = 0; i < pairs; i++)
    for (let t = 0; t < positions.length; t++) {
      const angle = Math.fround(positions[t]! * inverse[i]!);
      into[2 * t * pairs + i] = Math.fround(Math.cos(angle)) * factor;
      into[(2 * t + 1) * pairs + i] = Math.fround(Math.sin(angle)) * factor;
    }
}

/** Row `row` of a table for WGSL, cos and sin side by side: [rows, rd/2, 2]. */
export function ropeTurns(position: number, { inverse, factor }: Frequencies, into: Float32Array, row: number): void {
  const pairs = inverse.length;
  for (let i = 0; i < pairs; i++) {
    const angle = Math.fround(position * inverse[i]!);
    into[(row * pairs + i) * 2] = Math.fround(Math.cos(angle)) * factor;
    into[(row * pairs + i) * 2 + 1] = Math.fround(Math.sin(angle)) * factor;
  }
}

/**
 * Turns the first `heads` heads of `headDim` of rows [from, to) of x [T, width] in place; `table`
 * as ropeTable makes it, for `pairs` = rd/2. A head's dimensions from rd on stay.
 */
export function rope(
  x: Float32Array,
  width: number,
  heads: number,
  headDim: number,
  pairs: number,
  table: Float32Array,
  from: number,
  to: number,
): void {
  for (let t = from; t < to; t++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < pairs; i++) {
        const cos = table[2 * t * pairs + i]!;
        const sin = table[(2 * t + 1) * pairs + i]!;
        const at = t * width + h * headDim + i;
        const a = x[at]!;
        const b = x[at + pairs]!;
        x[at] = a * cos - b * sin;
        x[at + pairs] = b * cos + a * sin;
      }
}
