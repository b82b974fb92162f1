// What the searches for scales share, and those without a minimum: kernels/formats/search/groups.ts
// and signed.ts, bit for bit.
//
// A lane is a candidate: four at a time, over the weights one after the other, so that every sum is
// in the definition's order. No fused operations, which round differently.
//
// A thread's scratch while a group is packed: its values and importances, codes of 32 weights, what
// is tried, and lanes on their way to scalars.

import { finiteHalf, ofHalf } from "./half.simd";

export const X: usize = 0; // f32 [256]
export const W: usize = 1024; // f32 [256]
export const TABLE: usize = 2048; // u8 [512]: see uneven()
export const TRIED: usize = 2560; // f32 [32]: peaks, or steps and shares
export const CODES: usize = 2688; // u8 [32]
export const FOUND: usize = 2720; // f32 [16]
export const MINS: usize = 2784; // f32 [16]
export const LANES: usize = 2848; // f32 [4] a sum
/** The rest is the caller's: 1,024 bytes. */
export const REST: usize = 3072;

/** f32 that rounds a smaller one to an integer when added: 1.5 * 2^23. */
export const MAGIC: f32 = 12582912;
export const SMALLEST: f32 = 1.0 / 4294967296;
const LARGEST: f32 = 4294967296;

/**
 * Copies a group of n values at x and their importances at w (0: all 1) to X and W. From `count`
 * on there is padding, whose importance is 0.
 */
export function takeGroup(x: usize, w: usize, count: i32, n: i32, scratch: usize): void {
  for (let i: usize = 0; i < <usize>n * 4; i += 16) {
    const high = f32x4.pmax(f32x4.splat(-LARGEST), v128.load(x + i));
    v128.store(scratch + i, f32x4.pmin(f32x4.splat(LARGEST), high), X);
  }
  if (w != 0) memory.copy(scratch + W, w, count * 4);
  else for (let i: usize = 0; i < <usize>count * 4; i += 4) store<f32>(scratch + i, 1, W);
  if (count < n) memory.fill(scratch + W + count * 4, 0, (n - count) * 4);
}

/** extremeOf() */
export function extremeOf(x: usize, n: i32): f32 {
  let extreme: f32 = 0;
  for (let i: usize = 0; i < <usize>n * 4; i += 4) {
    const value = load<f32>(x + i);
    if (abs(value) > abs(extreme)) extreme = value;
  }
  return extreme;
}

/** roundWithin() */
// @ts-ignore: decorator
@inline export function round4(value: v128, low: v128, high: v128): v128 {
  const within = f32x4.pmin(f32x4.pmax(value, low), high);
  return f32x4.sub(f32x4.add(within, f32x4.splat(MAGIC)), f32x4.splat(MAGIC));
}

/** roundWithin() of one. */
// @ts-ignore: decorator
@inline export function roundOne(value: f32, low: f32, high: f32): f32 {
  const within = value < low ? low : high < value ? high : value;
  return within + MAGIC - MAGIC;
}

/** inverseOf() */
// @ts-ignore: decorator
@inline export function inverse4(scale: v128): v128 {
  return v128.andnot(f32x4.div(f32x4.splat(1), scale), f32x4.eq(scale, f32x4.splat(0)));
}

/** inverseOf() of one. */
// @ts-ignore: decorator
@inline export function inverseOf(scale: f32): f32 {
  return scale == 0 ? 0 : 1 / scale;
}

/**
 * Writes the table of an uneven grid, of the 16 values in `values`: at floor(2t) + 256 the code of
 * the value nearest to t, the first of equals.
 */
export function uneven(values: v128, scratch: usize): void {
  v128.store(scratch, values, LANES);
  for (let i: i32 = 0; i < 512; i++) {
    const t = 2 * i - 511; // four times t: no middle of two
    let best: i32 = 0;
    for (let c: i32 = 1; c < 16; c++)
      if (abs(t - 4 * <i32>load<i8>(scratch + c, LANES)) < abs(t - 4 * <i32>load<i8>(scratch + best, LANES))) best = c;
    store<u8>(scratch + i, best, TABLE);
  }
}

/** The codes of an uneven grid nearest to four numbers. */
// @ts-ignore: decorator
@inline function codes4(t: v128, low: v128, high: v128, scratch: usize): v128 {
  const within = f32x4.pmin(f32x4.pmax(t, low), high);
  const at = i32x4.trunc_sat_f32x4_s(f32x4.add(f32x4.mul(within, f32x4.splat(2)), f32x4.splat(256)));
  let codes = v128.load8_lane(scratch + TABLE + i32x4.extract_lane(at, 0), i32x4.splat(0), 0);
  codes = v128.load8_lane(scratch + TABLE + i32x4.extract_lane(at, 1), codes, 4);
  codes = v128.load8_lane(scratch + TABLE + i32x4.extract_lane(at, 2), codes, 8);
  return v128.load8_lane(scratch + TABLE + i32x4.extract_lane(at, 3), codes, 12);
}

/** The values of four codes. */
// @ts-ignore: decorator
@inline function valuesOf(codes: v128, values: v128): v128 {
  return f32x4.convert_i32x4_s(i32x4.shr_s(i32x4.shl(i8x16.swizzle(values, codes), 24), 24));
}

/** Σwxq and Σwqq of four candidates to LANES and LANES + 16; `even`: the grid is low .. high. */
// @ts-ignore: decorator
@inline function sums(
  x: usize,
  n: i32,
  inverse: v128,
  low: f32,
  high: f32,
  even: bool,
  values: v128,
  scratch: usize,
): void {
  const bottom = f32x4.splat(low);
  const top = f32x4.splat(high);
  let xq = f32x4.splat(0);
  let qq = f32x4.splat(0);
  for (const end = x + n * 4; x < end; x += 4) {
    const value = v128.load32_splat(x);
    const t = f32x4.mul(value, inverse);
    const q = even ? round4(t, bottom, top) : valuesOf(codes4(t, bottom, top, scratch), values);
    const wq = f32x4.mul(v128.load32_splat(x, W), q);
    xq = f32x4.add(xq, f32x4.mul(wq, value));
    qq = f32x4.add(qq, f32x4.mul(wq, q));
  }
  v128.store(scratch, xq, LANES);
  v128.store(scratch, qq, LANES + 16);
}

/** signedScale() of the n weights at x, in X; `peaks` of them are in TRIED. */
// @ts-ignore: decorator
@inline function signedScale(
  x: usize,
  n: i32,
  peaks: i32,
  low: f32,
  high: f32,
  even: bool,
  values: v128,
  scratch: usize,
): f32 {
  const extreme = extremeOf(x, n);
  if (abs(extreme) < SMALLEST) return 0;
  let most: f32 = 0;
  let scale: f32 = 0;
  for (let k: i32 = 0; k < peaks; k += 4) {
    const inverse = f32x4.div(v128.load(scratch + k * 4, TRIED), f32x4.splat(extreme));
    sums(x, n, inverse, low, high, even, values, scratch);
    const xq = v128.load(scratch, LANES);
    const qq = v128.load(scratch, LANES + 16);
    v128.store(scratch, f32x4.div(f32x4.mul(xq, xq), qq), LANES + 32);
    v128.store(scratch, f32x4.div(xq, qq), LANES + 48);
    for (let lane: usize = 0; lane < 16; lane += 4)
      if (load<f32>(scratch + lane, LANES + 32) > most) {
        most = load<f32>(scratch + lane, LANES + 32);
        scale = load<f32>(scratch + lane, LANES + 48);
      }
  }
  return scale;
}

/** codeOf() of n weights at x to bytes at `to`; n is a multiple of 16. */
// @ts-ignore: decorator
@inline export function codesOf(
  x: usize,
  n: i32,
  inverse: f32,
  low: f32,
  high: f32,
  even: bool,
  to: usize,
  scratch: usize,
): void {
  const factor = f32x4.splat(inverse);
  const bottom = f32x4.splat(low);
  const top = f32x4.splat(high);
  for (let i: usize = 0; i < <usize>n; i += 4) {
    const t = f32x4.mul(v128.load(x + 4 * i), factor);
    const codes = even
      ? i32x4.trunc_sat_f32x4_s(f32x4.sub(round4(t, bottom, top), bottom))
      : codes4(t, bottom, top, scratch);
    const eight = i16x8.narrow_i32x4_s(codes, codes);
    v128.store32_lane(to + i, i8x16.narrow_i16x8_u(eight, eight), 0);
  }
}

/** squaredError() of n weights at four scales. */
// @ts-ignore: decorator
@inline export function errors4(
  x: usize,
  n: i32,
  scale: v128,
  low: f32,
  high: f32,
  even: bool,
  values: v128,
  scratch: usize,
): v128 {
  const inverse = inverse4(scale);
  const bottom = f32x4.splat(low);
  const top = f32x4.splat(high);
  let sum = f32x4.splat(0);
  for (const end = x + n * 4; x < end; x += 4) {
    const value = v128.load32_splat(x);
    const t = f32x4.mul(value, inverse);
    const q = even ? round4(t, bottom, top) : valuesOf(codes4(t, bottom, top, scratch), values);
    const difference = f32x4.sub(value, f32x4.mul(scale, q));
    sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(x, W), f32x4.mul(difference, difference)));
  }
  return sum;
}

/** packSigned(): the codes of 32 weights in X to CODES. Returns the scale's f16 bits. */
// @ts-ignore: decorator
@inline export function packSigned(
  peaks: i32,
  low: f32,
  high: f32,
  even: bool,
  values: v128,
  scratch: usize,
): u32 {
  const half = finiteHalf(signedScale(scratch + X, 32, peaks, low, high, even, values, scratch));
  codesOf(scratch + X, 32, inverseOf(ofHalf(half)), low, high, even, scratch + CODES, scratch);
  return half;
}

/** roundScale() of the n weights at x. */
// @ts-ignore: decorator
@inline function roundScale(
  x: usize,
  n: i32,
  low: f32,
  high: f32,
  even: bool,
  values: v128,
  scale: f32,
  d: f32,
  least: f32,
  scratch: usize,
): f32 {
  const rounded = f32x4.splat(roundOne(scale * inverseOf(d), least, -least - 1));
  const near = round4(f32x4.add(rounded, f32x4(0, -1, 1, 0)), f32x4.splat(least), f32x4.splat(-least - 1));
  v128.store(scratch, near, LANES);
  const errors = errors4(x, n, f32x4.mul(f32x4.splat(d), near), low, high, even, values, scratch);
  v128.store(scratch, errors, LANES + 16);
  let best: usize = 0;
  for (let k: usize = 4; k < 12; k += 4)
    if (load<f32>(scratch + k, LANES + 16) < load<f32>(scratch + best, LANES + 16)) best = k;
  return load<f32>(scratch + best, LANES);
}

/**
 * packSigned256() without the codes: the scales' integers to FOUND as f32. Returns d's f16 bits.
 */
// @ts-ignore: decorator
@inline export function scales256(
  n: i32,
  peaks: i32,
  low: f32,
  high: f32,
  even: bool,
  values: v128,
  least: f32,
  scratch: usize,
): u32 {
  const groups: usize = 256 / n;
  for (let j: usize = 0; j < groups; j++)
    store<f32>(
      scratch + 4 * j,
      signedScale(scratch + X + j * n * 4, n, peaks, low, high, even, values, scratch),
      FOUND,
    );
  let half = finiteHalf(extremeOf(scratch + FOUND, <i32>groups) / least);
  for (let round = 0; round < 2; round++) {
    let over: f64 = 0;
    let under: f64 = 0;
    const d = ofHalf(half);
    for (let j: usize = 0; j < groups; j++) {
      const x = scratch + X + j * n * 4;
      const i = roundScale(x, n, low, high, even, values, load<f32>(scratch + 4 * j, FOUND), d, least, scratch);
      if (round == 1) {
        store<f32>(scratch + 4 * j, i, FOUND);
        continue;
      }
      sums(x, n, f32x4.splat(inverseOf(d * i)), low, high, even, values, scratch);
      over += <f64>i * <f64>load<f32>(scratch, LANES);
      under += <f64>i * <f64>i * <f64>load<f32>(scratch, LANES + 16);
    }
    if (under > 0) half = finiteHalf(over / under);
  }
  return half;
}

/** 32 codes below 16 at `from` as nibbles in their order (kernels/formats/bits.ts): 16 bytes. */
// @ts-ignore: decorator
@inline export function storeNibbles(from: usize, to: usize): void {
  const a = v128.load(from);
  const b = v128.load(from, 16);
  const low = v128.shuffle<i32>(a, b, 0, 2, 4, 6);
  const high = v128.shuffle<i32>(a, b, 1, 3, 5, 7);
  const mask = i8x16.splat(15);
  v128.store(to, v128.or(v128.and(low, mask), i16x8.shl(v128.and(high, mask), 4)));
}

/** Bits `from`, `from` + 1 of 32 codes as two bits each: 8 bytes. */
// @ts-ignore: decorator
@inline export function storeTwoBits(codes: usize, first: i32, to: usize): void {
  for (let j: usize = 0; j < 2; j++) {
    let word: u32 = 0;
    for (let k: usize = 0; k < 4; k++)
      word |= ((load<u32>(codes + 16 * j + 4 * k) >>> first) & 0x03030303) << (<u32>k * 2);
    store<u32>(to + 4 * j, word);
  }
}

/** Bit `first` of 32 codes as one bit each: 4 bytes. */
// @ts-ignore: decorator
@inline export function storeOneBit(codes: usize, first: i32, to: usize): void {
  let word: u32 = 0;
  for (let k: usize = 0; k < 8; k++) word |= ((load<u32>(codes + 4 * k) >>> first) & 0x01010101) << <u32>k;
  store<u32>(to, word);
}
