// y[i] = x[ids[i]]: the rows whose logits are wanted, or the tokens that chose an expert.

/** Rows [from, to) of y [n, D]; x [T, D], whatever its elements are: a row is `rowBytes` long. */
export function rows(from: u32, to: u32, thread: u32, x: usize, ids: usize, rowBytes: u32, y: usize): void {
  const bytes = <usize>rowBytes;
  for (let i = <usize>from; i < <usize>to; i++)
    memory.copy(y + i * bytes, x + <usize>load<u32>(ids + i * 4) * bytes, bytes);
}
