// x += y, the residual connection.

/** Elements [from, to). */
export function add(x: Float32Array, y: Float32Array, from: number, to: number): void {
  for (let i = from; i < to; i++) x[i] = x[i]! + y[i]!;
}
