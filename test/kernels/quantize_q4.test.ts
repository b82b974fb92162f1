// The search for a q4 scale: never worse than the naive one, and as good as an exhaustive search to
// a few per mille.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { quantizeQ4Group } from "../../kernels/formats/q4/quantize.ts";
import { HALF_TO_FLOAT, toHalf } from "../../src/tensor/half.ts";
import { generator } from "../support/random.ts";

/** Squared error of a group at a scale, every weight at its nearest level in -8..7. */
function errorAt(x: Float32Array, scale: number): number {
  if (scale === 0) return x.reduce((sum, value) => sum + value * value, 0);
  return x.reduce((sum, value) => {
    const q = Math.max(-8, Math.min(7, Math.floor(value / scale + 0.5)));
    return sum + (value - scale * q) ** 2;
  }, 0);
}

function naiveScale(x: Float32Array): number {
  const extreme = x.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
  return HALF_TO_FLOAT[Math.min(toHalf(Math.abs(extreme) / 8), 0x7bff)]! * (extreme > 0 ? -1 : 1);
}

/** Quantizes x and returns the error that unpacking would show. */
function quantizedError(x: Float32Array): number {
  const levels = new Uint8Array(32);
  const scale = HALF_TO_FLOAT[quantizeQ4Group(x, 0, levels)]!;
  return x.reduce((sum, value, i) => sum + (value - scale * (levels[i]! - 8)) ** 2, 0);
}

/** A group of weights as trained models have them: nearly normal. */
function normalGroup(next: () => number): Float32Array {
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());
  return Float32Array.from({ length: 32 }, () => 0.02 * normal());
}

describe("quantizeQ4Group", () => {
  it("is never worse than the naive scale", () => {
    const weight = fc.oneof(
      fc.float({ min: -1, max: 1, noNaN: true }),
      fc.float({ noNaN: true, noDefaultInfinity: true }),
      fc.constantFrom(0, 1, -1, 0.5, -8, 7, 1e-7, 3e38),
    );
    fc.assert(
      fc.property(fc.array(weight, { minLength: 32, maxLength: 32 }), (values) => {
        const x = Float32Array.from(values);
        const naive = errorAt(x, naiveScale(x));
        expect(quantizedError(x)).toBeLessThanOrEqual(naive * (1 + 1e-9));
      }),
      { seed: 1, numRuns: 2000 },
    );
  });

  it("leaves within 1 % of the least squared error that any scale can, over many groups", () => {
    const next = generator(7);
    let found = 0;
    let least = 0;
    let naive = 0;
    for (let n = 0; n < 200; n++) {
      const x = normalGroup(next);
      const max = x.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
      let best = Number.POSITIVE_INFINITY;
      for (let level = 5; level <= 12; level += 0.01)
        for (const sign of [1, -1]) best = Math.min(best, errorAt(x, (sign * max) / level));
      least += best;
      found += quantizedError(x);
      naive += errorAt(x, naiveScale(x));
    }
    expect(found).toBeLessThan(1.01 * least);
    expect(found).toBeLessThan(0.95 * naive);
  });

  it.each([
    { name: "exact multiples", values: Array.from({ length: 32 }, (_, i) => 0.25 * ((i % 16) - 8)) },
    { name: "the positive side larger", values: Array.from({ length: 32 }, (_, i) => 0.5 * (8 - (i % 16))) },
    { name: "one weight alone", values: [3, ...Array<number>(31).fill(0)] },
    { name: "zeros", values: Array<number>(32).fill(0) },
  ])("is exact for $name", ({ values }) => {
    expect(quantizedError(Float32Array.from(values))).toBe(0);
  });

  it("reads its 32 weights where it is told", () => {
    const x = Float32Array.from({ length: 96 }, (_, i) => (i >= 32 && i < 64 ? (i % 16) - 8 : 1e6));
    const levels = new Uint8Array(32);
    expect(HALF_TO_FLOAT[quantizeQ4Group(x, 32, levels)]).toBe(1);
    expect([...levels]).toEqual(Array.from({ length: 32 }, (_, i) => i % 16));
  });
});
