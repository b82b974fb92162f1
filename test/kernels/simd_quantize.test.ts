// Activations as int8: the SIMD kernel against its plain form, integer by integer.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { quantize } from "../../kernels/quantize.ts";
import { uniform } from "../support/random.ts";
import { simdBenches } from "../support/simd.ts";

/** Order of the columns of each eight in a baseline module, where activations are int16. */
const ORDER = [0, 2, 1, 3, 4, 6, 5, 7];

const cases = simdBenches().flatMap((bench) =>
  (["q4", "q8", "q4_k"] as const).map((format) => [bench.name, format, bench] as const),
);

describe.each(cases)("quantize, %s, for %s", (name, format, bench) => {
  const wide = name === "simd128" || format === "q8";
  const { group } = FORMATS[format];
  const kernels = bench.of(FORMATS[format]);

  it.each([
    ["whole groups", 3, 64, 1],
    ["a last group that is not whole", 5, 77, 1],
    ["less than a group", 4, 7, 1],
    ["large values", 2, 96, 1e30],
    ["small values", 2, 96, 1e-30],
  ])("%s", (_case, T, D, range) => {
    const x = uniform(T * D, 5, range);
    x.fill(0, 0, Math.min(D, 32)); // a group of zeros
    const own32 = Math.ceil(D / 32);
    const G = (Math.ceil(D / group) * group) / 32; // those past the end are zeros
    const quants = new Int8Array(T * G * 32);
    const scales = new Float32Array(T * G);
    for (let t = 0; t < T; t++) {
      const row = x.subarray(t * D, (t + 1) * D);
      quantize(row, D, quants.subarray(t * G * 32), scales.subarray(t * G, t * G + own32), 0, 1);
    }

    const rowBytes = kernels.quantizedBytes!(G);
    expect(rowBytes).toBe(G * ((wide ? 64 : 32) + 8));
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
        expect(tail.getFloat32(4 * g, true)).toBe(scales[t * G + g]);
        const sum = quants.subarray((t * G + g) * 32, (t * G + g + 1) * 32).reduce((a, b) => a + b, 0);
        const first = tail.getInt32(4 * (G + g), true);
        const half = name === "relaxed" && format === "q4"; // in the first of two int16 lanes
        if (format === "q4_k") expect(tail.getFloat32(4 * (G + g), true)).toBe(sum);
        else expect(half ? (first << 16) >> 16 : first).toBe(0 - (format === "q8" ? 128 : 8) * sum);
      }
    }
  });

  it("keeps what is not a number as a scale that is not one", () => {
    const x = uniform(64, 6);
    x[40] = Number.NaN;
    const y = bench.room(kernels.quantizedBytes!(2));
    kernels.quantize!(0, 1, 0, bench.put(x), 64, 2, y);
    const scales = bench.floats(y + 2 * (wide ? 64 : 32), 2);
    expect(scales[0]).toBeGreaterThan(0);
    expect(scales[1]).toBeNaN();
  });
});
