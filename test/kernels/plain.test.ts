// The plain kernels where the conformance suite does not reach: ranges of work, as threads will
// split it, and extremes.

import { describe, expect, it } from "vitest";
import { append } from "../../kernels/append.ts";
import { attention } from "../../kernels/attention.ts";
import { expertDown } from "../../kernels/expert_down.ts";
import { expertUp } from "../../kernels/expert_up.ts";
import { AUTOMATIC, FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import { group } from "../../kernels/group.ts";
import { matmul } from "../../kernels/matmul.ts";
import { packedMatrix, unpackRow } from "../../kernels/packed.ts";
import { rmsNorm } from "../../kernels/rms_norm.ts";
import { rope, ropeTable, ropeTurns } from "../../kernels/rope.ts";
import { route } from "../../kernels/route.ts";
import { Scratch } from "../../kernels/scratch.ts";
import { panelLayout } from "../../src/tensor/format.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { held } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { panelsOf } from "../support/records.ts";
import * as reference from "../support/reference.ts";
import { expectClose } from "../support/reference.ts";

function packed(name: PackableName, data: Float32Array, rows: number, cols: number) {
  const format = FORMATS[name];
  return packedMatrix(panelLayout(format, rows, cols), rows, panelsOf(format, data, rows, cols));
}

/** Ranges that cover 0..n in pieces of awkward sizes. */
function ranges(n: number): [number, number][] {
  const cuts = [0, 1, 4, 6, 13, 20].filter((cut) => cut < n);
  return cuts.map((cut, i) => [cut, cuts[i + 1] ?? n]);
}

describe("unpackRow", () => {
  it.each(AUTOMATIC)("agrees with unpackRows, %s", (precision) => {
    const [rows, cols] = [7, 97];
    const data = uniform(rows * cols, 1);
    const want = held(FORMATS[precision], data, rows, cols);
    const w = packed(precision, data, rows, cols);
    const row = new Float32Array(cols);
    for (let r = 0; r < rows; r++) {
      unpackRow(w, r, row);
      expect(row).toEqual(want.subarray(r * cols, (r + 1) * cols));
    }
  });
});

describe("matmul", () => {
  const [D, N] = [60, 29];
  it.each(AUTOMATIC.flatMap((precision) => [1, 3, 4, 5, 8, 9, 11].map((T) => ({ precision, T }))))(
    "$precision, T = $T: ranges of columns together make the whole and nothing else is touched",
    ({ precision, T }) => {
      const x = uniform(T * D, 2);
      const data = uniform(N * D, 3);
      const w = packed(precision, data, N, D);
      const y = new Float32Array(T * N).fill(Number.NaN);
      for (const [from, to] of ranges(N)) {
        matmul(x, T, w, y, from, to, new Scratch());
        for (let t = 0; t < T; t++) if (to < N) expect(y[t * N + to]).toBeNaN();
      }
      expectClose(y, reference.matmul(x, held(FORMATS[precision], data, N, D), D), N);
    },
  );
});

describe("expert", () => {
  it("up and down split by columns as matmul does", () => {
    const [T, D, F] = [3, 60, 22];
    const e = { w1: uniform(F * D, 4), w3: uniform(F * D, 5), w2: uniform(D * F, 6) };
    const both = Float32Array.from({ length: 2 * F * D }, (_, i) => {
      const [row, d] = [Math.floor(i / D), i % D];
      return (row % 2 ? e.w3 : e.w1)[(row >> 1) * D + d]!;
    });
    const x = uniform(T * D, 7);
    const h = new Float32Array(T * F);
    for (const [from, to] of ranges(F)) expertUp(x, T, packed("f32", both, 2 * F, D), h, from, to, new Scratch());
    const y = new Float32Array(5 * D).fill(1);
    const tokens = Uint32Array.of(4, 0, 2);
    const weights = Float32Array.of(0.5, 1, 0.25);
    for (const [from, to] of ranges(D))
      expertDown(h, tokens, weights, packed("f32", e.w2, D, F), y, from, to, new Scratch());
    const own = reference.moe(x, [0, 0, 0], weights, [e], D);
    const want = new Float64Array(5 * D).fill(1);
    for (const [i, t] of tokens.entries()) for (let d = 0; d < D; d++) want[t * D + d]! += own[i * D + d]!;
    expectClose(y, want, D);
  });

  it("silu stays finite for gates of any size", () => {
    const gates = [-1e30, -200, -90, 0, 90, 1e30];
    const both = Float32Array.from(gates.flatMap((gate) => [gate, 1]));
    const h = new Float32Array(gates.length);
    expertUp(Float32Array.of(1), 1, packed("f32", both, 2 * gates.length, 1), h, 0, gates.length, new Scratch());
    expect([...h].map(Math.abs)).toEqual([0, expect.closeTo(0), expect.closeTo(0), 0, 90, Math.fround(1e30)]);
  });
});

describe("rmsNorm", () => {
  it("may write over its input", () => {
    const x = uniform(3 * 10, 8);
    const w = uniform(10, 9);
    const want = reference.rmsNorm(x, w, 1e-5);
    rmsNorm(x, w, 1e-5, x, 0, 3);
    expectClose(x, want, 10);
  });
});

describe("rope", () => {
  it("turns by f32 angles even far from the start", () => {
    const table = new Float32Array(32);
    ropeTable(Uint32Array.of(32767), { inverse: reference.inverseFrequencies(1e6, 32), factor: 1 }, table);
    expect(table[0]).toBeCloseTo(Math.cos(32767), 6);
    expect(table[16]).toBeCloseTo(Math.sin(32767), 6);
    const angle = Math.fround(32767 * Math.fround(1 / Math.fround(1e6 ** (2 / 32))));
    expect(table[1]).toBeCloseTo(Math.cos(angle), 6);
    const x = Float32Array.from({ length: 64 }, (_, i) => (i < 32 ? 1 : 7));
    rope(x, 64, 1, 32, 16, table, 0, 1);
    expect(x[0]).toBeCloseTo(table[0]! - table[16]!, 6);
    expect(x[16]).toBeCloseTo(table[0]! + table[16]!, 6);
    expect([...x.subarray(32)]).toEqual(Array(32).fill(7)); // the other heads stay
  });

  it("has the same angles in both layouts, times the factor", () => {
    const frequencies = { inverse: reference.inverseFrequencies(1e4, 6), factor: 1.3466 };
    const table = new Float32Array(3 * 6);
    ropeTable(Uint32Array.of(0, 1, 2), frequencies, table);
    const turns = new Float32Array(3 * 6);
    for (let position = 0; position < 3; position++) ropeTurns(position, frequencies, turns, position);
    for (let position = 0; position < 3; position++)
      for (let i = 0; i < 3; i++) {
        const angle = Math.fround(position * frequencies.inverse[i]!);
        const [cos, sin] = [turns[position * 6 + 2 * i]!, turns[position * 6 + 2 * i + 1]!];
        expect(cos).toBeCloseTo(1.3466 * Math.cos(angle), 6);
        expect(sin).toBeCloseTo(1.3466 * Math.sin(angle), 6);
        expect([table[position * 6 + i], table[position * 6 + 3 + i]]).toEqual([cos, sin]);
      }
  });
});

describe("attention", () => {
  const shape = { heads: 4, kvHeads: 2, headDim: 6, scale: 1 / Math.sqrt(6), sinks: null };
  const plane = (seed: number, range: number) => uniform(4 * 2 * 6, seed, range);
  const span = (range: number) => ({
    keys: [plane(10, range), plane(11, range), plane(12, range)],
    values: [plane(13, 1), plane(14, 1), plane(15, 1)],
    blockSize: 4,
    table: Uint32Array.of(2, 0, 1),
    first: 3,
    end: 10,
  });

  it("gives the same split by KV head", () => {
    const q = uniform(24, 16);
    const whole = new Float32Array(24);
    const parts = new Float32Array(24);
    attention(q, 0, span(1), shape, whole, 0, 0, 2, new Scratch());
    attention(q, 0, span(1), shape, parts, 0, 1, 2, new Scratch());
    expect([...parts.subarray(0, 12)]).toEqual(Array(12).fill(0));
    attention(q, 0, span(1), shape, parts, 0, 0, 1, new Scratch());
    expect(parts).toEqual(whole);
  });

  it("stays finite with scores in the thousands, rising and falling from block to block", () => {
    const y = new Float32Array(24);
    attention(uniform(24, 16, 1e4), 0, span(1), shape, y, 0, 0, 2, new Scratch());
    expect([...y].every((value) => Math.abs(value) <= 1)).toBe(true);
    expect([...y].some((value) => value !== 0)).toBe(true);
  });
});

describe("route", () => {
  it("gives valid experts whatever the logits are", () => {
    const logits = Float32Array.of(Number.NaN, 1, Number.NaN, 2, 3, 3, 3, 3, -1e38, 1e38, 0, 0);
    const ids = new Uint32Array(6);
    route(logits, 4, 2, SOFTMAX, null, ids, new Float32Array(6), 0, 3);
    expect([...ids].every((id) => id < 4)).toBe(true);
    expect([...ids.subarray(2)]).toEqual([0, 1, 1, 2]);
  });
});

describe("group", () => {
  it.each([
    { ids: [1, 0, 1, 2], E: 3, starts: [0, 1, 3, 4], sorted: [1, 0, 2, 3] },
    { ids: [2, 2, 2], E: 4, starts: [0, 0, 0, 3, 3], sorted: [0, 1, 2] },
    { ids: [0], E: 1, starts: [0, 1], sorted: [0] },
    { ids: [], E: 2, starts: [0, 0, 0], sorted: [] },
  ])("sorts the slots of $ids", ({ ids, E, starts, sorted }) => {
    const got = { starts: new Uint32Array(E + 1).fill(9), sorted: new Uint32Array(ids.length) };
    group(Uint32Array.from(ids), E, got.starts, got.sorted);
    expect([[...got.starts], [...got.sorted]]).toEqual([starts, sorted]);
  });
});

it("append keeps what f16 cannot hold as its largest number, as append.wgsl does", () => {
  const plane = new Uint16Array(8);
  append(Float32Array.of(7, 1e6, -1e6, 65504, 1), 1, plane, 1, 4, {
    headDim: 4,
    rotated: true,
    scratch: new Scratch(),
  });
  expect([...plane]).toEqual([0, 0, 0, 0, 0x7bff, 0xfbff, 0x7bff, 0x3c00]);
});
