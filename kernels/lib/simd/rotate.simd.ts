// The Hadamard transform of a head, in place (plain: rotate.ts).

/** Rotates `size` f32 at x: blocks of the powers of two that add up to it, the largest first. */
export function rotate(x: usize, size: u32): void {
  while (size > 0) {
    const block: u32 = 1 << (31 - clz(size));
    if (block < 4) rotateFew(x, block);
    else rotateFours(x, block);
    x += <usize>block * 4;
    size -= block;
  }
}

/** One value or two. */
// @ts-ignore: decorator
@inline function rotateFew(x: usize, block: u32): void {
  if (block == 1) return;
  const root = <f32>0.7071067811865476;
  const a = load<f32>(x);
  const b = load<f32>(x, 4);
  store<f32>(x, (a + b) * root);
  store<f32>(x, (a - b) * root, 4);
}

function rotateFours(x: usize, block: u32): void {
  const end = x + <usize>block * 4;
  const factor = f32x4.splat(<f32>(1 / sqrt<f64>(<f64>block)));
  const odd = f32x4(1, -1, 1, -1);
  const late = f32x4(1, 1, -1, -1);
  for (let p = x; p < end; p += 16) {
    let v = f32x4.mul(v128.load(p), factor);
    v = f32x4.add(v128.shuffle<i32>(v, v, 1, 0, 3, 2), f32x4.mul(v, odd));
    v = f32x4.add(v128.shuffle<i32>(v, v, 2, 3, 0, 1), f32x4.mul(v, late));
    v128.store(p, v);
  }
  for (let half: usize = 16; half < end - x; half *= 2)
    for (let first = x; first < end; first += 2 * half)
      for (let p = first; p < first + half; p += 16) {
        const a = v128.load(p);
        const b = v128.load(p + half);
        v128.store(p, f32x4.add(a, b));
        v128.store(p + half, f32x4.sub(a, b));
      }
}
