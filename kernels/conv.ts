// A depthwise causal convolution over positions, y_t = silu(Σ_j w_j x_(t - taps + 1 + j)); gated:
// of B ⊙ x, times C and without silu.

/**
 * Channels [from, to) of all rows of one sequence, in order of position.
 * @param x [T, C]; gated: [T, 3 C], B, C and x side by side
 * @param w [taps, C], the oldest row's first
 * @param state [taps - 1, C]: the rows (gated: B ⊙ x) before these, oldest first; updated
 * @param into [T, C], not x
 */
export function conv(
  x: Float32Array,
  gated: boolean,
  w: Float32Array,
  taps: number,
  state: Float32Array,
  into: Float32Array,
  from: number,
  to: number,
): void {
  const channels = w.length / taps;
  const width = gated ? 3 * channels : channels;
  const rows = x.length / width;
  /** Row t of the state (negative), or of the step. */
  const at = (t: number, c: number): number => {
    if (t < 0) return state[(t + taps - 1) * channels + c]!;
    const own = x[t * width + c]!;
    return gated ? own * x[t * width + 2 * channels + c]! : own;
  };
  for (let c = from; c < to; c++) {
    for (let t = 0; t < rows; t++) {
      let sum = 0;
      for (let j = 0; j < taps; j++) sum += w[j * channels + c]! * at(t - taps + 1 + j, c);
      into[t * channels + c] = gated ? sum * x[t * width + channels + c]! : sum / (1 + Math.exp(-sum));
    }
    // Oldest first, so that no row is overwritten before it has moved.
    for (let j = 0; j < taps - 1; j++) state[j * channels + c] = at(rows - taps + 1 + j, c);
  }
}
