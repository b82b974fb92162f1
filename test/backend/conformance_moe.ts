// Conformance of route and moe: exact expert ids, ties, experts without tokens, every precision.

import { describe, expect, it } from "vitest";
import { AUTOMATIC, FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import type { ExpertRule, Ops } from "../../src/backend/ops.ts";
import type { Activation } from "../../src/tensor/activation.ts";
import { type RouteRule, SIGMOID, SOFTMAX } from "../../src/tensor/route_rule.ts";
import { type ExpertData, expertSource, held, memorySource, withBias } from "../support/memory_source.ts";
import { integers, uniform } from "../support/random.ts";
import * as reference from "../support/reference.ts";
import { expectClose } from "../support/reference.ts";
import { allowedNmse, batchOf, inputTable } from "../support/steps.ts";

const TOKENS = [65, 1, 33, 2, 5, 64];

/** x [65, D] whose first column is 1, so that a gate row can have a bias. */
function inputs(D: number, seed: number): Float32Array {
  return uniform(65 * D, seed).map((value, i) => (i % D === 0 ? 1 : value));
}

/** A gate [E, D] that sends every token to the experts of `favourites`, in that order. */
function biasedGate(E: number, D: number, favourites: readonly number[]): Float32Array {
  const gate = uniform(E * D, 52, 0.1);
  favourites.forEach((expert, rank) => {
    gate[expert * D] = 100 - 30 * rank;
  });
  return gate;
}

export function moeConformance(ops: () => Ops): void {
  describe("route", () => {
    const tied = (rows: readonly number[], D: number) => {
      // Rows of the same kind are equal; everything is a small integer, so equal logits are equal
      // in any order of sums.
      const kinds = rows.map((kind) => integers(D, 60 + kind, 2));
      return Float32Array.from(kinds.flatMap((row) => [...row]));
    };
    it.each([
      { name: "random, top 2 of 8", E: 8, K: 2, D: 64, x: inputs(64, 50), gate: uniform(8 * 64, 51) },
      { name: "random, top 1 of 3", E: 3, K: 1, D: 60, x: inputs(60, 50), gate: uniform(3 * 60, 51) },
      { name: "random, K = E = 3", E: 3, K: 3, D: 256, x: inputs(256, 50), gate: uniform(3 * 256, 51) },
      { name: "one expert", E: 1, K: 1, D: 60, x: inputs(60, 50), gate: uniform(60, 51) },
      { name: "top 6 of 40", E: 40, K: 6, D: 64, x: inputs(64, 50), gate: uniform(40 * 64, 51) },
      { name: "everything tied", E: 8, K: 2, D: 60, x: inputs(60, 50), gate: new Float32Array(8 * 60) },
      {
        name: "ties among pairs",
        E: 8,
        K: 2,
        D: 64,
        x: integers(65 * 64, 53, 3),
        gate: tied([0, 1, 2, 3, 3, 2, 1, 0], 64),
      },
      { name: "ties, top 3", E: 8, K: 3, D: 60, x: integers(65 * 60, 54, 3), gate: tied([0, 1, 0, 1, 0, 1, 0, 1], 60) },
      { name: "logits in the hundreds", E: 8, K: 2, D: 64, x: inputs(64, 50), gate: uniform(8 * 64, 51, 200) },
    ])("$name", async ({ name, E, K, D, x, gate }) => {
      const input = await inputTable(ops(), x, D);
      const m = await ops().loadMatrix(memorySource("gate", gate, E, D), FORMATS.f32);
      const bias = uniform(E, 55, 0.7); // so large that it changes who is chosen
      const vector = await ops().loadVector(memorySource("bias", bias, 1, E));
      const all: { readonly rule: RouteRule; readonly biased?: boolean }[] = [
        { rule: SOFTMAX },
        { rule: { ...SOFTMAX, normalize: false } },
        { rule: { ...SIGMOID, normalize: false } },
        { rule: SIGMOID, biased: true },
        { rule: { ...SIGMOID, normalize: false, factor: 2.5 }, biased: true },
      ];
      // Sigmoids of logits in the hundreds are denormal or 0 in f32, which devices may flush.
      const rules = all.filter(({ rule }) => name !== "logits in the hundreds" || rule.score !== "sigmoid");
      for (const { T, rule, biased } of TOKENS.flatMap((T) => rules.map((rule) => ({ T, ...rule })))) {
        ops().begin(batchOf(T));
        const routes = ops().route(ops().embed(input), { gate: m, k: K, rule, bias: biased ? vector : null });
        expect([routes.ids.shape, routes.weights.shape]).toEqual([
          [T, K],
          [T, K],
        ]);
        const want = reference.route(x.subarray(0, T * D), gate, D, K, { ...rule, bias: biased ? bias : null });
        expect([...(await ops().read(routes.ids))]).toEqual(want.ids);
        expectClose(await ops().read(routes.weights), Float64Array.from(want.weights), K);
      }
    });
  });

  it("a router whose gate has a bias: top 6 of 40", async () => {
    const [E, K, D] = [40, 6, 64];
    const [x, gate] = [inputs(D, 50), uniform(E * D, 51)];
    const bias = uniform(E, 56, 9); // so large that it changes who is chosen
    const input = await inputTable(ops(), x, D);
    const m = await ops().loadMatrix(withBias(memorySource("gate", gate, E, D), bias), FORMATS.f32);
    for (const T of [65, 1, 7]) {
      ops().begin(batchOf(T));
      const routes = ops().route(ops().embed(input), { gate: m, k: K, rule: SOFTMAX, bias: null });
      const want = reference.route(x.subarray(0, T * D), gate, D, K, { logitsBias: bias });
      expect([...(await ops().read(routes.ids))]).toEqual(want.ids);
      expectClose(await ops().read(routes.weights), Float64Array.from(want.weights), K);
    }
  });

  rules(ops);
  experts(ops, { counts: TOKENS, precisions: AUTOMATIC });
  expertRules(ops, [1, 5, 65]);
}

/** Rules of the families other than Mixtral's, one shape each. */
function rules(ops: () => Ops): void {
  const two = { count: 8, kept: 4, by: "two" } as const;
  const mixer: RouteRule = { score: "sparsemixer", jitter: 0.05 };
  // All of one size, the largest: a driver takes seconds to compile the kernel of another.
  const cases: { name: string; E: number; K: number; rule: RouteRule; biased?: true; low?: number }[] = [
    {
      name: "the groups with the best expert, softmax not renormalised, times 16",
      ...{ E: 512, K: 3, rule: { ...SOFTMAX, normalize: false, factor: 16, groups: { count: 8, kept: 3, by: "max" } } },
    },
    {
      name: "the groups with the best two, sigmoid and bias, + 1e-2",
      ...{ E: 512, K: 10, biased: true, rule: { ...SIGMOID, added: 1e-2, factor: 2.5, groups: two } },
    },
    {
      name: "the groups with the best two, softmax without bias",
      ...{ E: 512, K: 3, rule: { ...SOFTMAX, groups: two } },
    },
    {
      name: "softmax and bias, divided by 0.05 at least",
      E: 512,
      K: 10,
      biased: true,
      rule: { ...SOFTMAX, least: 0.05 },
    },
    { name: "sparsemixer", E: 32, K: 2, rule: mixer },
    { name: "sparsemixer of negative logits", E: 32, K: 2, rule: mixer, low: -60 },
  ];
  it.each(cases)("route by $name", async ({ E, K, rule, biased, low = 0 }) => {
    const D = 64;
    const x = inputs(D, 50);
    const gate = uniform(E * D, 51).map((value, i) => (i % D === 0 ? value + low : value));
    const bias = uniform(E, 55, 0.7); // so large that it changes who is chosen
    const input = await inputTable(ops(), x, D);
    const m = await ops().loadMatrix(memorySource("gate", gate, E, D), FORMATS.f32);
    const vector = biased ? await ops().loadVector(memorySource("bias", bias, 1, E)) : null;
    for (const T of [9, 1]) {
      ops().begin(batchOf(T));
      const routes = ops().route(ops().embed(input), { gate: m, k: K, rule, bias: vector });
      const want = reference.route(x.subarray(0, T * D), gate, D, K, { ...rule, bias: biased ? bias : null });
      expect([...(await ops().read(routes.ids))]).toEqual(want.ids);
      expectClose(await ops().read(routes.weights), Float64Array.from(want.weights), K);
    }
  });
}

/** E random experts of a format, and their weights as the format holds them. */
async function loaded(ops: Ops, E: number, D: number, F: number, precision: PackableName, rule?: ExpertRule) {
  const format = FORMATS[precision];
  const data: ExpertData[] = Array.from({ length: E }, (_, e) => ({
    w1: uniform(F * D, 100 + e, 4 / Math.sqrt(D)),
    w3: uniform(F * D, 200 + e, 2 / Math.sqrt(D)),
    w2: uniform(D * F, 300 + e, 2 / Math.sqrt(F)),
  }));
  const sources = data.map((e, i) => expertSource(`expert ${i}`, e, D, F));
  const experts = await ops.loadExperts(sources, format, format, rule);
  const weights = data.map((e) => ({
    w1: held(format, e.w1, F, D),
    w3: held(format, e.w3, F, D),
    w2: held(format, e.w2, D, F),
  }));
  return { experts, weights };
}

/** moe() of experts that get 0, 1, 5, 16 and all 22 rows of a step. */
export function unevenExperts(ops: () => Ops, precisions: readonly PackableName[]): void {
  it.each(precisions)("moe of experts that get 0, 1, 5, 16 and 22 rows, %s", async (precision) => {
    const [E, K, D, F] = [5, 2, 60, 50];
    const first = [3, 2, 3, 3, 1, 3, 2, 3, 3, 3, 2, 3, 3, 3, 2, 3, 3, 3, 2, 3, 3, 3]; // and then expert 4
    const T = first.length;
    const x = uniform(T * D, 70);
    for (const [t, expert] of first.entries()) for (let e = 0; e < E; e++) x[t * D + e] = e === expert ? 1 : e / 4 - 1;
    const gate = Float32Array.from({ length: E * D }, (_, i) => (i % D === Math.floor(i / D) ? 1 : 0));
    const input = await inputTable(ops(), x, D);
    const router = await ops().loadMatrix(memorySource("gate", gate, E, D), FORMATS.f32);
    const { experts, weights } = await loaded(ops(), E, D, F, precision);
    ops().begin(batchOf(T));
    const h = ops().embed(input);
    const routes = ops().route(h, { gate: router, k: K, rule: SOFTMAX, bias: null });
    const y = await ops().moe(h, routes, experts);
    const ids = await ops().read(routes.ids);
    expect([...ids]).toEqual(first.flatMap((expert) => [expert, 4]));
    const want = reference.moe(x, ids, await ops().read(routes.weights), weights, D);
    expectClose(await ops().read(y), want, D, allowedNmse(ops(), FORMATS[precision]));
  });
}

/** A rule with random biases, which are large enough that swiglu_oai's limit cuts gates and ups. */
export async function ruleWithBiases(ops: Ops, activation: Activation, E: number, D: number, F: number) {
  const rule = { activation, limit: 0.9, up: uniform(E * 2 * F, 80, 1.5), down: uniform(E * D, 81) };
  const up = await ops.loadVector(memorySource("up biases", rule.up, E, 2 * F));
  const down = await ops.loadVector(memorySource("down biases", rule.down, E, D));
  return { loaded: { activation, limit: rule.limit, biases: { up, down } }, rule };
}

const ACTIVATIONS = ["silu", "gelu", "gelu_tanh", "relu2", "swiglu_oai"] as const satisfies Activation[];

/** moe() of experts with other activations, and with biases. */
export function expertRules(ops: () => Ops, counts: readonly number[]): void {
  rulesHold(ops, [
    ...ACTIVATIONS.map((activation): RuleCase => ({ activation, biased: false, precision: "f32", counts: [1] })),
    { activation: "silu", biased: true, precision: "f32", counts: [1] },
    { activation: "swiglu_oai", biased: true, precision: "f32", counts },
    { activation: "swiglu_oai", biased: true, precision: "q4", counts },
  ]);
}

interface RuleCase {
  readonly activation: Activation;
  readonly biased: boolean;
  readonly precision: PackableName;
  readonly counts: readonly number[];
}

/** moe() of gpt-oss's experts, with biases. */
export function biasedExperts(ops: () => Ops, precision: PackableName, counts: readonly number[]): void {
  rulesHold(ops, [{ activation: "swiglu_oai", biased: true, precision, counts }]);
}

function rulesHold(ops: () => Ops, cases: readonly RuleCase[]): void {
  const [E, K, D, F] = [5, 2, 61, 50];
  it.each(cases)(
    "moe of $activation, biases $biased, $precision",
    async ({ activation, biased, precision, counts }) => {
      const x = inputs(D, 50);
      const input = await inputTable(ops(), x, D);
      const gate = await ops().loadMatrix(memorySource("gate", uniform(E * D, 51), E, D), FORMATS.f32);
      const own = await ruleWithBiases(ops(), activation, E, D, F);
      const ones = await ops().loadVector(memorySource("ones", new Float32Array(D).fill(1), 1, D));
      const given = biased ? own.loaded : { ...own.loaded, biases: null };
      const rule = biased ? own.rule : { ...own.rule, up: null, down: null };
      const { experts, weights } = await loaded(ops(), E, D, F, precision, given);
      for (const T of counts) {
        ops().begin(batchOf(T));
        const h = ops().embed(input);
        const routes = ops().route(h, { gate, k: K, rule: { ...SOFTMAX, normalize: false }, bias: null });
        const y = await ops().read(await ops().moe(h, routes, experts));
        const [ids, shares] = [await ops().read(routes.ids), await ops().read(routes.weights)];
        const want = reference.moe(x.subarray(0, T * D), ids, shares, weights, D, new Map(), rule);
        expectClose(y, want, D, allowedNmse(ops(), FORMATS[precision]));

        // What pads a residual row of odd length stays 0: it would count in the next norm.
        ops().begin(batchOf(T));
        const residual = ops().embed(input);
        const again = ops().route(residual, { gate, k: K, rule: { ...SOFTMAX, normalize: false }, bias: null });
        const added = ops().add(residual, await ops().moe(residual, again, experts));
        const normed = await ops().read(ops().rmsNorm(added, ones, 1e-5));
        const all = y.map((value, i) => value + x[i]!);
        expectClose(normed, reference.rmsNorm(all, new Float32Array(D).fill(1), 1e-5), D, 1e-9);
      }
    },
  );
}

/** moe() alone, over steps of `counts` tokens. */
export function experts(
  ops: () => Ops,
  { counts, precisions }: { counts: readonly number[]; precisions: readonly PackableName[] },
): void {
  describe("moe", () => {
    const cases = [
      { name: "8 experts, top 2", E: 8, K: 2, D: 64, F: 112, gate: uniform(8 * 64, 51) },
      { name: "odd sizes, K = E", E: 3, K: 3, D: 60, F: 50, gate: uniform(3 * 60, 51) },
      { name: "one expert", E: 1, K: 1, D: 60, F: 50, gate: uniform(60, 51) },
      { name: "top 1", E: 8, K: 1, D: 64, F: 50, gate: uniform(8 * 64, 51) },
      { name: "every token to expert 7", E: 8, K: 1, D: 60, F: 112, gate: biasedGate(8, 60, [7]) },
      { name: "every token to experts 5 and 0", E: 8, K: 2, D: 64, F: 112, gate: biasedGate(8, 64, [5, 0]) },
      { name: "more experts than tiles", E: 40, K: 6, D: 60, F: 50, gate: uniform(40 * 60, 51) },
      { name: "wide", E: 8, K: 2, D: 256, F: 112, gate: uniform(8 * 256, 51) },
    ];
    it.each(cases.flatMap((c) => precisions.map((precision) => ({ ...c, precision }))))(
      "$name: E $E, K $K, D $D, F $F, $precision",
      async ({ E, K, D, F, gate, precision }) => {
        const x = inputs(D, 50);
        const input = await inputTable(ops(), x, D);
        const router = await ops().loadMatrix(memorySource("gate", gate, E, D), FORMATS.f32);
        const { experts, weights } = await loaded(ops(), E, D, F, precision);
        expect(experts).toMatchObject({
          count: E,
          hidden: D,
          intermediate: F,
          up: FORMATS[precision],
          down: FORMATS[precision],
        });
        const known = new Map<string, Float64Array>();
        for (const T of counts) {
          ops().begin(batchOf(T));
          const h = ops().embed(input);
          const routes = ops().route(h, { gate: router, k: K, rule: SOFTMAX, bias: null });
          const y = await ops().moe(h, routes, experts);
          expect(y.shape).toEqual([T, D]);
          const want = reference.moe(
            x.subarray(0, T * D),
            await ops().read(routes.ids),
            await ops().read(routes.weights),
            weights,
            D,
            known,
          );
          expectClose(await ops().read(y), want, D, allowedNmse(ops(), FORMATS[precision]));
        }
      },
    );

    it("each expert takes its inputs in an order of its own", async () => {
      const [E, K, D, F] = [8, 2, 60, 112];
      const x = inputs(D, 50);
      const input = await inputTable(ops(), x, D);
      const router = await ops().loadMatrix(memorySource("gate", uniform(E * D, 51), E, D), FORMATS.f32);
      const lists = Uint32Array.from({ length: E * D }, (_, i) => (7 * i + 5 * Math.floor(i / D)) % D);
      const data: ExpertData[] = Array.from({ length: E }, (_, e) => ({
        w1: uniform(F * D, 100 + e, 4 / Math.sqrt(D)),
        w3: uniform(F * D, 200 + e, 2 / Math.sqrt(D)),
        w2: uniform(D * F, 300 + e, 2 / Math.sqrt(F)),
      }));
      const sources = data.map((e, i) => expertSource(`expert ${i}`, e, D, F));
      const experts = await ops().loadExperts(sources, FORMATS.q4, FORMATS.q4);
      const order = await ops().loadOrder(lists, D);
      /** Weights by the columns of x. */
      const moved = (e: number, of: Float32Array) => {
        const rows = held(FORMATS.q4, of, F, D);
        const into = rows.slice();
        for (const [i, weight] of rows.entries()) into[i - (i % D) + lists[e * D + (i % D)]!] = weight;
        return into;
      };
      const weights = data.map(({ w1, w3, w2 }, e) => {
        return { w1: moved(e, w1), w3: moved(e, w3), w2: held(FORMATS.q4, w2, D, F) };
      });
      for (const T of counts) {
        ops().begin(batchOf(T));
        const h = ops().embed(input);
        const routes = ops().route(h, { gate: router, k: K, rule: SOFTMAX, bias: null });
        const y = await ops().read(await ops().moe(h, routes, experts, order));
        const [ids, shares] = [await ops().read(routes.ids), await ops().read(routes.weights)];
        const want = reference.moe(x.subarray(0, T * D), ids, shares, weights, D);
        expectClose(y, want, D, allowedNmse(ops(), FORMATS.q4));
      }
    });
  });
}
