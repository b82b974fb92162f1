// What every backend must do: each verb of Ops against a naive float64 reference, over a table of
// awkward shapes.

import { afterAll, beforeAll, beforeEach, describe, expect, it, type TestContext } from "vitest";
import { AUTOMATIC, FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import type { Ops } from "../../src/backend/ops.ts";
import { RequestError, WeightsError } from "../../src/errors.ts";
import { panelLayout } from "../../src/tensor/format.ts";
import { held, memorySource, packedSource, withBias } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import * as reference from "../support/reference.ts";
import { expectClose } from "../support/reference.ts";
import { allowedNmse, batchOf, inputTable, range } from "../support/steps.ts";
import { attentionConformance } from "./conformance_attention.ts";
import { ffnConformance } from "./conformance_ffn.ts";
import { formats } from "./conformance_formats.ts";
import { latentConformance } from "./conformance_latent.ts";
import { biasedExperts, experts, moeConformance, unevenExperts } from "./conformance_moe.ts";
import { recurrentConformance } from "./conformance_recurrent.ts";

/** Makes a backend. `maxTokens` is the largest batch that it will be asked to take. */
export type MakeOps = (options: { maxTokens: number }) => Promise<Ops>;

const MAX_TOKENS = 65;
// Not ascending: a batch smaller than the one before it must not see what that one left
// in reused storage.
const TOKENS = [65, 1, 2, 64, 7, 33];
const SHAPES = [
  [60, 97],
  [64, 112],
  [112, 50],
  [256, 320],
  [6, 1],
  [50, 65],
] as const; // [D, N]
// What reaches the forms for many tokens, and shapes that end within a tile and within a group.
const MANY = { counts: [65, 64, 33], shapes: [SHAPES[0], SHAPES[3], SHAPES[5]] };

// What takes a pass over the weights, and several; as few sessions, and as many.
const FEW = { counts: [16, 2, 33, 4, 64, 5], shapes: [SHAPES[0], SHAPES[3], SHAPES[5]] };

/** Why cases do not run: none of them, or those that the function names a reason for. */
export type Left = string | null | ((test: TestContext["task"]) => string | null);

/** Runs the first case of each verb; `why` the others do not. */
export function firstOnly(why: string): Left {
  return (test) => (test.suite?.tasks[0] === test ? null : why);
}

/** Declares cases over one backend, which they share; `left` says why some or all do not run. */
function over(name: string, makeOps: MakeOps, declare: (ops: () => Ops) => void, left: Left = null): void {
  describe(name, () => {
    let ops: Ops;
    beforeAll(async () => {
      if (typeof left !== "string") ops = await makeOps({ maxTokens: MAX_TOKENS });
    });
    if (left !== null)
      beforeEach(({ skip, task }) => {
        const why = typeof left === "string" ? left : left(task);
        if (why !== null) skip(why);
      });
    afterAll(() => ops?.close());
    declare(() => ops);
  });
}

/**
 * Declares the conformance suite of one backend. A backend with int8 activations lists
 * "int8-activations" as a feature.
 */
export function conformance(name: string, makeOps: MakeOps, left?: Left): void {
  const declare = (ops: () => Ops): void => {
    loading(ops);
    products(ops, { counts: TOKENS, shapes: SHAPES, precisions: AUTOMATIC });
    dense(ops);
    attentionConformance(ops);
    latentConformance(ops);
    moeConformance(ops);
    ffnConformance(ops);
    recurrentConformance(ops);
    lifetime(makeOps);
  };
  over(`${name} conforms`, makeOps, declare, left);
}

/** Declares the cases that depend on how products are computed. */
export function productConformance(name: string, makeOps: MakeOps, left?: Left): void {
  const declare = (ops: () => Ops): void => {
    products(ops, { counts: TOKENS, shapes: SHAPES, precisions: AUTOMATIC });
    moeConformance(ops);
    ffnConformance(ops);
  };
  over(`${name} conforms`, makeOps, declare, left);
}

/** Declares the suite of formats that only files hold, and of several formats in one model. */
export function formatConformance(name: string, makeOps: MakeOps, left?: string | null): void {
  over(`${name} takes formats`, makeOps, formats, left);
}

/** Declares the part of the suite that a form of the products for many tokens has to do with. */
export function tileConformance(
  name: string,
  makeOps: MakeOps,
  precisions: readonly PackableName[],
  verbs: "all" | "matmul" = "all",
  left?: Left,
): void {
  const declare = (ops: () => Ops): void => {
    products(ops, { ...MANY, precisions });
    if (verbs === "all") experts(ops, { counts: MANY.counts, precisions });
  };
  over(`${name} multiplies`, makeOps, declare, left);
}

/** Declares the part of the suite that the forms of products for a few rows have to do with. */
export function fewConformance(
  name: string,
  makeOps: MakeOps,
  precisions: readonly PackableName[],
  left?: string | null,
): void {
  const declare = (ops: () => Ops): void => {
    products(ops, { ...FEW, precisions });
    experts(ops, { counts: FEW.counts, precisions });
    unevenExperts(ops, precisions);
    biasedExperts(ops, precisions[0]!, FEW.counts.slice(0, 2));
  };
  over(`${name} multiplies`, makeOps, declare, left);
}

function loading(ops: () => Ops): void {
  describe("loading", () => {
    it("reads a large matrix in pieces of at most 16 MiB", async () => {
      const [rows, cols] = [4100, 1100]; // 18 MB of f32
      const value = (row: number, col: number) => ((row * 31 + col * 17) % 255) - 127;
      let largest = 0;
      const source = {
        name: "large",
        rows,
        cols,
        readRows: async (first: number, count: number, into: Float32Array) => {
          largest = Math.max(largest, count * cols * 4);
          for (let i = 0; i < count * cols; i++) into[i] = value(first + Math.floor(i / cols), i % cols);
        },
      };
      const table = await ops().loadMatrix(source, FORMATS.f16);
      expect(largest).toBeGreaterThan(0);
      expect(largest).toBeLessThanOrEqual(16 * 2 ** 20);
      const tokens = Uint32Array.of(0, 4099, 3812, 3813);
      ops().begin(batchOf(4, { tokens }));
      const got = await ops().read(ops().embed(table));
      expect(got).toEqual(
        Float32Array.from({ length: 4 * cols }, (_, i) => value(tokens[Math.floor(i / cols)]!, i % cols)),
      );
    });

    it.each(AUTOMATIC)("takes rows that the source has already packed, or else packs them: %s", async (precision) => {
      const [rows, cols] = [97, 60];
      const data = uniform(rows * cols, 11);
      const other = precision === "q4" ? "q8" : "q4";
      for (const source of [
        packedSource("packed", data, rows, cols, FORMATS[precision]),
        packedSource("packed otherwise", data, rows, cols, FORMATS[other]),
      ]) {
        const table = await ops().loadMatrix(source, FORMATS[precision]);
        ops().begin(batchOf(5, { tokens: Uint32Array.of(96, 0, 50, 1, 96) }));
        const want = held(FORMATS[precision], data, rows, cols);
        const rowsWanted = [96, 0, 50, 1, 96].flatMap((row) => [...want.subarray(row * cols, (row + 1) * cols)]);
        expectClose(await ops().read(ops().embed(table)), Float32Array.from(rowsWanted), cols);
      }
    });

    it("passes on the source's error", async () => {
      const source = {
        ...memorySource("broken", new Float32Array(64), 1, 64),
        readRows: () => Promise.reject(new WeightsError("broken: file ends early")),
      };
      await expect(ops().loadMatrix(source, FORMATS.q8)).rejects.toThrow(WeightsError);
      await expect(ops().loadVector(source)).rejects.toThrow(WeightsError);
      await expect(ops().loadExperts([{ w1: source, w3: source, w2: source }], FORMATS.q4, FORMATS.q4)).rejects.toThrow(
        WeightsError,
      );
    });

    it("says what it holds and counts its bytes", async () => {
      const before = ops().memory().weights;
      const m = await ops().loadMatrix(memorySource("counted", uniform(112 * 60, 3), 112, 60), FORMATS.q4);
      expect(m).toMatchObject({ name: "counted", rows: 112, cols: 60, format: FORMATS.q4 });
      expect(m.bytes).toBeGreaterThanOrEqual(panelLayout(FORMATS.q4, 112, 60).bytes);
      expect(ops().memory().weights).toBe(before + m.bytes);
    });
  });
}

interface Cases {
  readonly counts: readonly number[]; // of tokens
  readonly shapes: readonly (readonly [number, number])[];
  readonly precisions: readonly PackableName[];
}

function products(ops: () => Ops, { counts, shapes, precisions }: Cases): void {
  describe("embed and matmul", () => {
    it.each(shapes.flatMap(([D, N]) => precisions.map((precision) => ({ D, N, precision }))))(
      "x [T, $D] by [$N, $D] in $precision",
      async ({ D, N, precision }) => {
        const x = uniform(MAX_TOKENS * D, D);
        const w = uniform(N * D, N, 0.1);
        const input = await inputTable(ops(), x, D);
        const m = await ops().loadMatrix(memorySource("w", w, N, D), FORMATS[precision]);
        const all = reference.matmul(x, held(FORMATS[precision], w, N, D), D);
        for (const T of counts) {
          ops().begin(batchOf(T));
          const embedded = ops().embed(input);
          const y = ops().matmul(embedded, m);
          expect(embedded.shape).toEqual([T, D]);
          expect(y.shape).toEqual([T, N]);
          expectClose(await ops().read(embedded), x.subarray(0, T * D), D, 0);
          const want = all.subarray(0, T * N);
          expectClose(await ops().read(y), want, N === 1 ? T : N, allowedNmse(ops(), FORMATS[precision]));
        }
      },
    );

    it.each(precisions)("x += norm(x) by [50, 50] and a bias, in %s", async (precision) => {
      const D = 50;
      const x = uniform(MAX_TOKENS * D, 41);
      const w = uniform(D * D, 42, 0.1);
      const [bias, norm] = [uniform(D, 43, 2), uniform(D, 44, 2)];
      const input = await inputTable(ops(), x, D);
      const m = await ops().loadMatrix(withBias(memorySource("w", w, D, D), bias), FORMATS[precision]);
      const v = await ops().loadVector(memorySource("norm", norm, 1, D));
      const weights = held(FORMATS[precision], w, D, D);
      const nmse = allowedNmse(ops(), FORMATS[precision]);
      for (const T of counts) {
        const own = x.subarray(0, T * D);
        const want = reference.matmul(own, weights, D, bias);
        ops().begin(batchOf(T));
        expectClose(await ops().read(ops().matmul(ops().embed(input), m)), want, D, nmse);
        const sums = reference.matmul(reference.rmsNorm(own, norm, 1e-5), weights, D, bias);
        ops().begin(batchOf(T));
        const residual = ops().embed(input);
        const sum = ops().add(residual, ops().matmul(ops().rmsNorm(residual, v, 1e-5), m));
        const all = sums.map((value, i) => value + own[i]!);
        expectClose(await ops().read(sum), all, D, nmse);
      }
    });

    it.each(AUTOMATIC)("embeds tokens in any order, again and again, from a table in %s", async (precision) => {
      const [V, D] = [320, 60];
      const data = uniform(V * D, 5);
      const want = held(FORMATS[precision], data, V, D);
      const table = await ops().loadMatrix(memorySource("embed", data, V, D), FORMATS[precision]);
      const tokens = Uint32Array.of(319, 0, 7, 7, 318, 1, 0);
      ops().begin(batchOf(tokens.length, { tokens }));
      const got = await ops().read(ops().embed(table));
      expectClose(got, Float32Array.from([...tokens].flatMap((t) => [...want.subarray(t * D, (t + 1) * D)])), D);
    });
  });
}

function dense(ops: () => Ops): void {
  describe("rmsNorm and add", () => {
    it.each([6, 60, 64, 256, 1000])("D = %i", async (D) => {
      const x = uniform(MAX_TOKENS * D, D + 1);
      x.fill(0, D, 2 * D); // a row of zeros stays zero
      x.subarray(2 * D, 3 * D).forEach((value, i) => {
        x[2 * D + i] = value * 1e4;
      });
      x.subarray(3 * D, 4 * D).forEach((value, i) => {
        x[3 * D + i] = value * 1e-3; // so small that eps matters
      });
      const w = uniform(D, D + 2);
      const input = await inputTable(ops(), x, D);
      const norms = [
        await ops().loadVector(memorySource("row", w, 1, D)),
        await ops().loadVector(memorySource("column", w, D, 1)),
      ];
      for (const norm of norms) expect(norm.size).toBe(D);
      for (const T of TOKENS) {
        const own = x.subarray(0, T * D);
        const normed = reference.rmsNorm(own, w, 1e-5);
        for (const norm of norms) {
          ops().begin(batchOf(T));
          const h = ops().rmsNorm(ops().embed(input), norm, 1e-5);
          expect(h.shape).toEqual([T, D]);
          expectClose(await ops().read(h), normed, D);
        }
        ops().begin(batchOf(T));
        const residual = ops().embed(input);
        const sum = ops().add(residual, ops().rmsNorm(residual, norms[0]!, 1e-5));
        expect(sum.shape).toEqual([T, D]);
        expectClose(
          await ops().read(sum),
          normed.map((value, i) => value + own[i]!),
          D,
        );
      }
    });
  });

  describe("layerNorm", () => {
    it.each([60, 1000])("D = %i, then a product and again", async (D) => {
      const x = uniform(MAX_TOKENS * D, D + 5);
      x.fill(0.25, D, 2 * D); // a row without variance is the bias
      for (let i = 0; i < D; i++) x[2 * D + i]! += 100; // a mean far from zero
      const [w, bias] = [uniform(D, D + 6), uniform(D, D + 7)];
      const input = await inputTable(ops(), x, D);
      const [v, b] = await Promise.all([w, bias].map((data) => ops().loadVector(memorySource("vector", data, 1, D))));
      const weights = uniform(7 * D, D + 8, 0.1);
      const m = await ops().loadMatrix(memorySource("m", weights, 7, D), FORMATS.f32);
      for (const T of [1, 5, 33]) {
        const own = x.subarray(0, T * D);
        const normed = reference.layerNorm(own, w, bias, 1e-5);
        ops().begin(batchOf(T));
        const residual = ops().embed(input);
        const h = ops().layerNorm(residual, v!, b!, 1e-5);
        expect(h.shape).toEqual([T, D]);
        expectClose(await ops().read(h), normed, D);
        expectClose(await ops().read(ops().matmul(h, m)), reference.matmul(normed, weights, D), 7);
        const sum = ops().add(residual, h);
        const twice = own.map((value, i) => value + normed[i]!);
        const again = reference.layerNorm(twice, w, bias, 1e-5);
        expectClose(await ops().read(ops().layerNorm(sum, v!, b!, 1e-5)), again, D);
      }
    });
  });

  describe("rows", () => {
    const D = 60;
    const N = 97;
    it.each([
      { T: 5, outputs: [4] },
      { T: 5, outputs: [0, 1, 2, 3, 4] },
      { T: 65, outputs: [0, 15, 16, 63, 64] },
      { T: 33, outputs: [] },
      { T: 1, outputs: [0] },
      { T: 1, outputs: [] },
    ])("T = $T, outputs $outputs, and what follows works on those rows", async ({ T, outputs }) => {
      const R = outputs.length;
      const x = uniform(MAX_TOKENS * D, 21);
      const w = uniform(N * D, 22, 0.1);
      const norm = uniform(D, 23);
      const input = await inputTable(ops(), x, D);
      const m = await ops().loadMatrix(memorySource("head", w, N, D), FORMATS.f32);
      const v = await ops().loadVector(memorySource("norm", norm, 1, D));
      ops().begin(batchOf(T, { outputs: Uint32Array.from(outputs) }));
      const all = ops().embed(input);
      const picked = ops().rows(all);
      const h = ops().rmsNorm(picked, v, 1e-5);
      const logits = ops().matmul(h, m);
      expect([picked.shape, h.shape, logits.shape]).toEqual([
        [R, D],
        [R, D],
        [R, N],
      ]);
      const want = Float32Array.from(outputs.flatMap((row) => [...x.subarray(row * D, (row + 1) * D)]));
      const normed = reference.rmsNorm(want, norm, 1e-5);
      expectClose(await ops().read(picked), want, D, 0);
      expectClose(await ops().read(h), normed, D);
      expectClose(await ops().read(logits), reference.matmul(normed, w, D), N);
    });
  });
}

function lifetime(makeOps: MakeOps): void {
  it("gives everything back on close, twice if asked, and refuses work afterwards", async () => {
    const ops = await makeOps({ maxTokens: 4 });
    expect(ops.maxTokens).toBe(4);
    const table = await ops.loadMatrix(memorySource("t", uniform(8 * 64, 1), 8, 64), FORMATS.f32);
    const kv = ops.createKv({ layers: 1, kvHeads: 1, headDim: 16 }, "f16", 16);
    await kv.reserve(3);
    expect(kv.blocks).toBeGreaterThanOrEqual(3);
    expect(kv.blockBytes).toBe(16 * 16 * 2 * 2); // positions * Dh * (k and v) * bytes of an f16
    expect(ops.memory().kv).toBeGreaterThanOrEqual(3 * kv.blockBytes);
    kv.close();
    expect(ops.memory().kv).toBe(0);
    ops.begin(batchOf(2, { outputs: range(2) }));
    ops.embed(table);
    ops.close();
    ops.close();
    expect(ops.memory()).toEqual({ weights: 0, kv: 0, scratch: 0 });
    expect(() => ops.begin(batchOf(1))).toThrow(RequestError);
    await expect(ops.loadMatrix(memorySource("t", uniform(64, 1), 1, 64), FORMATS.f32)).rejects.toThrow(RequestError);
  });
}
