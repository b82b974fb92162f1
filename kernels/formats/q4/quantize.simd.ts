// A group of 32 weights as q4, bit for bit what quantizeQ4Group (kernels/formats/q4/quantize.ts)
// makes of it.
//
// What costs is the search for the scale: eleven levels a group, in f64. Here f32 finds the
// integers q and says where it cannot be sure of them; those few are found again in f64. Given q,
// Σxq and Σqq are exact in integers, as they are in the definition's f64: a weight with q ≠ 0 is at
// least 1/18 of the extreme one, so its last bit is 2^-28 of the extreme's leading bit or more, and
// sums of such products fit into 53 bits in any order.

import { madd } from "../../lib/simd/dot.simd";
import { finiteHalf, mostOf, ofHalf } from "../../lib/simd/half.simd";
import { sumOf } from "../../lib/simd/lanes.simd";

// A thread's scratch from byte 128 on; what is below is its caller's.
const HIGH: usize = 128; // i16 [16, 2]: weights i and i + 16 of a group as integers, the upper half
const LOW: usize = HIGH + 64; // the lower half; close by, one address serves both
// f64 [12]: Σxq of every level; there is no twelfth, its scale is infinite and both its sums 0
const XQ: usize = 256;
const QQ: usize = XQ + 96; // f64 [12]: Σqq
const CONSTANTS: usize = 512; // u32 [9]: see setUp()

/**
 * Bits of the levels, in the order in which they are tried: 8, 7, 7.2, 7.4, 7.6, 7.8, 8.2, 8.4,
 * 8.6, 8.8, 9.
 */
const ALL: u32 = 0x7ff;

/**
 * V8 makes a constant vector anew, in three instructions, wherever a loop uses it; what was loaded
 * stays in a register. These are in a thread's scratch, each to be loaded into four lanes.
 */
export function setUp(scratch: usize): void {
  store<f32>(scratch, BIAS, CONSTANTS);
  store<u32>(scratch, 0x434f434f, CONSTANTS + 4);
  store<u32>(scratch, 0x43404340, CONSTANTS + 8);
  store<u32>(scratch, 0x43484348, CONSTANTS + 12);
  store<f32>(scratch, 12582912, CONSTANTS + 16);
  store<f32>(scratch, -8, CONSTANTS + 20);
  store<f32>(scratch, 7, CONSTANTS + 24);
  store<f32>(scratch, 192.25, CONSTANTS + 28);
  store<f32>(scratch, 207.75, CONSTANTS + 32);
}

/**
 * 192 + 8.5, and one step of 2^-16 so that what f32 is not sure of lies above a
 * boundary: see levels().
 */
const BIAS: f32 = 200.5 + 1.0 / 65536;

/** 32 f32 at x to levels at p0 and their scale at p1. */
export function packGroup(
  x: usize,
  w: usize,
  count: i32,
  p0: usize,
  p1: usize,
  p2: usize,
  p3: usize,
  scratch: usize,
): void {
  store<u16>(p1, packQ4(x, p0, scratch));
}

/** Writes 32 nibbles at y. Returns their scale. */
function packQ4(x: usize, y: usize, scratch: usize): u32 {
  let extreme = extremeOf(x);
  const finite = extreme == extreme;
  if (!finite) extreme = exactExtreme(x);
  const naive = finiteHalf(<f64>extreme / -8);
  if (ofHalf(naive) == 0) {
    v128.store(y, i8x16.splat(-0x78));
    return 0;
  }
  let best = naive;
  const searched = finiteHalf(search(x, extreme, finite, scratch));
  if (searched != naive && notWorse(x, ofHalf(searched), ofHalf(naive), scratch)) best = searched;
  if (!finite || !nibbles(x, y, ofHalf(best), scratch)) exactNibbles(x, y, ofHalf(best));
  return best;
}

/** The first of the values that are farthest from zero; NaN where there is one or an infinity. */
function extremeOf(x: usize): f32 {
  let high = i32x4.splat(0);
  let low = i32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) {
    const v = v128.load(x + i);
    high = i32x4.max_s(high, v); // the order of positive floats, and all negative ones below
    low = i32x4.max_u(low, v); // the order of negative floats, and all positive ones below
  }
  const most = mostOf(high);
  const least = mostOf(low) ^ 0x80000000; // its magnitude, or that of a positive one made huge
  if (most >= 0x7f800000 || (least >= 0x7f800000 && least < 0x80000000)) return NaN;
  if (least >= 0x80000000 || most > least) return reinterpret<f32>(most);
  if (most < least) return -reinterpret<f32>(least);
  for (let i: usize = 0; i < 128; i += 4) if ((load<u32>(x + i) & 0x7fffffff) == most) return load<f32>(x + i);
  return 0;
}

/** The same as the definition has it: NaN left out. */
function exactExtreme(x: usize): f32 {
  let extreme: f32 = 0;
  for (let i: usize = 0; i < 128; i += 4) {
    const value = load<f32>(x + i);
    if (abs(value) > abs(extreme)) extreme = value;
  }
  return extreme;
}

/** The scale Σxq / Σqq of the level with the largest (Σxq)² / Σqq. */
function search(x: usize, extreme: f32, finite: bool, scratch: usize): f64 {
  let unsure = ALL;
  let unit: f64 = 1; // Σxq is in units of it
  if (finite) {
    const exponent = (reinterpret<u32>(extreme) >>> 23) & 255;
    splitWeights(x, reinterpret<f32>((267 - exponent) << 23), scratch);
    unit = reinterpret<f64>(<u64>(exponent + 868) << 52); // 2^-28 of the extreme's leading bit
    const e = f32x4.splat(extreme);
    unsure = levels(x, f32x4.div(f32x4(-8, -7, -7.2, -7.4), e), scratch, 0);
    unsure |= levels(x, f32x4.div(f32x4(-7.6, -7.8, -8.2, -8.4), e), scratch, 4);
    unsure |= levels(x, f32x4.div(f32x4(-8.6, -8.8, -9, 0), e), scratch, 8);
  }
  for (let mask = unsure; mask; mask &= mask - 1) exactLevel(x, extreme, ctz(mask), unit, finite, scratch);
  let mask = finite ? contenders(scratch) : ALL;
  let most: f64 = 0;
  let scale: f64 = 0;
  for (; mask; mask &= mask - 1) {
    const xq = load<f64>(scratch + 8 * ctz(mask), XQ);
    const qq = load<f64>(scratch + 8 * ctz(mask), QQ);
    if (xq * xq > most * qq) {
      most = (xq * xq) / qq;
      scale = xq / qq;
    }
  }
  return scale * unit;
}

/**
 * Levels that could win: what is below the largest quotient by more than the rounding
 * of f64 cannot.
 */
function contenders(scratch: usize): u32 {
  const a = quotients(scratch);
  const b = quotients(scratch + 16);
  const c = quotients(scratch + 32);
  const d = quotients(scratch + 48);
  const e = quotients(scratch + 64);
  const f = quotients(scratch + 80);
  // pmax(a, b) is a where b is NaN, as the twelfth is, which is never at least anything either.
  const two = f64x2.pmax(f64x2.pmax(f64x2.pmax(a, b), f64x2.pmax(c, d)), f64x2.pmax(e, f));
  const most = max(f64x2.extract_lane(two, 0), f64x2.extract_lane(two, 1));
  const least = f64x2.splat(most * (1 - 1e-12));
  return (
    i64x2.bitmask(f64x2.ge(a, least)) |
    (i64x2.bitmask(f64x2.ge(b, least)) << 2) |
    (i64x2.bitmask(f64x2.ge(c, least)) << 4) |
    (i64x2.bitmask(f64x2.ge(d, least)) << 6) |
    (i64x2.bitmask(f64x2.ge(e, least)) << 8) |
    (i64x2.bitmask(f64x2.ge(f, least)) << 10)
  );
}

/** (Σxq)² / Σqq of two levels. */
// @ts-ignore: decorator
@inline function quotients(at: usize): v128 {
  const xq = v128.load(at, XQ);
  return f64x2.div(f64x2.mul(xq, xq), v128.load(at, QQ));
}

/**
 * Weights as integers of 29 bits and a sign, times 2^-15 (rounded) and the rest, in pairs (i, i +
 * 16) of i16.
 */
function splitWeights(x: usize, factor: f32, scratch: usize): void {
  // 1.5 * 2^23: rounds, and leaves the integer in the low bits
  const magic = v128.load32_splat(scratch, CONSTANTS + 16);
  for (let i: usize = 0; i < 64; i += 16) {
    const a = f32x4.mul(v128.load(x + i), f32x4.splat(factor));
    const b = f32x4.mul(v128.load(x + i, 64), f32x4.splat(factor));
    const highA = f32x4.add(a, magic);
    const highB = f32x4.add(b, magic);
    const restA = f32x4.sub(a, f32x4.sub(highA, magic));
    const restB = f32x4.sub(b, f32x4.sub(highB, magic));
    const lowA = f32x4.add(f32x4.mul(restA, f32x4.splat(32768)), magic);
    const lowB = f32x4.add(f32x4.mul(restB, f32x4.splat(32768)), magic);
    v128.store(scratch + i, v128.shuffle<i16>(highA, i32x4.shl(highB, 16), 0, 9, 2, 11, 4, 13, 6, 15), HIGH);
    v128.store(scratch + i, v128.shuffle<i16>(lowA, i32x4.shl(lowB, 16), 0, 9, 2, 11, 4, 13, 6, 15), LOW);
  }
}

/**
 * Σxq and Σqq of four levels, a level a lane, to XQ and QQ at `at`. Returns the bits of those that
 * f32 is not sure of.
 *
 * 192 + x / scale + 8.5 lies in 128..256, where the last bit of an f32 is 2^-16: so its upper half
 * is the level and a constant, its lower half the fraction. It is off by 0.11 steps at most before
 * it is rounded (of 1 / scale, its two factors and the product), which with rounding is less than
 * the one step that BIAS adds: only a fraction of 0 or 1 step may belong to the level below.
 */
function levels(x: usize, inverse: v128, scratch: usize, at: u32): u32 {
  const bias = v128.load32_splat(scratch, CONSTANTS);
  const top = v128.load32_splat(scratch, CONSTANTS + 4);
  const bottom = v128.load32_splat(scratch, CONSTANTS + 8);
  const zero = v128.load32_splat(scratch, CONSTANTS + 12);
  let nearest = i32x4.splat(-1);
  let high = i32x4.splat(0);
  let low = i32x4.splat(0);
  let squares = i32x4.splat(0);
  for (let i: usize = 0; i < 64; i += 8) {
    const a = madd(v128.load32_splat(x + i), inverse, bias);
    const b = madd(v128.load32_splat(x + i, 64), inverse, bias);
    const c = madd(v128.load32_splat(x + i, 4), inverse, bias);
    const d = madd(v128.load32_splat(x + i, 68), inverse, bias);
    nearest = i16x8.min_u(i16x8.min_u(nearest, i16x8.min_u(a, b)), i16x8.min_u(c, d));
    const p = v128.shuffle<i16>(i32x4.shr_u(a, 16), b, 0, 9, 2, 11, 4, 13, 6, 15);
    const q = i16x8.sub(i16x8.max_s(i16x8.min_s(p, top), bottom), zero);
    high = i32x4.add(high, i32x4.dot_i16x8_s(q, v128.load32_splat(scratch + i, HIGH)));
    low = i32x4.add(low, i32x4.dot_i16x8_s(q, v128.load32_splat(scratch + i, LOW)));
    squares = i32x4.add(squares, i32x4.dot_i16x8_s(q, q));
    const r = v128.shuffle<i16>(i32x4.shr_u(c, 16), d, 0, 9, 2, 11, 4, 13, 6, 15);
    const s = i16x8.sub(i16x8.max_s(i16x8.min_s(r, top), bottom), zero);
    high = i32x4.add(high, i32x4.dot_i16x8_s(s, v128.load32_splat(scratch + i, HIGH + 4)));
    low = i32x4.add(low, i32x4.dot_i16x8_s(s, v128.load32_splat(scratch + i, LOW + 4)));
    squares = i32x4.add(squares, i32x4.dot_i16x8_s(s, s));
  }
  const to = scratch + 8 * at;
  v128.store(to, joined(high, low), XQ);
  v128.store(to, joined(v128.shuffle<i32>(high, high, 2, 3, 2, 3), v128.shuffle<i32>(low, low, 2, 3, 2, 3)), XQ + 16);
  v128.store(to, f64x2.convert_low_i32x4_s(squares), QQ);
  v128.store(to, f64x2.convert_low_i32x4_s(v128.shuffle<i32>(squares, squares, 2, 3, 2, 3)), QQ + 16);
  return unsureOf(nearest) << at;
}

/** Lanes whose lower half is 0 or 1. */
// @ts-ignore: decorator
@inline function unsureOf(nearest: v128): u32 {
  return i32x4.bitmask(i32x4.eq(v128.and(nearest, i32x4.splat(0xfffe)), i32x4.splat(0)));
}

/** high * 2^15 + low of the first two lanes. */
// @ts-ignore: decorator
@inline function joined(high: v128, low: v128): v128 {
  return f64x2.add(
    f64x2.mul(f64x2.convert_low_i32x4_s(high), f64x2.splat(32768)),
    f64x2.convert_low_i32x4_s(low),
  );
}

/** Σxq and Σqq of level k (0 to 10) as the definition computes them. */
function exactLevel(x: usize, extreme: f32, k: u32, unit: f64, finite: bool, scratch: usize): void {
  const inverse = -levelOf(k) / <f64>extreme;
  let xq: f64 = 0;
  let qq: f64 = 0;
  if (finite) {
    const factor = f64x2.splat(inverse);
    let products = f64x2.splat(0);
    let squares = f64x2.splat(0);
    for (let i: usize = 0; i < 128; i += 8) {
      const v = f64x2.promote_low_f32x4(v128.load64_zero(x + i));
      const u = f64x2.trunc(f64x2.add(f64x2.mul(v, factor), f64x2.splat(8.5)));
      const q = f64x2.sub(f64x2.pmin(u, f64x2.splat(15)), f64x2.splat(8));
      products = f64x2.add(products, f64x2.mul(v, q));
      squares = f64x2.add(squares, f64x2.mul(q, q));
    }
    xq = f64x2.extract_lane(products, 0) + f64x2.extract_lane(products, 1);
    qq = f64x2.extract_lane(squares, 0) + f64x2.extract_lane(squares, 1);
  } else {
    for (let i: usize = 0; i < 128; i += 4) {
      const value: f64 = load<f32>(x + i);
      // NaN becomes 0, as in the definition
      const q: f64 = <f64>min<i32>(15, <i32>(value * inverse + 8.5)) - 8;
      xq += value * q;
      qq += q * q;
    }
  }
  store<f64>(scratch + 8 * k, xq / unit, XQ);
  store<f64>(scratch + 8 * k, qq, QQ);
}

/** Exactly the literals of the definition: 7.2 is not 7 + 0.2. */
function levelOf(k: u32): f64 {
  switch (k) {
    case 0: return 8;
    case 1: return 7;
    case 2: return 7.2;
    case 3: return 7.4;
    case 4: return 7.6;
    case 5: return 7.8;
    case 6: return 8.2;
    case 7: return 8.4;
    case 8: return 8.6;
    case 9: return 8.8;
    default: return 9;
  }
}

/** Whether the squared error at scale a is no larger than at scale b. */
function notWorse(x: usize, a: f32, b: f32, scratch: usize): bool {
  const magic = v128.load32_splat(scratch, CONSTANTS + 16);
  const least = v128.load32_splat(scratch, CONSTANTS + 20);
  const most = v128.load32_splat(scratch, CONSTANTS + 24);
  const scaleA = f32x4.splat(a);
  const scaleB = f32x4.splat(b);
  const inverseA = f32x4.splat(1 / a);
  const inverseB = f32x4.splat(1 / b);
  let sumA = f32x4.splat(0);
  let sumB = f32x4.splat(0);
  for (let i: usize = 0; i < 128; i += 16) {
    const v = v128.load(x + i);
    const multipleA = f32x4.pmin(f32x4.pmax(f32x4.mul(v, inverseA), least), most);
    const multipleB = f32x4.pmin(f32x4.pmax(f32x4.mul(v, inverseB), least), most);
    const differenceA = f32x4.sub(v, f32x4.mul(scaleA, f32x4.sub(f32x4.add(multipleA, magic), magic)));
    const differenceB = f32x4.sub(v, f32x4.mul(scaleB, f32x4.sub(f32x4.add(multipleB, magic), magic)));
    sumA = madd(differenceA, differenceA, sumA);
    sumB = madd(differenceB, differenceB, sumB);
  }
  const errorA = sumOf(sumA);
  const errorB = sumOf(sumB);
  // A weight that f32 takes to the wrong side of a half changes its square by 1e-5 of it, rounding
  // the sum by 3e-6.
  const larger = max(errorA, errorB);
  if (a != 0 && larger > <f32>1e-30 && abs(errorA - errorB) > larger * <f32>3e-5) return errorA < errorB;
  return exactError(x, a) <= exactError(x, b);
}

function exactError(x: usize, scale: f64): f64 {
  if (scale == 0) return Infinity;
  const inverse = 1 / scale;
  let sum: f64 = 0;
  for (let i: usize = 0; i < 128; i += 4) {
    const value: f64 = load<f32>(x + i);
    const difference = value - scale * (nearestLevel(value * inverse) - 8);
    sum += difference * difference;
  }
  return sum;
}

// @ts-ignore: decorator
@inline function nearestLevel(multiple: f64): f64 {
  const u = floor(multiple + 8.5);
  return u < 0 ? 0 : u > 15 ? 15 : u;
}

/**
 * Writes the levels nearest to the multiples of a scale at y. False where f32 is not sure of
 * one. Found as in levels(), but kept within level 0.25 to 15.75: a scale that was capped may be
 * far too small.
 */
function nibbles(x: usize, y: usize, scale: f32, scratch: usize): bool {
  const bias = v128.load32_splat(scratch, CONSTANTS);
  const least = v128.load32_splat(scratch, CONSTANTS + 28);
  const most = v128.load32_splat(scratch, CONSTANTS + 32);
  const inverse = f32x4.splat(1 / scale);
  let nearest = i32x4.splat(-1);
  let a = i32x4.splat(0); // the word before
  let b = i32x4.splat(0); // two words before that
  for (let i: usize = 0; i < 4; i++) {
    const low = f32x4.pmin(f32x4.pmax(madd(v128.load(x + 32 * i), inverse, bias), least), most);
    const high = f32x4.pmin(f32x4.pmax(madd(v128.load(x + 32 * i, 16), inverse, bias), least), most);
    nearest = i16x8.min_u(nearest, i16x8.min_u(low, high));
    const bytes = v128.or(
      v128.and(i32x4.shr_u(low, 16), i32x4.splat(15)),
      v128.and(i32x4.shr_u(high, 12), i32x4.splat(0xf0)),
    );
    if (i == 1) b = i16x8.narrow_i32x4_s(a, bytes);
    if (i == 3) v128.store(y, i8x16.narrow_i16x8_u(b, i16x8.narrow_i32x4_s(a, bytes)));
    a = bytes;
  }
  return unsureOf(nearest) == 0;
}

function exactNibbles(x: usize, y: usize, scale: f64): void {
  const inverse = 1 / scale;
  for (let i: usize = 0; i < 16; i++) {
    const at = x + (i >> 2) * 32 + (i & 3) * 4;
    const low = <i32>(nearestLevel(<f64>load<f32>(at) * inverse)); // NaN becomes 0
    const high = <i32>(nearestLevel(<f64>load<f32>(at, 16) * inverse));
    store<u8>(y + i, low | (high << 4));
  }
}
