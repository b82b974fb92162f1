// The search for scales: never more error than scales from the largest weight, less where
// importance says so, and rows that a format holds exactly come back as they were.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { IQ4_VALUES } from "../../kernels/formats/iq4_nl/iq4_nl.ts";
import { type Format, rowPlanes, unpackRows } from "../../src/tensor/format.ts";
import { HALF_TO_FLOAT, toHalf } from "../../src/tensor/half.ts";
import { generator, uniform } from "../support/random.ts";

const integers = (low: number, high: number) => Array.from({ length: high - low + 1 }, (_, i) => low + i);
const half = (value: number) => HALF_TO_FLOAT[toHalf(value)]!;

/** What a format rounds to: q of a grid or u in 0..top with a minimum, groups of n, two levels. */
interface Shape {
  readonly n: number;
  readonly grid: readonly number[];
  readonly minimum?: true;
  /** The largest magnitude of the integers that scales round to; absent: scales are f16. */
  readonly limit?: number;
}

const SHAPES = {
  q6_k: { n: 16, grid: integers(-32, 31), limit: 128 },
  q5_k: { n: 32, grid: integers(0, 31), minimum: true, limit: 63 },
  q5_1: { n: 32, grid: integers(0, 31), minimum: true },
  q5_0: { n: 32, grid: integers(-16, 15) },
  q4_k: { n: 32, grid: integers(0, 15), minimum: true, limit: 63 },
  q4_1: { n: 32, grid: integers(0, 15), minimum: true },
  iq4_nl: { n: 32, grid: [...IQ4_VALUES] },
  iq4_xs: { n: 32, grid: [...IQ4_VALUES], limit: 32 },
  q3_k: { n: 16, grid: integers(-4, 3), limit: 32 },
  q2_k: { n: 16, grid: integers(0, 3), minimum: true, limit: 15 },
} as const satisfies Readonly<Record<string, Shape>>;

/** A row with scales from the extremes of groups, as the simplest quantizer has it. */
function naive(x: Float32Array, { n, grid, minimum, limit }: Shape): number[] {
  const groups = Array.from({ length: x.length / n }, (_, g) => [...x.subarray(g * n, g * n + n)]);
  const low = groups.map((group) => (minimum ? Math.min(...group, limit ? 0 : Number.POSITIVE_INFINITY) : 0));
  const scales = groups.map((group, g) => {
    if (minimum) return (Math.max(...group) - low[g]!) / grid.at(-1)!;
    return group.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a)) / grid[0]!;
  });
  const rounded = (values: number[]) => {
    if (!limit) return values.map(half);
    const extreme = values.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
    const d = half(extreme / limit);
    return values.map((value) => d * Math.round(value / (d || 1)));
  };
  const [s, m] = [rounded(scales), rounded(low)];
  return [...x].map((value, i) => {
    const [scale, min] = [s[Math.floor(i / n)]!, m[Math.floor(i / n)]!];
    const candidates = grid.map((q) => scale * q + min);
    return candidates.reduce((a, b) => (Math.abs(b - value) < Math.abs(a - value) ? b : a));
  });
}

function packed(format: Format, x: Float32Array, importance?: Float32Array): Float32Array {
  const planes = rowPlanes(format, 1, x.length);
  format.pack!(x, planes, importance);
  const row = new Float32Array(x.length);
  unpackRows(format, planes, 1, x.length, row);
  return row;
}

const errorOf = (x: Float32Array, y: ArrayLike<number>, w?: Float32Array) =>
  x.reduce((sum, value, i) => sum + (w?.[i] ?? 1) * (value - y[i]!) ** 2, 0);

/** Rows of kinds that trained matrices are not: the search must not fail them. */
const ROWS: Readonly<Record<string, (i: number, next: () => number) => number>> = {
  normal: (_, next) => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()) * 0.02,
  "one far out in each group": (i, next) => (i % 16 === 5 ? 1 : 0.05) * (next() - 0.5),
  positive: (_, next) => 1 + next(),
  "few values": (_, next) => Math.floor(next() * 3) - 1,
};

describe.each(Object.keys(SHAPES) as (keyof typeof SHAPES)[])("%s", (name) => {
  const format: Format = FORMATS[name];

  it.each(Object.keys(ROWS))("has no more error than scales from the largest weight: %s", (kind) => {
    const next = generator(7);
    let [found, simplest] = [0, 0];
    for (let row = 0; row < 8; row++) {
      const x = Float32Array.from({ length: 256 }, (_, i) => ROWS[kind]!(i, next));
      found += errorOf(x, packed(format, x));
      simplest += errorOf(x, naive(x, SHAPES[name]));
    }
    expect(found).toBeLessThanOrEqual(simplest + 1e-12);
  });

  it("has less error where importance is", () => {
    const next = generator(3);
    let [without, within] = [0, 0];
    for (let row = 0; row < 16; row++) {
      const x = uniform(256, row + 1);
      const importance = Float32Array.from({ length: 256 }, () => 2 ** (8 * next() - 4));
      without += errorOf(x, packed(format, x), importance);
      within += errorOf(x, packed(format, x, importance), importance);
    }
    expect(within).toBeLessThan(0.97 * without);
  });

  it("is the same every time, and takes an importance of 1 for none", () => {
    const x = uniform(300, 4);
    expect(packed(format, x)).toEqual(packed(format, x, new Float32Array(300).fill(1)));
  });
});

describe("mxfp4", () => {
  it("takes the exponent of least error", () => {
    const values = [0, 0.5, 1, 1.5, 2, 3, 4, 6].flatMap((v) => [v, -v]);
    const next = generator(5);
    for (let row = 0; row < 16; row++) {
      const x = Float32Array.from({ length: 32 }, () => ROWS.normal!(0, next));
      const errors = integers(-14, -2).map((e) =>
        errorOf(
          x,
          [...x].map((value) =>
            values.map((v) => v * 2 ** e).reduce((a, b) => (Math.abs(b - value) < Math.abs(a - value) ? b : a)),
          ),
        ),
      );
      expect(errorOf(x, packed(FORMATS.mxfp4, x))).toBeCloseTo(Math.min(...errors), 8);
    }
  });
});

it.each(["q5_1", "q5_0", "q4_1", "iq4_nl", "mxfp4"] as const)("%s gives back what it holds", (name) => {
  const { [name]: format }: Readonly<Record<string, Format>> = FORMATS;
  const next = generator(11);
  const held: Readonly<Record<typeof name, (i: number) => number>> = {
    q5_1: (i) => 0.25 * (i < 2 ? 31 * i : Math.floor(32 * next())) - 3.5,
    q5_0: (i) => 0.125 * (i < 2 ? 31 * i - 16 : Math.floor(32 * next()) - 16),
    q4_1: (i) => 0.75 * (i < 2 ? 15 * i : Math.floor(16 * next())) + 1,
    iq4_nl: (i) => 0.5 * IQ4_VALUES[i < 2 ? 15 * i : Math.floor(16 * next())]!,
    mxfp4: (i) => 0.125 * [12, -8, 6, 1, 0, -3][i < 6 ? i : Math.floor(6 * next())]!,
  };
  const x = Float32Array.from({ length: 32 }, (_, i) => held[name](i));
  expect([...packed(format!, x)].map((value) => value + 0)).toEqual([...x].map((value) => value + 0));
});
