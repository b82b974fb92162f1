// x *= sigmoid(g), or x *= silu(g) = g sigmoid(g): what a layer's output is gated by.

import { exp4, siluTimes } from "./lib/simd/lanes.simd";

// @ts-ignore: decorator
@inline function gated(x: v128, g: v128, silu: u32): v128 {
  if (silu) return siluTimes(g, x);
  return f32x4.div(x, f32x4.add(f32x4.splat(1.0), exp4(f32x4.neg(g))));
}

/** Elements [from, to) of x, by those of g. */
export function gate(from: u32, to: u32, thread: u32, x: usize, g: usize, silu: u32): void {
  let i = <usize>from * 4;
  const end = <usize>to * 4;
  for (; i + 16 <= end; i += 16) v128.store(x + i, gated(v128.load(x + i), v128.load(g + i), silu));
  for (; i < end; i += 4)
    v128.store32_lane(x + i, gated(v128.load32_zero(x + i), v128.load32_zero(g + i), silu), 0);
}
