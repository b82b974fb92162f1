// q4_g64 for the SIMD kernels (lib/simd/planes.simd.ts).

export { BITS, level, LOW, NIBBLES, OFFSETS, offset4, P0, P3, pairs4, scale4, supers4 } from "../../lib/simd/affine.simd";
export { CENTER, column, EXACT, FUSED, HIGH, minimums16, other, scale32, scales16, SIXTEENS, SUPER, superOffset4, superScale4 } from "../../lib/simd/defaults.simd";
export { weights } from "../../lib/simd/unpack.simd";

export const P1: usize = 8;
export const P2: usize = 4;
export const INT8: bool = true;
/** 2^SHIFT groups of 32 columns share a scale and a zero point. */
export const SHIFT: usize = 1;
