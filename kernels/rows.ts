// y[i] = x[ids[i]]: the rows whose logits are wanted, or the tokens that chose an expert.

/** Rows [from, to) of y [n, D]; x [T, D]. */
export function rows(x: Float32Array, ids: Uint32Array, D: number, y: Float32Array, from: number, to: number): void {
  for (let i = from; i < to; i++) y.set(x.subarray(ids[i]! * D, (ids[i]! + 1) * D), i * D);
}
