// y[t,:] *= sigmoid(gate[t])

/** Rows y [T, D] by the sigmoids of gate [T], which are what a gate's products are. */
export function scaleRows(y: Float32Array, D: number, gate: Float32Array): void {
  for (const [t, logit] of gate.entries()) {
    const share = 1 / (1 + Math.exp(-logit));
    for (let i = t * D; i < (t + 1) * D; i++) y[i]! *= share;
  }
}
