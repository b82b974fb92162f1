// Activations as int8: the SIMD kernel against its plain form, integer by integer.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { quantize } from "../../kernels/quantize.ts";
import { uniform } from "../support/random.ts";
import { simdBenches } from "../support/simd.ts";

/** Order of the columns of each eight in a baseline module, where activations are int16. */
const ORDER = [0, 2, 1, 3, 4, 6, 5, 7];

/**
 * How sums begin: the level that they count from, once or for each half of a group; then offsets. A
 * scale covers as many columns as the format's groups have.
 */
const KINDS = {
  q4: { center: 8, starts: 1, sums: 0 },
  q8: { center: 128, starts: 1, sums: 0 },
  q4_k: { center: 0, starts: 0, sums: 1 },
  q5_k: { center: 16, starts: 1, sums: 1 },
  q6_k: { center: 32, starts: 2, sums: 0 },
  q2_k: { center: 0, starts: 0, sums: 2 }, // of each half, as int16
  iq4_xs: { center: 128, starts: 1, sums: 0 },
} as const;

const cases = simdBenches().flatMap((bench) =>
  (Object.keys(KINDS) as (keyof typeof KINDS)[]).map((format) => [bench.name, format, bench] as const),
);

describe.each(cases)("quantize, %s, for %s", (name, format, bench) => {
  const wide = name === "simd128" || format === "q8" || format === "iq4_xs";
  const { group } = FORMATS[format];
  const { center, starts, sums } = KINDS[format];
  const whole = group === 256 && sums === 1; // the sum is there as integers, also of the group before
  const tailBytes = 4 * (1 + starts + Math.min(1, sums) + (!whole ? 0 : center === 0 ? 1 : 2));
  const kernels = bench.of(FORMATS[format]);

  it.each([
    ["whole groups", 3, 64, 1],
    ["a last group that is not whole", 5, 77, 1],
    ["less than a group", 4, 7, 1],
    ["several super-blocks, the last not whole", 2, 550, 1],
    ["large values", 2, 96, 1e30],
    ["small values", 2, 96, 1e-30],
  ])("%s", (_case, T, D, range) => {
    const x = uniform(T * D, 5, range);
    x.fill(0, 0, Math.min(D, 32)); // a group of zeros
    const blocks = Math.ceil(D / group);
    const G = (blocks * group) / 32; // those past the end are zeros
    const quants = new Int8Array(T * G * 32);
    const scales = new Float32Array(T * blocks);
    quantize(group, x, D, quants, scales, 0, T);

    const rowBytes = kernels.quantizedBytes!(G);
    expect(rowBytes).toBe(G * ((wide ? 64 : 32) + tailBytes));
    const y = bench.room(T * rowBytes);
    kernels.quantize!(0, 1, 0, bench.put(x), D, G, y);
    const at = bench.put(x);
    for (const [from, to] of [
      [0, 1],
      [1, T],
    ] as const)
      kernels.quantize!(from, to, 1, at, D, G, y);

    for (let t = 0; t < T; t++) {
      const row = bench.bytes(y + t * rowBytes, rowBytes);
      const own = wide ? new Int16Array(row.buffer, 0, G * 32) : new Int8Array(row.buffer, 0, G * 32);
      const got = wide
        ? Array.from({ length: G * 32 }, (_, i) => own[(i & ~7) + ORDER.indexOf(i & 7)])
        : Array.from(own);
      expect(got).toEqual(Array.from(quants.subarray(t * G * 32, (t + 1) * G * 32)));
      const tail = new DataView(row.buffer, G * (wide ? 64 : 32));
      for (let g = 0; g < G; g++) {
        const at = tailBytes * g;
        expect(tail.getFloat32(at, true)).toBe(scales[t * blocks + Math.floor((g * 32) / group)]);
        const integers = quants.subarray((t * G + g) * 32, (t * G + g + 1) * 32);
        for (let i = 0; i < starts; i++) {
          const part = integers.subarray((32 / starts) * i, (32 / starts) * (i + 1));
          const [low, high] = [
            sumOf(part.filter((_, c) => (c & 2) === 0)),
            sumOf(part.filter((_, c) => (c & 2) !== 0)),
          ];
          const start = at + 4 + 4 * i;
          // The two lanes of int16 that a row's first and last two columns of each four
          // are summed in.
          if (name === "relaxed" && !(format === "q8" || format === "iq4_xs")) {
            expect(tail.getInt16(start, true)).toBe(0 - center * low);
            expect(tail.getInt16(start + 2, true)).toBe(0 - center * high);
          } else expect(tail.getInt32(start, true)).toBe(0 - center * (low + high));
        }
        const sum = at + 4 + 4 * starts;
        if (sums === 1 && !whole) expect(tail.getFloat32(sum, true)).toBe(sumOf(integers));
        if (whole) {
          const before = g === 0 ? 0 : sumOf(quants.subarray((t * G + g - 1) * 32, (t * G + g) * 32));
          expect(tail.getInt16(sum, true)).toBe(before);
          expect(tail.getInt16(sum + 2, true)).toBe(sumOf(integers));
          expect(tail.getInt32(sum + 4, true)).toBe(sumOf(integers) * 65536);
          if (center !== 0) expect(tail.getInt32(sum + 8, true)).toBe(sumOf(integers) * center);
        }
        if (sums === 2) {
          expect(tail.getInt16(sum, true)).toBe(sumOf(integers.subarray(0, 16)));
          expect(tail.getInt16(sum + 2, true)).toBe(sumOf(integers.subarray(16)));
        }
      }
    }
  });

  it("keeps what is not a number as a scale that is not one", () => {
    const x = uniform(64, 6);
    x[40] = Number.NaN;
    const y = bench.room(kernels.quantizedBytes!(2));
    kernels.quantize!(0, 1, 0, bench.put(x), 64, 2, y);
    const tail = y + 2 * (wide ? 64 : 32);
    if (group === 32) expect(bench.floats(tail, 1)[0]).toBeGreaterThan(0);
    else expect(bench.floats(tail, 1)[0]).toBeNaN();
    expect(bench.floats(tail + tailBytes, 1)[0]).toBeNaN();
  });
});

function sumOf(integers: Int8Array): number {
  return integers.reduce((a, b) => a + b, 0);
}
