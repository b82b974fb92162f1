// Packed weights: where each weight lies, what comes back, how far it may be off.

import { describe, expect, it } from "vitest";
import { HALF_TO_FLOAT, toHalf } from "../../src/tensor/half.ts";
import { packedLayout, unpackRows } from "../../src/tensor/pack.ts";
import { PRECISIONS } from "../../src/tensor/types.ts";
import { held, packMatrix } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";

describe("packedLayout", () => {
  it.each([
    ["f32", 4, 64, { groups: 2, rowBytes: 256, scaleOffset: 1024, bytes: 1024 }],
    ["f16", 3, 60, { groups: 2, rowBytes: 128, scaleOffset: 384, bytes: 384 }],
    ["q8", 3, 33, { groups: 2, rowBytes: 64, scaleOffset: 192, bytes: 208 }],
    ["q4", 3, 33, { groups: 2, rowBytes: 32, scaleOffset: 96, bytes: 112 }],
    ["q4", 4096, 14336, { groups: 448, rowBytes: 7168, scaleOffset: 29360128, bytes: 33030144 }],
    ["f32", 0, 64, { groups: 2, rowBytes: 256, scaleOffset: 0, bytes: 0 }],
  ] as const)("%s [%i, %i]", (precision, rows, cols, want) => {
    expect(packedLayout(precision, rows, cols)).toEqual({ precision, rows, cols, ...want });
  });

  it("costs 4.5 and 8.5 bits a weight", () => {
    const bits = (precision: "q4" | "q8") => (packedLayout(precision, 4096, 4096).bytes * 8) / 4096 ** 2;
    expect([bits("q4"), bits("q8")]).toEqual([4.5, 8.5]);
  });
});

describe("packRows", () => {
  it("lays q4 nibbles out as documented: byte 4j+b holds weight 8j+b low and 8j+4+b high", () => {
    // Multiples of one scale, so that quantizing is exact: weight i is u(i) - 8, with both extremes present.
    const level = (i: number) => (i * 7 + 3) % 16;
    const x = Float32Array.from({ length: 32 }, (_, i) => level(i) - 8);
    const block = packMatrix("q4", x, 1, 32);
    const scale = HALF_TO_FLOAT[new Uint16Array(block.buffer, 16, 1)[0]!]!;
    expect(scale).toBe(1);
    for (let j = 0; j < 4; j++)
      for (let b = 0; b < 4; b++)
        expect(block[4 * j + b], `byte ${4 * j + b}`).toBe(level(8 * j + b) | (level(8 * j + 4 + b) << 4));
  });

  it("lays q8 quants out in order, scaled by max / 127", () => {
    const x = Float32Array.from({ length: 32 }, (_, i) => (i % 2 ? -1 : 1) * 4 * i);
    x[31] = -127;
    const block = packMatrix("q8", x, 1, 32);
    expect([...new Int8Array(block.buffer, 0, 32)]).toEqual([...x]);
    expect(HALF_TO_FLOAT[new Uint16Array(block.buffer, 32, 1)[0]!]).toBe(1);
  });

  it.each(PRECISIONS.flatMap((precision) => [1, 31, 32, 33, 60, 64, 97].map((cols) => ({ precision, cols }))))(
    "$precision gives back rows of $cols columns, any range of them",
    ({ precision, cols }) => {
      const rows = 5;
      const x = uniform(rows * cols, cols);
      const all = held(precision, x, rows, cols);
      for (let r = 0; r < rows; r++)
        for (let c = 0; c < cols; c++) {
          const group = x.subarray(r * cols + (c & ~31), r * cols + Math.min(cols, (c & ~31) + 32));
          const max = group.reduce((a, b) => Math.max(a, Math.abs(b)), 0);
          const value = x[r * cols + c]!;
          // q8 rounds to half of max / 127; q4's scale is at most max / 7, and what it clips stays within two levels.
          const allowed = { f32: 0, f16: Math.abs(value) / 2048, q8: max / 250, q4: max / 5 }[precision];
          expect(Math.abs(all[r * cols + c]! - value), `row ${r}, column ${c}`).toBeLessThanOrEqual(allowed);
        }
      const block = packMatrix(precision, x, rows, cols);
      const two = new Float32Array(2 * cols);
      unpackRows(block, packedLayout(precision, rows, cols), 2, 2, two);
      expect(two).toEqual(all.subarray(2 * cols, 4 * cols));
      expect(block.length).toBe(packedLayout(precision, rows, cols).bytes);
    },
  );

  it.each(PRECISIONS)("%s writes padding as zero weights over what was there", (precision) => {
    const cols = 33;
    const padded = packedLayout(precision, 1, 64);
    const block = packMatrix(precision, uniform(cols, 1), 1, cols);
    const row = new Float32Array(64);
    unpackRows(block, padded, 0, 1, row);
    expect([...row.subarray(cols)].map(Math.abs)).toEqual(Array(64 - cols).fill(0));
  });

  it.each(["q8", "q4"] as const)("%s keeps zeros, tiny and huge weights finite", (precision) => {
    const x = new Float32Array(96);
    x.fill(1e-30, 32, 64);
    x.fill(3e38, 64, 80);
    const back = held(precision, x, 1, 96);
    expect([...back.subarray(0, 64)].every((value) => Math.abs(value) === 0)).toBe(true);
    expect([...back.subarray(64)].every(Number.isFinite)).toBe(true);
    expect([...back.subarray(80)].map(Math.abs)).toEqual(Array(16).fill(0));
  });

  it("f16 keeps huge weights finite, as large as it can", () => {
    const back = held("f16", Float32Array.of(1e5, -3e38, 65519, 1), 1, 4);
    expect(back).toEqual(Float32Array.of(65504, -65504, 65504, 1));
  });

  it("f16 rounds to nearest even", () => {
    const x = uniform(64, 9);
    expect(held("f16", x, 1, 64)).toEqual(Float32Array.from(x, (value) => HALF_TO_FLOAT[toHalf(value)]!));
  });
});
