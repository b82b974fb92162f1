// f32 for the SIMD kernels (lib/simd/planes.simd.ts): an element is one column, the weights lie as
// they are taken.

export { BITS, CENTER, column, EXACT, FUSED, HIGH, INT8, level, LOW, minimums16, NIBBLES, offset4, OFFSETS, other, pairs4, scale32, scale4, scales16, SIXTEENS, SUPER, superOffset4, supers4, superScale4 } from "../../lib/simd/defaults.simd";

export const P0: usize = 1024;
export const P1: usize = 0;
export const P2: usize = 0;
export const P3: usize = 0;

// @ts-ignore: decorator
@inline export function weights(p0: usize, p1: usize, p2: usize, p3: usize, g: usize, out: usize): usize {
  return p0 + g * P0;
}

export function splitGroup(block: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  memory.copy(p0, block, P0 / 8);
}
