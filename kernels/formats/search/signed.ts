// Scales of formats without a minimum, w = s q with q of a grid: per group, and in two levels,
// s = d i with an integer i a group and d for 256 columns.

import { HALF_TO_FLOAT, toFiniteHalf } from "../../../src/tensor/half.ts";
import { extremeOf, inverseOf, roundWithin, SMALLEST } from "./groups.ts";

/** The numbers q that codes stand for. */
export interface Grid {
  /** The least and the largest. */
  readonly low: number;
  readonly high: number;
  /**
   * Codes of a grid with uneven steps: of the q nearest to t, at floor(2t) + 256. Absent: q is
   * code + low.
   */
  readonly codes?: Uint8Array;
  /** q by code. */
  readonly values: ArrayLike<number>;
}

/** A grid of every integer from low to high. */
export function evenGrid(low: number, high: number): Grid {
  return { low, high, values: Array.from({ length: high - low + 1 }, (_, i) => low + i) };
}

/** A grid of at most 16 integers by code. Twice the middle of two neighbours is an integer. */
export function unevenGrid(values: Int8Array): Grid {
  const codes = Uint8Array.from({ length: 512 }, (_, i) => {
    const t = (i - 255.5) / 2; // no middle of two
    let best = 0;
    for (let c = 1; c < values.length; c++) if (Math.abs(t - values[c]!) < Math.abs(t - values[best]!)) best = c;
    return best;
  });
  return { low: Math.min(...values), high: Math.max(...values), codes, values };
}

/** The code of the q nearest to t. */
export function codeOf({ low, high, codes }: Grid, t: number): number {
  if (codes === undefined) return roundWithin(t, low, high) - low;
  const within = t < low ? low : high < t ? high : t;
  return codes[Math.fround(2 * within + 256) | 0]!;
}

let xq = 0;
let qq = 0;

/** Σwxq and Σwqq of the q nearest to x * inverse, to `xq` and `qq`. */
function sums(x: Float32Array, w: Float32Array, at: number, n: number, grid: Grid, inverse: number): void {
  xq = 0;
  qq = 0;
  const { values } = grid;
  for (let i = at; i < at + n; i++) {
    const q = values[codeOf(grid, Math.fround(x[i]! * inverse))]!;
    const wq = Math.fround(w[i]! * q);
    xq = Math.fround(xq + Math.fround(wq * x[i]!));
    qq = Math.fround(qq + Math.fround(wq * q));
  }
}

/**
 * The scale of the n weights from x[at] on that leaves least of Σ w (x - s q)²: the extreme is
 * tried at every peak. For given q the best scale is Σwxq / Σwqq, and the largest
 * (Σwxq)² / Σwqq wins.
 */
function signedScale(x: Float32Array, w: Float32Array, at: number, n: number, grid: Grid, peaks: Float32Array): number {
  const extreme = extremeOf(x, at, n);
  if (Math.abs(extreme) < SMALLEST) return 0;
  let most = 0;
  let scale = 0;
  for (let k = 0; k < peaks.length; k++) {
    sums(x, w, at, n, grid, Math.fround(peaks[k]! / extreme));
    const gain = Math.fround(Math.fround(xq * xq) / qq);
    if (gain > most) {
      most = gain;
      scale = Math.fround(xq / qq);
    }
  }
  return scale;
}

/** Packs one group: its codes to `codes`. Returns its scale as f16 bits. */
export function packSigned(
  x: Float32Array,
  w: Float32Array,
  at: number,
  n: number,
  grid: Grid,
  peaks: Float32Array,
  codes: Uint8Array,
): number {
  const half = toFiniteHalf(signedScale(x, w, at, n, grid, peaks));
  const inverse = inverseOf(HALF_TO_FLOAT[half]!);
  for (let i = 0; i < n; i++) codes[i] = codeOf(grid, Math.fround(x[at + i]! * inverse));
  return half;
}

/** Σ w (x - s q)² of n weights. */
export function squaredError(
  x: Float32Array,
  w: Float32Array,
  at: number,
  n: number,
  grid: Grid,
  scale: number,
): number {
  const inverse = inverseOf(scale);
  let sum = 0;
  for (let i = at; i < at + n; i++) {
    const q = grid.values[codeOf(grid, Math.fround(x[i]! * inverse))]!;
    const difference = Math.fround(x[i]! - Math.fround(scale * q));
    sum = Math.fround(sum + Math.fround(w[i]! * Math.fround(difference * difference)));
  }
  return sum;
}

/**
 * The integer i near scale / d, within low..-low-1, whose s = d i leaves least error: as it rounds,
 * one less or one more.
 */
function roundScale(
  x: Float32Array,
  w: Float32Array,
  at: number,
  n: number,
  grid: Grid,
  scale: number,
  d: number,
  low: number,
): number {
  const rounded = roundWithin(Math.fround(scale * inverseOf(d)), low, -low - 1);
  let best = rounded;
  let least = squaredError(x, w, at, n, grid, Math.fround(d * rounded));
  for (const step of [-1, 1]) {
    const i = roundWithin(rounded + step, low, -low - 1);
    const error = squaredError(x, w, at, n, grid, Math.fround(d * i));
    if (error < least) {
      least = error;
      best = i;
    }
  }
  return best;
}

const found = new Float32Array(16);

/**
 * Packs 256 weights in groups of n, whose integers i are within low..-low-1: `codes` [256],
 * `scales` [256 / n]. Returns d as f16 bits.
 */
export function packSigned256(
  x: Float32Array,
  w: Float32Array,
  n: number,
  grid: Grid,
  peaks: Float32Array,
  low: number,
  codes: Uint8Array,
  scales: Int8Array,
): number {
  const groups = 256 / n;
  for (let j = 0; j < groups; j++) found[j] = signedScale(x, w, j * n, n, grid, peaks);
  let half = toFiniteHalf(Math.fround(extremeOf(found, 0, groups) / low));
  // The scales rounded, d is fitted anew to what the weights then become.
  let [over, under] = [0, 0];
  let d = HALF_TO_FLOAT[half]!;
  for (let j = 0; j < groups; j++) {
    const i = roundScale(x, w, j * n, n, grid, found[j]!, d, low);
    sums(x, w, j * n, n, grid, inverseOf(Math.fround(d * i)));
    over += i * xq;
    under += i * i * qq;
  }
  if (under > 0) half = toFiniteHalf(over / under);
  d = HALF_TO_FLOAT[half]!;
  for (let j = 0; j < groups; j++) {
    const i = roundScale(x, w, j * n, n, grid, found[j]!, d, low);
    scales[j] = i;
    const own = inverseOf(Math.fround(d * i));
    for (let k = j * n; k < (j + 1) * n; k++) codes[k] = codeOf(grid, Math.fround(x[k]! * own));
  }
  return half;
}
