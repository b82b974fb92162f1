// Scales and minimums: kernels/formats/search/affine.ts, bit for bit; see search.simd.ts.

import { finiteHalf, ofHalf } from "./half.simd";
import {
  CODES,
  FOUND,
  inverse4,
  inverseOf,
  LANES,
  MINS,
  REST,
  round4,
  roundOne,
  SMALLEST,
  TRIED,
  W,
  X,
} from "./search.simd";

/** f32 [2 * 16]: a and b of every group. */
export const PAIRS: usize = REST;
const SCALE: usize = REST + 128; // f32: what affineScale() found
const MIN: usize = REST + 132;
const NOISE: f32 = 1.0 / 16384;

/** Σwu, Σwuu and Σwxu of four candidates to LANES, + 16 and + 32. */
// @ts-ignore: decorator
@inline function sums(x: usize, n: i32, top: f32, inverse: v128, offset: v128, scratch: usize): void {
  const zero = f32x4.splat(0);
  const most = f32x4.splat(top);
  let su = zero;
  let suu = zero;
  let sxu = zero;
  for (const end = x + n * 4; x < end; x += 4) {
    const value = v128.load32_splat(x);
    const w = v128.load32_splat(x, W);
    const u = round4(f32x4.add(f32x4.mul(value, inverse), offset), zero, most);
    const wu = f32x4.mul(w, u);
    su = f32x4.add(su, wu);
    suu = f32x4.add(suu, f32x4.mul(wu, u));
    sxu = f32x4.add(sxu, f32x4.mul(f32x4.mul(w, value), u));
  }
  v128.store(scratch, su, LANES);
  v128.store(scratch, suu, LANES + 16);
  v128.store(scratch, sxu, LANES + 32);
}

/** Σw of n weights at x. */
function sumW(x: usize, n: i32): f32 {
  let sum: f32 = 0;
  for (let i: usize = 0; i < <usize>n * 4; i += 4) sum += load<f32>(x + i, W);
  return sum;
}

/** Σwx of n weights at x. */
function sumX(x: usize, n: i32): f32 {
  let sum: f32 = 0;
  for (let i: usize = 0; i < <usize>n * 4; i += 4) sum += load<f32>(x + i, W) * load<f32>(x + i);
  return sum;
}

/** affineScale(), to SCALE and MIN; sixteen steps, then sixteen shares, are in TRIED. */
// @ts-ignore: decorator
@inline function affineScale(x: usize, n: i32, top: f32, positive: bool, scratch: usize): void {
  let least: f32 = positive ? 0 : load<f32>(x);
  let largest: f32 = load<f32>(x);
  for (let i: usize = 0; i < <usize>n * 4; i += 4) {
    const value = load<f32>(x + i);
    if (value < least) least = value;
    if (value > largest) largest = value;
  }
  store<f32>(scratch, 0, SCALE);
  store<f32>(scratch, -least, MIN);
  const range = largest - least;
  if (range < SMALLEST) return;
  store<f32>(scratch, range / top, SCALE);
  const sw = f32x4.splat(sumW(x, n));
  const sx = f32x4.splat(sumX(x, n));
  let most: f32 = -Infinity;
  for (let k: usize = 0; k < 64; k += 16) {
    const inverse = f32x4.div(v128.load(scratch + k, TRIED), f32x4.splat(range));
    const offset = f32x4.mul(f32x4.mul(f32x4.splat(-least), v128.load(scratch + k, TRIED + 64)), inverse);
    sums(x, n, top, inverse, offset, scratch);
    const su = v128.load(scratch, LANES);
    const suu = v128.load(scratch, LANES + 16);
    const sxu = v128.load(scratch, LANES + 32);
    const product = f32x4.mul(sw, suu);
    const determinant = f32x4.sub(product, f32x4.mul(su, su));
    let s = f32x4.div(f32x4.sub(f32x4.mul(sw, sxu), f32x4.mul(sx, su)), determinant);
    let m = f32x4.div(f32x4.sub(f32x4.mul(su, sxu), f32x4.mul(suu, sx)), determinant);
    if (positive) {
      const below = f32x4.lt(m, f32x4.splat(0));
      m = v128.andnot(m, below);
      s = v128.bitselect(f32x4.div(sxu, suu), s, below);
    }
    const gain = f32x4.sub(f32x4.mul(s, sxu), f32x4.mul(m, sx));
    const good = v128.and(
      f32x4.gt(s, f32x4.splat(0)),
      f32x4.gt(determinant, f32x4.mul(product, f32x4.splat(NOISE))),
    );
    v128.store(scratch, v128.bitselect(gain, f32x4.splat(-Infinity), good), LANES);
    v128.store(scratch, s, LANES + 16);
    v128.store(scratch, m, LANES + 32);
    for (let lane: usize = 0; lane < 16; lane += 4)
      if (load<f32>(scratch + lane, LANES) > most) {
        most = load<f32>(scratch + lane, LANES);
        store<f32>(scratch, load<f32>(scratch + lane, LANES + 16), SCALE);
        store<f32>(scratch, load<f32>(scratch + lane, LANES + 32), MIN);
      }
  }
}

/** The u nearest to x * inverse + offset of n weights, as bytes at `to`. */
// @ts-ignore: decorator
@inline function levelsOf(x: usize, n: i32, top: f32, inverse: f32, offset: f32, to: usize): void {
  for (let i: usize = 0; i < <usize>n; i += 4) {
    const t = f32x4.add(f32x4.mul(v128.load(x + 4 * i), f32x4.splat(inverse)), f32x4.splat(offset));
    const u = i32x4.trunc_sat_f32x4_s(round4(t, f32x4.splat(0), f32x4.splat(top)));
    const eight = i16x8.narrow_i32x4_s(u, u);
    v128.store32_lane(to + i, i8x16.narrow_i16x8_u(eight, eight), 0);
  }
}

/** packAffine(): the levels of 32 weights in X to CODES. Returns the f16 bits of s and -m. */
// @ts-ignore: decorator
@inline export function packAffine(top: f32, scratch: usize): u32 {
  affineScale(scratch + X, 32, top, false, scratch);
  const s = finiteHalf(load<f32>(scratch, SCALE));
  const m = finiteHalf(-load<f32>(scratch, MIN));
  const inverse = inverseOf(ofHalf(s));
  levelsOf(scratch + X, 32, top, inverse, -ofHalf(m) * inverse, scratch + CODES);
  return s | (m << 16);
}

/** roundPair() of the n weights at x, group j. */
// @ts-ignore: decorator
@inline function roundPair(
  x: usize,
  n: i32,
  top: f32,
  limit: f32,
  j: usize,
  d: f32,
  dmin: f32,
  scratch: usize,
): void {
  const a0 = roundOne(load<f32>(scratch + 4 * j, FOUND) * inverseOf(d), 0, limit);
  const b0 = roundOne(load<f32>(scratch + 4 * j, MINS) * inverseOf(dmin), 0, limit);
  const zero = f32x4.splat(0);
  const bound = f32x4.splat(limit);
  const a = round4(f32x4.add(f32x4.splat(a0), f32x4(-1, 0, 1, 0)), zero, bound);
  const s = f32x4.mul(f32x4.splat(d), a);
  const inverse = inverse4(s);
  sums(x, n, top, inverse, f32x4.mul(f32x4.splat(dmin * b0), inverse), scratch);
  const su = v128.load(scratch, LANES);
  const rest = f32x4.sub(f32x4.mul(s, su), f32x4.splat(sumX(x, n)));
  const own = f32x4.mul(f32x4.div(rest, f32x4.splat(sumW(x, n))), f32x4.splat(inverseOf(dmin)));
  const b = f32x4.replace_lane(round4(own, zero, bound), 3, b0);
  const m = f32x4.mul(f32x4.splat(dmin), b);
  const offset = f32x4.mul(m, inverse);
  const most = f32x4.splat(top);
  let sum = zero;
  for (let i: usize = 0; i < <usize>n * 4; i += 4) {
    const value = v128.load32_splat(x + i);
    const u = round4(f32x4.add(f32x4.mul(value, inverse), offset), zero, most);
    const difference = f32x4.add(f32x4.sub(value, f32x4.mul(s, u)), m);
    sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(x + i, W), f32x4.mul(difference, difference)));
  }
  v128.store(scratch, sum, LANES);
  v128.store(scratch, a, LANES + 16);
  v128.store(scratch, b, LANES + 32);
  let best: usize = 3;
  for (let k: usize = 0; k < 3; k++)
    if (load<f32>(scratch + 4 * k, LANES) < load<f32>(scratch + 4 * best, LANES)) best = k;
  store<f32>(scratch + 8 * j, load<f32>(scratch + 4 * best, LANES + 16), PAIRS);
  store<f32>(scratch + 8 * j, load<f32>(scratch + 4 * best, LANES + 32), PAIRS + 4);
}

/** packAffine256() without the levels: PAIRS. Returns the f16 bits of d and dmin. */
// @ts-ignore: decorator
@inline export function pairs256(n: i32, top: f32, limit: f32, scratch: usize): u32 {
  const groups: usize = 256 / n;
  const x = scratch + X;
  let largest: f32 = 0;
  let lowest: f32 = 0;
  for (let j: usize = 0; j < groups; j++) {
    affineScale(x + j * n * 4, n, top, true, scratch);
    const scale = load<f32>(scratch, SCALE);
    const min = load<f32>(scratch, MIN);
    store<f32>(scratch + 4 * j, scale, FOUND);
    store<f32>(scratch + 4 * j, min, MINS);
    if (scale > largest) largest = scale;
    if (min > lowest) lowest = min;
  }
  let d = finiteHalf(largest / limit);
  let dmin = finiteHalf(lowest / limit);
  for (let round = 0; ; round++) {
    const one = ofHalf(d);
    const two = ofHalf(dmin);
    for (let j: usize = 0; j < groups; j++) roundPair(x + j * n * 4, n, top, limit, j, one, two, scratch);
    if (round == 1) break;
    let uu: f64 = 0;
    let ub: f64 = 0;
    let bb: f64 = 0;
    let xu: f64 = 0;
    let xb: f64 = 0;
    for (let j: usize = 0; j < groups; j++) {
      const from = x + j * n * 4;
      const a = load<f32>(scratch + 8 * j, PAIRS);
      const b = load<f32>(scratch + 8 * j, PAIRS + 4);
      const inverse = inverseOf(one * a);
      sums(from, n, top, f32x4.splat(inverse), f32x4.splat(two * b * inverse), scratch);
      uu += <f64>a * <f64>a * <f64>load<f32>(scratch, LANES + 16);
      ub += <f64>a * <f64>b * <f64>load<f32>(scratch, LANES);
      bb += <f64>b * <f64>b * <f64>sumW(from, n);
      xu += <f64>a * <f64>load<f32>(scratch, LANES + 32);
      xb += <f64>b * <f64>sumX(from, n);
    }
    const determinant = uu * bb - ub * ub;
    if (!(determinant > 0)) break;
    const s = (xu * bb - xb * ub) / determinant;
    const m = (xu * ub - xb * uu) / determinant;
    if (!(s > 0 && m > 0)) break;
    d = finiteHalf(s);
    dmin = finiteHalf(m);
  }
  return d | (dmin << 16);
}

/** The levels of group j of n weights, as bytes at `to`. */
// @ts-ignore: decorator
@inline export function levels256(j: usize, n: i32, top: f32, supers: u32, to: usize, scratch: usize): void {
  const inverse = inverseOf(ofHalf(supers & 0xffff) * load<f32>(scratch + 8 * j, PAIRS));
  const offset = ofHalf(supers >>> 16) * load<f32>(scratch + 8 * j, PAIRS + 4) * inverse;
  levelsOf(scratch + X + j * n * 4, n, top, inverse, offset, to);
}
