// Scales and minimums, w = s u - m with u in 0..top: per group, and in two levels, s = d a and
// m = dmin b with integers a and b a group, and d and dmin for 256 columns.

import { HALF_TO_FLOAT, toFiniteHalf } from "../../../src/tensor/half.ts";
import { inverseOf, roundWithin, SMALLEST } from "./groups.ts";

/** What is tried: the range of weights becomes `steps[k]` steps, the minimum `shares[k]` of it. */
export interface Tries {
  readonly steps: Float32Array;
  readonly shares: Float32Array;
}

/** Eight numbers of steps from `first` on, each with the whole minimum and with `share` of it. */
export function tries(first: number, step: number, share: number): Tries {
  return {
    steps: Float32Array.from({ length: 16 }, (_, k) => first + step * (k >>> 1)),
    shares: Float32Array.from({ length: 16 }, (_, k) => (k & 1 ? 1 : share)),
  };
}

// Of a group, for given u: Σw, Σwx, Σwu, Σwuu, Σwxu.
let [sw, sx, su, suu, sxu] = [0, 0, 0, 0, 0];

/** The u nearest to x * inverse + offset, and their sums. */
function sums(
  x: Float32Array,
  w: Float32Array,
  at: number,
  n: number,
  top: number,
  inverse: number,
  offset: number,
): void {
  sw = sx = su = suu = sxu = 0;
  for (let i = at; i < at + n; i++) {
    const u = roundWithin(Math.fround(Math.fround(x[i]! * inverse) + offset), 0, top);
    const wx = Math.fround(w[i]! * x[i]!);
    const wu = Math.fround(w[i]! * u);
    sw = Math.fround(sw + w[i]!);
    sx = Math.fround(sx + wx);
    su = Math.fround(su + wu);
    suu = Math.fround(suu + Math.fround(wu * u));
    sxu = Math.fround(sxu + Math.fround(wx * u));
  }
}

const f = Math.fround;
const NOISE = 2 ** -14;
/** The result of affineScale(). */
let [scale, min] = [0, 0];

/**
 * The scale s and the min m of the n weights from x[at] on that leave least of Σ w (x - (s u -
 * m))², to `scale` and `min`. For given u they are a quotient of sums; m is at least 0 where
 * `positive` says so.
 */
function affineScale(
  x: Float32Array,
  w: Float32Array,
  at: number,
  n: number,
  top: number,
  { steps, shares }: Tries,
  positive: boolean,
): void {
  let least = positive ? 0 : x[at]!;
  let largest = x[at]!;
  for (let i = at; i < at + n; i++) {
    if (x[i]! < least) least = x[i]!;
    if (x[i]! > largest) largest = x[i]!;
  }
  scale = 0;
  min = -least;
  const range = f(largest - least);
  if (range < SMALLEST) return;
  scale = f(range / top);
  let most = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < steps.length; k++) {
    const inverse = f(steps[k]! / range);
    sums(x, w, at, n, top, inverse, f(f(-least * shares[k]!) * inverse));
    const product = f(sw * suu);
    const determinant = f(product - f(su * su));
    let s = f(f(f(sw * sxu) - f(sx * su)) / determinant);
    let m = f(f(f(su * sxu) - f(suu * sx)) / determinant);
    if (positive && m < 0) {
      m = 0;
      s = f(sxu / suu);
    }
    const gain = f(f(s * sxu) - f(m * sx)); // of Σwxx
    // Where nearly all take one level, what f32 makes of the determinant is noise.
    if (gain > most && s > 0 && determinant > f(product * NOISE)) {
      most = gain;
      scale = s;
      min = m;
    }
  }
}

/** Packs one group with f16 s and -m: levels to `levels`, the bits of both to `pair`. */
export function packAffine(
  x: Float32Array,
  w: Float32Array,
  at: number,
  n: number,
  top: number,
  tries: Tries,
  levels: Uint8Array,
  pair: Uint16Array,
  to: number,
): void {
  affineScale(x, w, at, n, top, tries, false);
  pair[to] = toFiniteHalf(scale);
  pair[to + 1] = toFiniteHalf(-min);
  const inverse = inverseOf(HALF_TO_FLOAT[pair[to]!]!);
  const offset = f(-HALF_TO_FLOAT[pair[to + 1]!]! * inverse);
  for (let i = 0; i < n; i++) levels[i] = roundWithin(f(f(x[at + i]! * inverse) + offset), 0, top);
}

const scales = new Float32Array(16);
const mins = new Float32Array(16);
/** Of four pairs (a, b) of a group: b, and Σ w (x - s u + m)². */
const tried = new Float32Array(4);
const errors = new Float32Array(4);

/**
 * The integers a and b of a group near s / d and m / dmin that leave least error: a one less, the
 * same, and one more, each with its own best b; and both as they round.
 */
function roundPair(
  x: Float32Array,
  w: Float32Array,
  at: number,
  n: number,
  top: number,
  limit: number,
  j: number,
  d: number,
  dmin: number,
  pairs: Uint8Array,
): void {
  const a0 = roundWithin(f(scales[j]! * inverseOf(d)), 0, limit);
  const b0 = roundWithin(f(mins[j]! * inverseOf(dmin)), 0, limit);
  const m0 = f(dmin * b0);
  for (let k = 0; k < 4; k++) {
    const a = roundWithin(f(a0 + (k === 3 ? 0 : k - 1)), 0, limit);
    const s = f(d * a);
    const inverse = inverseOf(s);
    sums(x, w, at, n, top, inverse, f(m0 * inverse));
    tried[k] = k === 3 ? b0 : roundWithin(f(f(f(f(s * su) - sx) / sw) * inverseOf(dmin)), 0, limit);
    const m = f(dmin * tried[k]!);
    const offset = f(m * inverse);
    let sum = 0;
    for (let i = at; i < at + n; i++) {
      const u = roundWithin(f(f(x[i]! * inverse) + offset), 0, top);
      const difference = f(f(x[i]! - f(s * u)) + m);
      sum = f(sum + f(w[i]! * f(difference * difference)));
    }
    errors[k] = sum;
  }
  let best = 3;
  for (let k = 0; k < 3; k++) if (errors[k]! < errors[best]!) best = k;
  pairs[2 * j] = roundWithin(f(a0 + (best === 3 ? 0 : best - 1)), 0, limit);
  pairs[2 * j + 1] = tried[best]!;
}

/**
 * Packs 256 weights in groups of n, whose integers a and b are within 0..limit: `levels` [256],
 * `pairs` [2 * 256 / n] a, b, a, b, ... The f16 bits of d and dmin go to `supers` at `to`.
 */
export function packAffine256(
  x: Float32Array,
  w: Float32Array,
  n: number,
  top: number,
  limit: number,
  tries: Tries,
  levels: Uint8Array,
  pairs: Uint8Array,
  supers: Uint16Array,
  to: number,
): void {
  const groups = 256 / n;
  let [largest, lowest] = [0, 0];
  for (let j = 0; j < groups; j++) {
    affineScale(x, w, j * n, n, top, tries, true);
    scales[j] = scale;
    mins[j] = min;
    if (scale > largest) largest = scale;
    if (min > lowest) lowest = min;
  }
  let d = toFiniteHalf(f(largest / limit));
  let dmin = toFiniteHalf(f(lowest / limit));
  for (let round = 0; ; round++) {
    const [one, two] = [HALF_TO_FLOAT[d]!, HALF_TO_FLOAT[dmin]!];
    for (let j = 0; j < groups; j++) roundPair(x, w, j * n, n, top, limit, j, one, two, pairs);
    if (round === 1) break;
    // d and dmin fitted anew to the levels that these integers give.
    let [uu, ub, bb, xu, xb] = [0, 0, 0, 0, 0];
    for (let j = 0; j < groups; j++) {
      const [a, b] = [pairs[2 * j]!, pairs[2 * j + 1]!];
      const inverse = inverseOf(f(one * a));
      sums(x, w, j * n, n, top, inverse, f(f(two * b) * inverse));
      uu += a * a * suu;
      ub += a * b * su;
      bb += b * b * sw;
      xu += a * sxu;
      xb += b * sx;
    }
    const determinant = uu * bb - ub * ub;
    if (!(determinant > 0)) break;
    const [s, m] = [(xu * bb - xb * ub) / determinant, (xu * ub - xb * uu) / determinant];
    if (!(s > 0 && m > 0)) break;
    d = toFiniteHalf(s);
    dmin = toFiniteHalf(m);
  }
  const [one, two] = [HALF_TO_FLOAT[d]!, HALF_TO_FLOAT[dmin]!];
  for (let j = 0; j < groups; j++) {
    const inverse = inverseOf(f(one * pairs[2 * j]!));
    const offset = f(f(two * pairs[2 * j + 1]!) * inverse);
    for (let i = j * n; i < (j + 1) * n; i++) levels[i] = roundWithin(f(f(x[i]! * inverse) + offset), 0, top);
  }
  supers[to] = d;
  supers[to + 1] = dmin;
}
