// exp of four f32, to 1 unit in the last place; 0 below -87.7, exp(88) above 88, NaN of NaN.
//
// exp(x) = 2^n exp(r), n the integer nearest to x / ln 2, |r| <= ln 2 / 2; the polynomial is
// Cephes' expf. min and max are those of one instruction, of which the second operand counts where
// the first is NaN: WebAssembly's own are nine.

import { madd } from "./dot.simd";
import { wordAt } from "./near.simd";

const MOST: f32 = 88;
/** Of this and less n is -127, whose power of two is 0. */
const LEAST: f32 = -88.03;
const INVERSE: f32 = 1.44269504088896341; // 1 / ln 2
/** 1.5 * 2^23: added to a small number, it leaves the nearest integer in the lowest bits. */
const SHIFT: f32 = 12582912;
const LN2_HIGH: f32 = -0.693359375;
const LN2_LOW: f32 = 2.12194440e-4;
const C0: f32 = 1.9875691500e-4;
const C1: f32 = 1.3981999507e-3;
const C2: f32 = 8.3334519073e-3;
const C3: f32 = 4.1665795894e-2;
const C4: f32 = 1.6666665459e-1;
const C5: f32 = 5.0000001201e-1;
/** The exponent's bias less the bits of SHIFT. */
const BIAS: i32 = 127 - 0x4b400000;

/** Bytes that keepExp() writes. */
export const EXP_BYTES: usize = 64;

/** Writes the constants of expKept() to memory, from where a loop reads each in one instruction. */
export function keepExp(at: usize): void {
  store<f32>(at, MOST);
  store<f32>(at, LEAST, 4);
  store<f32>(at, INVERSE, 8);
  store<f32>(at, SHIFT, 12);
  store<f32>(at, LN2_HIGH, 16);
  store<f32>(at, LN2_LOW, 20);
  store<f32>(at, C0, 24);
  store<f32>(at, C1, 28);
  store<f32>(at, C2, 32);
  store<f32>(at, C3, 36);
  store<f32>(at, C4, 40);
  store<f32>(at, C5, 44);
  store<f32>(at, 1, 48);
  store<i32>(at, BIAS, 52);
}

// @ts-ignore: decorator
@inline function constant(inMemory: bool, kept: usize, i: i32, value: f32): v128 {
  return inMemory ? wordAt(kept, i) : f32x4.splat(value);
}

/**
 * exp(x) of `clamped` = min(x, 88), a part of its caller. `inMemory`, a constant, says where its
 * constants are: keepExp() wrote them at `kept`.
 */
// @ts-ignore: decorator
@inline function power(clamped: v128, inMemory: bool, kept: usize): v128 {
  const x = f32x4.pmax(clamped, constant(inMemory, kept, 1, LEAST));
  const shift = constant(inMemory, kept, 3, SHIFT);
  const shifted = f32x4.add(f32x4.mul(x, constant(inMemory, kept, 2, INVERSE)), shift);
  const n = f32x4.sub(shifted, shift);
  let r = madd(n, constant(inMemory, kept, 4, LN2_HIGH), x);
  r = madd(n, constant(inMemory, kept, 5, LN2_LOW), r);
  let p = constant(inMemory, kept, 6, C0);
  p = madd(p, r, constant(inMemory, kept, 7, C1));
  p = madd(p, r, constant(inMemory, kept, 8, C2));
  p = madd(p, r, constant(inMemory, kept, 9, C3));
  p = madd(p, r, constant(inMemory, kept, 10, C4));
  p = madd(p, r, constant(inMemory, kept, 11, C5));
  const y = f32x4.add(madd(p, f32x4.mul(r, r), r), constant(inMemory, kept, 12, 1));
  const bias = inMemory ? wordAt(kept, 13) : i32x4.splat(BIAS);
  return f32x4.mul(y, i32x4.shl(i32x4.add(shifted, bias), 23));
}

/** exp(x), a part of its caller. */
// @ts-ignore: decorator
@inline export function expOf(x: v128): v128 {
  return power(f32x4.pmin(x, f32x4.splat(MOST)), false, 0);
}

/** exp(x) of x <= 88. `kept` is where keepExp() wrote. */
// @ts-ignore: decorator
@inline export function expKept(x: v128, kept: usize): v128 {
  return power(x, true, kept);
}
