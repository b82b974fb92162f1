// The scale of a q4 group, chosen by the error that it leaves rather than by the largest weight alone.

import { HALF_TO_FLOAT, toHalf } from "./half.ts";

const STEPS = 9; // candidates on each side of the scale that the extreme weight asks for

/**
 * Quantizes 32 weights to integers in -8..7 times one f16 scale, least squares over a search of scales.
 * The scale's sign is free, so that the larger side gets the ninth level (-8). Returns the scale's f16 bits.
 */
export function quantizeQ4Group(x: Float32Array, quants: Int8Array): number {
  let extreme = 0;
  for (let i = 0; i < 32; i++) if (Math.abs(x[i]!) > Math.abs(extreme)) extreme = x[i]!;
  let best = 0;
  let bestError = Number.POSITIVE_INFINITY;
  for (let step = -STEPS; step <= STEPS && extreme !== 0; step++) {
    const inverse = -(8 + 0.1 * step) / extreme;
    // Round with this scale, then take the scale that fits those integers best, rounded to f16.
    let xq = 0;
    let qq = 0;
    for (let i = 0; i < 32; i++) {
      const q = Math.max(-8, Math.min(7, Math.round(x[i]! * inverse)));
      xq += x[i]! * q;
      qq += q * q;
    }
    if (qq === 0) continue;
    const half = toHalf(xq / qq);
    const scale = HALF_TO_FLOAT[half]!;
    if (scale === 0 || !Number.isFinite(scale)) continue;
    let error = 0;
    for (let i = 0; i < 32; i++) {
      const q = Math.max(-8, Math.min(7, Math.round(x[i]! / scale)));
      error += (x[i]! - scale * q) ** 2;
    }
    if (error < bestError) {
      bestError = error;
      best = half;
    }
  }
  const scale = HALF_TO_FLOAT[best]!;
  for (let i = 0; i < 32; i++) quants[i] = scale === 0 ? 0 : Math.max(-8, Math.min(7, Math.round(x[i]! / scale)));
  return best;
}
