// y[i, c] = x[ids[i], order[c]]: rows with their columns in the order of a matrix's inputs.

/** Rows [from, to) of y [n, D]; x [T, D]. Without `ids` row i is row i. */
export function reorder(
  x: Float32Array,
  ids: Uint32Array | null,
  order: Uint32Array,
  y: Float32Array,
  from: number,
  to: number,
): void {
  const D = order.length;
  for (let i = from; i < to; i++) {
    const row = D * (ids ? ids[i]! : i);
    for (let c = 0; c < D; c++) y[i * D + c] = x[row + order[c]!]!;
  }
}
