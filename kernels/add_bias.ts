// y += b in every row: the bias of a product.

/** In rows [from, to) of y [T, width]: the values from `first` on get bias [N] added. */
export function addBias(
  y: Float32Array,
  width: number,
  first: number,
  bias: Float32Array,
  from: number,
  to: number,
): void {
  for (let t = from; t < to; t++) for (let n = 0; n < bias.length; n++) y[t * width + first + n]! += bias[n]!;
}
