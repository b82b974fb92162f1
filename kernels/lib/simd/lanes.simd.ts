// Small operations on the lanes of a vector that several SIMD kernels share.

import { madd } from "./dot.simd";
import { expOf } from "./exp.simd";

/** Four f16 at p as f32. Finite values only: weights are, and keys and values that are not NaN. */
// @ts-ignore: decorator
@inline export function halves(p: usize): v128 {
  return f32x4.mul(smallHalves(p), f32x4.splat(<f32>5.192296858534828e33));
}

/**
 * Four f16 at p as f32 / 2^112: their bits moved to where f32 has them, the exponent's bias left as
 * it is.
 */
// @ts-ignore: decorator
@inline export function smallHalves(p: usize): v128 {
  return v128.and(i32x4.shl(v128.load16x4_s(p) as v128, 13), i32x4.splat(0x8fffffff));
}

/** The f16 of these bits as f32, whatever it is. */
// @ts-ignore: decorator
@inline export function half(bits: u32): f32 {
  const sign = (bits & 0x8000) << 16;
  const magnitude = (bits & 0x7fff) << 13;
  if (magnitude < 0x0f800000) return reinterpret<f32>(sign | magnitude) * <f32>5.192296858534828e33;
  return magnitude > 0x0f800000 ? reinterpret<f32>(0x7fc00000) : reinterpret<f32>(sign | 0x7f800000);
}

/** The sum of four f32 lanes. */
// @ts-ignore: decorator
@inline export function sumOf(v: v128): f32 {
  const two = f32x4.add(v, v128.shuffle<i32>(v, v, 2, 3, 2, 3));
  return f32x4.extract_lane(two, 0) + f32x4.extract_lane(two, 1);
}

/** exp of four f32 (exp.simd.ts). */
export function exp4(x: v128): v128 {
  return expOf(x);
}

/** silu(gate) * up = gate / (1 + exp(-gate)) * up. */
// @ts-ignore: decorator
@inline export function siluTimes(gate: v128, up: v128): v128 {
  const one = f32x4.splat(1.0);
  return f32x4.mul(f32x4.div(gate, f32x4.add(one, exp4(f32x4.neg(gate)))), up);
}
