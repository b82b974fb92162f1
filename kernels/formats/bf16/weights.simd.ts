// bf16 for the SIMD kernels (lib/simd/planes.simd.ts): an element is two columns.

export { BITS, CENTER, EXACT, HIGH, INT8, level, LOW, minimums16, NIBBLES, offset4, OFFSETS, other, pairs4, scale32, scale4, scales16, SIXTEENS, SUPER, superOffset4, supers4, superScale4 } from "../../lib/simd/defaults.simd";

export const P0: usize = 512;
export const P1: usize = 0;
export const P2: usize = 0;
export const P3: usize = 0;
export const FUSED: bool = true;

export function weights(p0: usize, p1: usize, p2: usize, p3: usize, g: usize, out: usize): usize {
  const end = out + 1024;
  for (let w = p0 + g * P0, to = out; to < end; w += 32, to += 64) {
    const low = v128.load(w);
    const high = v128.load(w, 16);
    v128.store(to, column(low, 0));
    v128.store(to, column(high, 0), 16);
    v128.store(to, column(low, 1), 32);
    v128.store(to, column(high, 1), 48);
  }
  return out;
}

/** Column i of four rows' words. */
// @ts-ignore: decorator
@inline export function column(w: v128, i: i32): v128 {
  return i == 0 ? i32x4.shl(w, 16) : v128.and(w, i32x4.splat(0xffff0000));
}

export function splitGroup(block: usize, p0: usize, p1: usize, p2: usize, p3: usize): void {
  memory.copy(p0, block, 64);
}
