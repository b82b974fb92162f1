// The scale of a q4 group, chosen by the error that it leaves rather than by the
// largest weight alone.

import { HALF_TO_FLOAT, toFiniteHalf } from "../../../src/tensor/half.ts";

// The integers that the extreme weight is tried at: -8 is where the naive scale puts it; beyond
// that it is clipped a little so that the others fit better. Finer steps and the other sign lower
// the squared error by 0.1 % at most.
const LEVELS = Float64Array.of(8, 7, 7.2, 7.4, 7.6, 7.8, 8.2, 8.4, 8.6, 8.8, 9);

// V8 converts an f32 at every read: once here instead of once a level
const group = new Float64Array(32);

/**
 * Quantizes the 32 weights at x[at] to integers in -8..7 times one f16 scale of least squared
 * error, and writes the integers plus 8 (0..15) to `levels`. The scale's sign is free, so that the
 * larger side gets the ninth level (-8). Never worse than the naive scale, extreme / -8. Returns
 * the scale's f16 bits.
 */
export function quantizeQ4Group(x: Float32Array, at: number, levels: Uint8Array): number {
  let extreme = 0;
  for (let i = 0; i < 32; i++) {
    const value = x[at + i]!;
    group[i] = value;
    if (Math.abs(value) > Math.abs(extreme)) extreme = value;
  }
  const naive = toFiniteHalf(extreme / -8);
  if (HALF_TO_FLOAT[naive] === 0) {
    levels.fill(8);
    return 0;
  }
  // For given integers q the best scale is Σxq / Σqq, and it leaves Σxx - (Σxq)² / Σqq: the largest
  // quotient wins.
  let most = 0;
  let scale = 0;
  for (let k = 0; k < LEVELS.length; k++) {
    const inverse = -LEVELS[k]! / extreme;
    let xq = 0;
    let qq = 0;
    for (let i = 0; i < 32; i++) {
      const value = group[i]!;
      const u = (value * inverse + 8.5) | 0; // nothing is below -9, and -9 + 8.5 truncates to 0
      const q = u > 15 ? 7 : u - 8;
      xq += value * q;
      qq += q * q;
    }
    if (xq * xq > most * qq) {
      most = (xq * xq) / qq;
      scale = xq / qq;
    }
  }
  const searched = toFiniteHalf(scale);
  const best = squaredError(searched) <= squaredError(naive) ? searched : naive;
  const inverse = 1 / HALF_TO_FLOAT[best]!;
  for (let i = 0; i < 32; i++) levels[i] = nearestLevel(group[i]! * inverse);
  return best;
}

/** The error that an f16 scale leaves when every weight takes its nearest level. */
function squaredError(half: number): number {
  const scale = HALF_TO_FLOAT[half]!;
  if (scale === 0) return Number.POSITIVE_INFINITY;
  const inverse = 1 / scale;
  let sum = 0;
  for (let i = 0; i < 32; i++) {
    const difference = group[i]! - scale * (nearestLevel(group[i]! * inverse) - 8);
    sum += difference * difference;
  }
  return sum;
}

/** The level 0..15 (value -8..7) nearest to a multiple of the scale. */
function nearestLevel(multiple: number): number {
  const u = Math.floor(multiple + 8.5);
  return u < 0 ? 0 : u > 15 ? 15 : u;
}
