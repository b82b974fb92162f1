// x *= sigmoid(g), or x *= silu(g) = g sigmoid(g): what a layer's output is gated by.

/** Elements [from, to) of x, by those of g. */
export function gate(x: Float32Array, g: Float32Array, silu: boolean, from: number, to: number): void {
  for (let i = from; i < to; i++) {
    const open = 1 / (1 + Math.exp(-g[i]!));
    x[i] = x[i]! * (silu ? g[i]! * open : open);
  }
}
