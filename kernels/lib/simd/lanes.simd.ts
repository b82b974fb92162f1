// Small operations on the lanes of a vector that several SIMD kernels share.

import { madd } from "./dot.simd";

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

/** The largest of four f32 lanes. */
// @ts-ignore: decorator
@inline export function maxOf(v: v128): f32 {
  const two = f32x4.max(v, v128.shuffle<i32>(v, v, 2, 3, 2, 3));
  return max(f32x4.extract_lane(two, 0), f32x4.extract_lane(two, 1));
}

/**
 * exp of four f32, to 1 unit in the last place; 0 below -87.3, exp(88) above 88, NaN of NaN. exp(x)
 * = 2^n exp(r), n the integer nearest to x / ln 2, |r| <= ln 2 / 2; the polynomial is Cephes' expf.
 */
export function exp4(x: v128): v128 {
  const clamped = f32x4.max(f32x4.min(x, f32x4.splat(88.0)), f32x4.splat(<f32>-87.3));
  const n = f32x4.nearest(f32x4.mul(clamped, f32x4.splat(<f32>1.44269504088896341)));
  let r = madd(n, f32x4.splat(<f32>-0.693359375), clamped);
  r = madd(n, f32x4.splat(<f32>2.12194440e-4), r);
  let p = f32x4.splat(<f32>1.9875691500e-4);
  p = madd(p, r, f32x4.splat(<f32>1.3981999507e-3));
  p = madd(p, r, f32x4.splat(<f32>8.3334519073e-3));
  p = madd(p, r, f32x4.splat(<f32>4.1665795894e-2));
  p = madd(p, r, f32x4.splat(<f32>1.6666665459e-1));
  p = madd(p, r, f32x4.splat(<f32>5.0000001201e-1));
  const y = f32x4.add(madd(p, f32x4.mul(r, r), r), f32x4.splat(1.0));
  const power = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  // and(…, ge) would make 0 of NaN
  return v128.andnot(f32x4.mul(y, power), f32x4.lt(x, f32x4.splat(<f32>-87.3)));
}

/** silu(gate) * up = gate / (1 + exp(-gate)) * up. */
// @ts-ignore: decorator
@inline export function siluTimes(gate: v128, up: v128): v128 {
  const one = f32x4.splat(1.0);
  return f32x4.mul(f32x4.div(gate, f32x4.add(one, exp4(f32x4.neg(gate)))), up);
}
