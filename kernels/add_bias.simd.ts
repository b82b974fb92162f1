// y += b in every row: the bias of a product.

/** In rows [from, to) of y [T, width]: the values from `first` on get bias [N] added. */
export function addBias(
  from: u32,
  to: u32,
  thread: u32,
  y: usize,
  width: u32,
  first: u32,
  bias: usize,
  N: u32,
): void {
  const bytes = <usize>N * 4;
  for (let t = from; t < to; t++) {
    const at = y + (<usize>t * <usize>width + <usize>first) * 4;
    let i: usize = 0;
    for (; i + 16 <= bytes; i += 16) v128.store(at + i, f32x4.add(v128.load(at + i), v128.load(bias + i)));
    for (; i < bytes; i += 4) store<f32>(at + i, load<f32>(at + i) + load<f32>(bias + i));
  }
}
