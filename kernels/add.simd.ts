// x += y, the residual connection.

/** Elements [from, to). */
export function add(from: u32, to: u32, thread: u32, x: usize, y: usize): void {
  let i = <usize>from * 4;
  const end = <usize>to * 4;
  for (; i + 16 <= end; i += 16) v128.store(x + i, f32x4.add(v128.load(x + i), v128.load(y + i)));
  for (; i < end; i += 4) store<f32>(x + i, load<f32>(x + i) + load<f32>(y + i));
}
