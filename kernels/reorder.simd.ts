// y[i, c] = x[ids[i], order[c]]: rows with their columns in the order of a matrix's inputs.

/** Rows [from, to) of y [n, D]; x [T, D], f32. Without `ids` (0) row i is row i. */
export function reorder(from: u32, to: u32, thread: u32, x: usize, ids: usize, order: usize, D: u32, y: usize): void {
  const bytes = <usize>D * 4;
  for (let i = <usize>from; i < <usize>to; i++) {
    const row = x + (ids === 0 ? i : <usize>load<u32>(ids + i * 4)) * bytes;
    const end = y + (i + 1) * bytes;
    let at = order;
    for (let out = y + i * bytes; out < end; out += 4, at += 4)
      store<u32>(out, load<u32>(row + <usize>load<u32>(at) * 4));
  }
}
