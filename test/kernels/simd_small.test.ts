// The small SIMD kernels against their plain twins: odd sizes, work cut in
// awkward pieces, extremes.

import { describe, expect, it } from "vitest";
import { add } from "../../kernels/add.ts";
import { addBias } from "../../kernels/add_bias.ts";
import { FORMATS } from "../../kernels/formats/index.ts";
import { layerNorm } from "../../kernels/layer_norm.ts";
import { packedMatrix, unpackRow } from "../../kernels/packed.ts";
import { qkNorm } from "../../kernels/qk_norm.ts";
import { reorder } from "../../kernels/reorder.ts";
import { rmsNorm } from "../../kernels/rms_norm.ts";
import { rope, ropeTable } from "../../kernels/rope.ts";
import { rows } from "../../kernels/rows.ts";
import { panelLayout } from "../../src/tensor/format.ts";
import { toFiniteHalf } from "../../src/tensor/half.ts";
import { generator, uniform } from "../support/random.ts";
import { panelsOf } from "../support/records.ts";
import {
  expectClose,
  inverseFrequencies,
  layerNorm as layerNormOf,
  rmsNorm as rmsNormOf,
} from "../support/reference.ts";
import { simdBenches } from "../support/simd.ts";

const MARK = 12345; // what lies where nothing may be written

/** Ranges that cover 0..n in pieces of awkward sizes, not in order. */
function ranges(n: number): [number, number][] {
  const cuts = [0, 1, 4, 6, 13, 20].filter((cut) => cut < n);
  return cuts.map((cut, i): [number, number] => [cut, cuts[i + 1] ?? n]).reverse();
}

/** Normals of all sizes, zeros of both signs, denormals, the largest: [n]. */
function extremes(n: number, seed: number): Float32Array {
  const next = generator(seed);
  const special = [0, -0, 1e-45, -1e-40, 1.1754944e-38, 3.4e38, -3.4028235e38, 1, -65504, 6e-8];
  return Float32Array.from({ length: n }, (_, i) =>
    i % 3 === 0 ? special[Math.floor(next() * special.length)]! : (next() - 0.5) * 2 ** (next() * 200 - 100),
  );
}

/** Relative error of every element, denormals aside. */
function expectEach(got: Float32Array, want: ArrayLike<number>, relative: number, scale?: ArrayLike<number>): void {
  expect(got.length).toBe(want.length);
  got.forEach((value, i) => {
    const allowed = relative * Math.abs((scale ?? want)[i]!) + 1e-37;
    if (!(Math.abs(value - want[i]!) <= allowed) && !Object.is(value, Math.fround(want[i]!)))
      expect.fail(`element ${i}: ${value}, expected ${want[i]} within ${allowed}`);
  });
}

describe.each(simdBenches())("$name", ({ kernels, of, put, room, floats, bytes }) => {
  describe("rmsNorm", () => {
    it.each([1, 2, 3, 4, 7, 32, 61, 130])("D = %i", (D) => {
      const T = 9;
      for (const x of [uniform(T * D, 1), uniform(T * D, 2, 1e30), uniform(T * D, 3, 1e-30), new Float32Array(T * D)]) {
        const w = uniform(D, 4, 3);
        for (const eps of [1e-5, 1e-6]) {
          const want = new Float32Array(T * D);
          rmsNorm(x, w, eps, want, 0, T);
          const [at, weights, y] = [put(x), put(w), room(T * D * 4 + 4)];
          for (const [from, to] of ranges(T)) kernels.rmsNorm!(from, to, 0, at, weights, eps, D, y);
          expectEach(floats(y, T * D), want, 2 ** -23);
          expect(floats(y + T * D * 4, 1)[0]).toBe(0);
          kernels.rmsNorm!(2, 5, 0, at, weights, eps, D, at); // in place
          expectEach(floats(at + 2 * D * 4, 3 * D), want.subarray(2 * D, 5 * D), 2 ** -23);
          expect(floats(at, 2 * D)).toEqual(x.subarray(0, 2 * D));
          expect(floats(at + 5 * D * 4, 4 * D)).toEqual(x.subarray(5 * D));
        }
      }
    });
  });

  describe("layerNorm", () => {
    it.each([1, 2, 3, 4, 7, 32, 61, 130])("D = %i", (D) => {
      const T = 9;
      for (const x of [uniform(T * D, 1), uniform(T * D, 2, 1e30), uniform(T * D, 3, 1e-30), new Float32Array(T * D)]) {
        const [w, b] = [uniform(D, 4, 3), uniform(D, 5, 3)];
        const want = new Float32Array(T * D);
        layerNorm(x, w, b, 1e-5, want, 0, T);
        expectClose(want, layerNormOf(x, w, b, 1e-5), D);
        const [at, weights, bias, y] = [put(x), put(w), put(b), room(T * D * 4 + 4)];
        for (const [from, to] of ranges(T)) kernels.layerNorm!(from, to, 0, at, weights, bias, 1e-5, D, y);
        expectEach(floats(y, T * D), want, 2 ** -20, new Float32Array(T * D).fill(3));
        expect(floats(y + T * D * 4, 1)[0]).toBe(0);
        kernels.layerNorm!(2, 5, 0, at, weights, bias, 1e-5, D, at); // in place
        expect(floats(at + 2 * D * 4, 3 * D)).toEqual(floats(y + 2 * D * 4, 3 * D));
        expect(floats(at, 2 * D)).toEqual(x.subarray(0, 2 * D));
      }
    });
  });

  describe("rope", () => {
    it.each([
      { headDim: 2, turned: 2, heads: 3, width: 9 },
      { headDim: 6, turned: 6, heads: 2, width: 13 },
      { headDim: 6, turned: 4, heads: 2, width: 13 },
      { headDim: 16, turned: 16, heads: 5, width: 80 },
      { headDim: 80, turned: 80, heads: 3, width: 400 },
      { headDim: 80, turned: 20, heads: 3, width: 400 },
      { headDim: 128, turned: 128, heads: 2, width: 384 },
    ])("$turned of $headDim dimensions of $heads heads in rows of $width", ({ headDim, turned, heads, width }) => {
      const T = 9;
      const x = uniform(T * width, 5);
      const pairs = turned / 2;
      const table = new Float32Array(T * turned);
      const positions = Uint32Array.from({ length: T }, (_, t) => t * 977);
      ropeTable(positions, { inverse: inverseFrequencies(1e6, turned), factor: 1 }, table);
      const want = x.slice();
      rope(want, width, heads, headDim, pairs, table, 0, T);
      const [at, angles] = [put(x), put(table)];
      kernels.rope!(2, 6, 0, at, width, heads, headDim, pairs, angles);
      expect(floats(at, 2 * width)).toEqual(x.subarray(0, 2 * width));
      expect(floats(at + 6 * width * 4, 3 * width)).toEqual(x.subarray(6 * width));
      for (const [from, to] of [
        [0, 1],
        [6, 9],
        [1, 2],
      ] as const)
        kernels.rope!(from, to, 0, at, width, heads, headDim, pairs, angles);
      const got = floats(at, T * width);
      expectEach(got, want, 3e-7, new Float32Array(T * width).fill(1));
      for (let t = 0; t < T; t++) {
        const rest = [t * width + heads * headDim, (t + 1) * width] as const;
        expect(got.subarray(...rest)).toEqual(x.subarray(...rest));
        for (let h = 0; h < heads; h++) {
          const still = [t * width + h * headDim + turned, t * width + (h + 1) * headDim] as const;
          expect(got.subarray(...still)).toEqual(x.subarray(...still));
        }
      }
    });
  });

  it.each([
    { first: 3, runs: 5, D: 6, width: 40 },
    { first: 0, runs: 2, D: 32, width: 64 },
    { first: 16, runs: 1, D: 130, width: 150 },
  ])("qkNorm: $runs runs of $D from $first on", ({ first, runs, D, width }) => {
    const T = 7;
    const [x, w] = [uniform(T * width, 13, 3), uniform(D, 14, 2)];
    const want = x.slice();
    qkNorm(want, width, first, runs, w, 1e-3, 0, T);
    for (let t = 0; t < T; t++) {
      const normed = [t * width + first, t * width + first + runs * D] as const;
      expectClose(want.subarray(...normed), rmsNormOf(x.subarray(...normed), w, 1e-3), D);
    }
    const [at, weights] = [put(x), put(w)];
    for (const [from, to] of ranges(T)) kernels.qkNorm!(from, to, 0, at, width, first, runs, weights, 1e-3, D);
    expectEach(floats(at, T * width), want, 2 ** -23);
  });

  it("addBias: bit for bit, and nothing outside its columns", () => {
    const [T, width, first, N] = [7, 40, 3, 29];
    const [y, bias] = [uniform(T * width, 15), uniform(N, 16)];
    const want = y.map((value, i) => value + (bias[(i % width) - first] ?? 0));
    const own = y.slice();
    addBias(own, width, first, bias, 0, T);
    expect(own).toEqual(want);
    const [at, values] = [put(y), put(bias)];
    for (const [from, to] of ranges(T)) kernels.addBias!(from, to, 0, at, width, first, values, N);
    expect(floats(at, T * width)).toEqual(want);
  });

  it("add: bit for bit, and nothing outside its range", () => {
    const n = 61;
    const [x, y] = [extremes(n, 6), extremes(n, 7)];
    const want = x.slice();
    add(want, y, 3, 58);
    const [a, b] = [put(x), put(y)];
    for (const [from, to] of ranges(55)) kernels.add!(from + 3, to + 3, 0, a, b);
    expect(floats(a, n)).toEqual(want);
    expect(floats(b, n)).toEqual(y);
  });

  it.each([1, 6, 64, 131])("addWeighted, D = %i", (D) => {
    const [n, T] = [23, 9];
    const next = generator(8);
    // the last one has no tokens
    const tokens = Uint32Array.from({ length: n }, () => Math.floor(next() * (T - 1)));
    const [x, weights, y] = [uniform(n * D, 9), uniform(n, 10), uniform(T * D, 11)];
    const want = Float64Array.from(y);
    tokens.forEach((token, i) => {
      for (let d = 0; d < D; d++) want[token * D + d]! += weights[i]! * x[i * D + d]!;
    });
    const at = put(y);
    const rest = [put(tokens), put(weights), put(x)];
    for (const [from, to] of ranges(n)) kernels.addWeighted!(from, to, 0, at, ...rest, D);
    expectEach(floats(at, T * D), want, 1e-6, new Float32Array(T * D).fill(4));
    expect(floats(at + (T - 1) * D * 4, D)).toEqual(y.subarray((T - 1) * D));
  });

  it.each([1, 5, 32, 77])("rows, D = %i", (D) => {
    const ids = Uint32Array.of(4, 0, 0, 7, 3, 6, 6, 1);
    const x = uniform(8 * D, 12);
    const want = new Float32Array((ids.length + 1) * D).fill(MARK);
    rows(x, ids, D, want, 1, ids.length);
    const y = put(new Float32Array((ids.length + 1) * D).fill(MARK));
    const [at, list] = [put(x), put(ids)];
    for (const [from, to] of ranges(ids.length - 1)) kernels.rows!(from + 1, to + 1, 0, at, list, D * 4, y);
    expect(floats(y, want.length)).toEqual(want);
  });

  it.each([1, 5, 32, 77])("reorder, D = %i", (D) => {
    const ids = Uint32Array.of(4, 0, 0, 7, 3, 6, 6, 1);
    const order = Uint32Array.from({ length: D }, (_, i) => (i * 3 + 2) % D);
    const x = uniform(8 * D, 12);
    const [at, list, columns] = [put(x), put(ids), put(order)];
    for (const rows of [ids, null]) {
      const want = new Float32Array(9 * D).fill(MARK);
      reorder(x, rows, order, want, 1, 8);
      const y = put(new Float32Array(9 * D).fill(MARK));
      for (const [from, to] of ranges(7)) kernels.reorder!(from + 1, to + 1, 0, at, rows ? list : 0, columns, D, y);
      expect(floats(y, want.length)).toEqual(want);
    }
  });

  describe("append", () => {
    it.each([
      { kvWidth: 2, half: 0 },
      { kvWidth: 7, half: 0 },
      { kvWidth: 64, half: 0 },
      { kvWidth: 2, half: 1 },
      { kvWidth: 7, half: 1 },
      { kvWidth: 66, half: 1 },
    ])("$kvWidth values, half = $half", ({ kvWidth, half }) => {
      const [T, width, offset] = [7, kvWidth * 2 + 3, 3];
      const x = uniform(T * width, 13, 100);
      const size = kvWidth * (half ? 2 : 4);
      const places = [5, 0, 8, 3, 2, 7, 6]; // of nine rows; two stay as they are
      const want = new Uint8Array(9 * size).fill(0xab);
      const plane = put(want);
      const slots = put(Uint32Array.from(places, (place) => plane + place * size));
      const at = put(x);
      for (const [from, to] of ranges(T)) kernels.append!(from, to, 0, at, width, offset, slots, kvWidth, half);
      places.forEach((place, t) => {
        const row = x.slice(t * width + offset, t * width + offset + kvWidth);
        const written = half ? Uint16Array.from(row, toFiniteHalf) : row;
        want.set(new Uint8Array(written.buffer), place * size);
      });
      expect(bytes(plane, want.length)).toEqual(want);
    });

    it("rounds to f16 as toFiniteHalf does, over every exponent, at ties and at the ends", () => {
      const bits = [0, 0x7f800000, 0x7fc00000, 0x7f800001, 0x7f7fffff, 0x477fe000, 0x477fefff, 0x477ff000, 0x47800000];
      const next = generator(14);
      for (let exponent = 0; exponent < 256; exponent++)
        for (const fraction of [0, 1, 0xfff, 0x1000, 0x1001, 0x2fff, 0x3000, 0x3001, 0x7fffff, next() * 0x7fffff])
          bits.push((exponent << 23) | fraction);
      // Multiples of half a step of denormal f16, and their neighbours.
      for (let step = 0; step < 200; step++)
        for (const by of [-1, 0, 1]) bits.push(new Uint32Array(Float32Array.of((step + 1) * 2 ** -25).buffer)[0]! + by);
      const x = new Float32Array(Uint32Array.from(bits.flatMap((b) => [b, (b | 0x80000000) >>> 0])).buffer);
      const slot = put(new Uint16Array(x.length));
      kernels.append!(0, 1, 0, put(x), x.length, 0, put(Uint32Array.of(slot)), x.length, 1);
      const got = new Uint16Array(bytes(slot, x.length * 2).buffer);
      x.forEach((value, i) => {
        const want = toFiniteHalf(value);
        const same = Number.isNaN(value) ? (got[i]! & 0x7fff) > 0x7c00 : got[i] === want;
        if (!same) expect.fail(`${value}: ${got[i]!.toString(16)}, expected ${want.toString(16)}`);
      });
    });
  });

  describe("embed", () => {
    const cases = Object.values(FORMATS).flatMap((format) =>
      [1, 6, 32, 61, 131, 300].map((D) => ({ name: format.name, format, D })),
    );
    it.each(cases)("$name, D = $D: bit for bit unpackRow", ({ format, D }) => {
      const V = 19; // the last panel is not whole
      const data = uniform(V * D, 15);
      data.fill(0, 3 * D, 4 * D);
      data.subarray(4 * D, 5 * D).forEach((value, i, row) => {
        row[i] = value * 1e-6; // scales that are denormal f16
      });
      const panels = panelsOf(format, data, V, D);
      const layout = panelLayout(format, V, D);
      const packed = packedMatrix(layout, V, panels);
      const tokens = Uint32Array.of(18, 0, 3, 7, 8, 4, 4, 16, 15, 1);
      const want = new Float32Array((tokens.length + 1) * D);
      tokens.forEach((token, t) => {
        unpackRow(packed, token, want.subarray(t * D, (t + 1) * D));
      });
      const y = room(want.byteLength);
      const [ids, at] = [put(tokens), put(panels)];
      for (const [from, to] of ranges(tokens.length))
        of(format).embed!(from, to, 1, ids, at, layout.padded / 32, V, D, y);
      expect(new Uint32Array(bytes(y, want.byteLength).buffer)).toEqual(new Uint32Array(want.buffer));
    });
  });
});
