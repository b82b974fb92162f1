// Steps of a few rows, as of so many sessions that decode together, counted with the forms that
// GPUs use: what they read, what they multiply, what they make.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSteps } from "../../bench/node_steps.ts";
import type { Steps } from "../../bench/steps.ts";
import { FORMATS } from "../../kernels/formats/index.ts";
import type { Counters } from "../../src/backend/webgpu/device/device.ts";
import { sidesOf } from "../../src/backend/webgpu/tuning/matvec.ts";
import { agreeing, rowsPerExpert, stepSizes, usualForms } from "../../src/backend/webgpu/tuning/rows.ts";
import { type Abilities, Tuning } from "../../src/backend/webgpu/tuning/tuning.ts";
import { openModel } from "../../src/wiring/open.ts";
import { NO_ADAPTER, noAdapter, usualAdapters } from "../support/adapters.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { writeTinyFolder } from "../support/tiny_folder.ts";
import { watchedGpu } from "../support/watched_gpu.ts";

const [adapter] = usualAdapters();
const MADE = ["buffersCreated", "bindGroupsCreated", "pipelinesCreated"] as const;

describe.skipIf(noAdapter)(`webgpu steps of a few rows: ${adapter?.name ?? NO_ADAPTER}`, () => {
  it("there is an adapter", () => expect(adapter).toBeDefined());

  const nothing = "compile nothing once a model is open, with the adapter's own forms";
  it.skipIf(leftToCi)(titled(nothing, leftToCi), async () => {
    const folder = writeTinyFolder({}, 64);
    try {
      const watched = watchedGpu(adapter!.name);
      const compiled: string[] = [];
      watched.onShader = (code) => {
        compiled.push(code.slice(0, 80));
        return code;
      };
      // As much cache as all sessions need from the start: growing may create more.
      const options = { backend: "webgpu", adapter: adapter!.name, weights: "q4", context: 512, chunk: 32 } as const;
      const model = await openModel(folder.path, options, watched.platform);
      expect(compiled.length).toBeGreaterThan(0);
      compiled.length = 0;
      for (const rows of [2, 4, 8, 12, 16, 20]) {
        const prompt = Array.from({ length: rows }, (_, i) => 3 + i);
        const answer = model.session().generate(prompt, { maxTokens: 2, temperature: 0, ignoreEos: true });
        for await (const _ of answer) expect(compiled, `${rows} rows`).toEqual([]);
      }
      await model.close();
    } finally {
      folder.remove();
    }
  });

  describe("models/tales in q4", () => {
    let steps: Steps;
    beforeAll(async () => {
      const forms = usualForms(false);
      steps = await openSteps(inRepo("models/tales"), {
        ...{ weights: "q4", kv: "f16", chunk: 65, tune: false, forms },
        adapter: adapter!.name,
      });
      await steps.reserve(32, 65);
      await steps.warmUp();
    });
    afterAll(() => steps?.close());

    /** What one step of n rows, each with logits, adds to the counters. */
    async function counted(n: number): Promise<Counters> {
      const before = steps.ops.counters();
      await steps.together(3, n);
      const after = steps.ops.counters();
      const names = Object.keys(before) as (keyof Counters)[];
      return Object.fromEntries(names.map((name) => [name, after[name] - before[name]])) as unknown as Counters;
    }

    it("read each matrix once, and each expert that is chosen, in one submit that makes nothing", async () => {
      const { model, architecture } = steps;
      const { perToken, count } = architecture.layers[0]!.experts!;
      const dense = model.layers.flatMap(({ qkv, wo, router }) => [...qkv, wo, router!.gate]);
      const once = dense.reduce((sum, { bytes }) => sum + bytes, model.head.bytes);
      const experts = model.layers.reduce((sum, layer) => sum + layer.experts!.bytes, 0);
      for (let n = 1; n <= 16; n++) {
        const found = await counted(n);
        const needed = once + (Math.min(n * perToken, count) / count) * experts;
        expect(found.weightBytes, `${n} rows`).toBeGreaterThanOrEqual(needed * 0.999);
        expect(found.weightBytes, `${n} rows`).toBeLessThanOrEqual(needed * 1.1);
        expect(found.submits).toBe(1);
        for (const made of MADE) expect(found[made], `${made} in a step of ${n} rows`).toBe(0);
      }
    });

    it.skipIf(leftToCi)(titled("multiply at most 1.5 times what is needed", leftToCi), async () => {
      const { ops, model, architecture } = steps;
      const { perToken, count } = architecture.layers[0]!.experts!;
      const values = (list: readonly { rows: number; cols: number }[]) =>
        list.reduce((sum, { rows, cols }) => sum + rows * cols, 0);
      const { hidden, intermediate } = model.layers[0]!.experts!;
      const dense =
        values(model.layers.flatMap(({ qkv, wo, router }) => [...qkv, wo, router!.gate])) + values([model.head]);
      const token = dense + model.layers.length * perToken * 3 * hidden * intermediate;
      expect(count).toBeGreaterThan(perToken);
      for (const n of [9, 16, 17, 33, 64]) {
        const { kernels } = await ops.profiling.run(() => steps.together(3, n));
        const products = kernels.filter(({ weightBytes }) => weightBytes > 0);
        const executed = products.reduce((sum, { flops }) => sum + flops / 2, 0);
        expect(executed, `${n} rows`).toBeGreaterThanOrEqual(n * token * 0.999);
        expect(executed, `${n} rows`).toBeLessThanOrEqual(n * token * 1.5);
      }
    });
  });
});

const GPU: Abilities = {
  arithmetics: ["f32"],
  subgroup: 32,
  tile: "shared64",
  matrix: null,
  forms: usualForms(false),
  software: false,
};

describe("a team that takes all experts of a token", () => {
  const variant = (team: number) => ({ threads: 256, teams: 256 / team, atOnce: 2 }) as const;

  it.each([
    ["two, of 14336 columns", 2, 448, 256, 2],
    ["eight, of 768", 8, 24, 32, 4],
    ["eight, of 512", 8, 16, 256, 8],
    // four at once would wait 3 x 4 times, with half a turn idle; two wait 5 x 2 times
    ["ten, of 512", 10, 16, 32, 2],
    // and four 2 x 11 times, two 3 x 6
    ["six, of 1408", 6, 44, 32, 2],
    ["one", 1, 16, 64, 1],
    ["ten, with less than eight invocations", 10, 16, 4, 1],
  ])("takes as many at once as keep it busy: %s", (_, K, groups, team, sides) => {
    expect(sidesOf(K, groups, variant(team))).toBe(sides);
  });

  it("is the larger the more there are, on GPUs: until enough invocations ask for weights", () => {
    const tuning = new Tuning(GPU);
    const of = (F: number, D: number, K: number) => {
      const parts = (rows: number) => [{ rows }] as never;
      const { up, down } = tuning.experts(
        { format: FORMATS.q4, groups: D / 32, parts: parts(2 * F) },
        { format: FORMATS.q4, groups: F / 32, parts: parts(D) },
        K,
      );
      return [up, down].map(({ threads, teams }) => threads / teams);
    };
    expect(of(14336, 4096, 2)).toEqual([64, 256]);
    expect(of(512, 2048, 1)).toEqual([128, 32]); // one shared expert: two units an invocation
    expect(of(512, 2048, 10)).toEqual([128, 256]);
    expect(of(768, 2048, 8)).toEqual([128, 256]);
    const widest = (K: number) =>
      Math.max(
        ...tuning.candidates("f32", { format: FORMATS.q4, groups: 16 }, undefined, K).map((v) => v.threads / v.teams),
      );
    expect([1, 10].map(widest)).toEqual([64, 256]);
  });
});

it("experts are multiplied in int8 at first where a GPU prefers that, in f32 where that is not allowed or timed", () => {
  const kind = { format: FORMATS.q4, groups: 128 };
  const of = (tuning: Tuning) => Object.values(tuning.experts(kind, kind)).map(({ arithmetic }) => arithmetic);
  const first = new Tuning({ ...GPU, arithmetics: ["f32", "f16", "int8"], int8First: true });
  expect(of(first)).toEqual(["int8", "int8"]);
  expect(first.usesInt8).toBe(true);
  first.startTiming();
  expect(of(first)).toEqual(["f32", "f32"]);
  expect(of(new Tuning({ ...GPU, arithmetics: ["f32"], int8First: true }))).toEqual(["f32", "f32"]);
  expect(of(new Tuning({ ...GPU, arithmetics: ["f32", "int8"] }))).toEqual(["f32", "f32"]);
  const float = { ...kind, format: FORMATS.f16 };
  const other = new Tuning({ ...GPU, arithmetics: ["f32", "int8"], int8First: true });
  expect(other.experts(float, float).up.arithmetic).toBe("f32");
});

describe("forms by rows", () => {
  it("an expert's rows are those of a token where each goes to all, and one where there is one token", () => {
    expect(rowsPerExpert(7, 3, 3)).toBe(7);
    expect(rowsPerExpert(1, 2, 8)).toBeCloseTo(1, 12);
    expect(rowsPerExpert(1, 8, 128)).toBeCloseTo(1, 12);
    // Of two tokens that choose 2 of 8, the second finds a choice of the first with 1/4: 4 / 3.5.
    expect(rowsPerExpert(2, 2, 8)).toBeCloseTo(4 / 3.5, 12);
    expect(rowsPerExpert(0, 2, 8)).toBe(0);
  });

  it("software adapters read a matrix once for all rows from two on, an expert from three", () => {
    const tuning = new Tuning({ ...GPU, software: true, forms: usualForms(true) });
    expect([1, 2, 8, 64].map((n) => tuning.form(n))).toEqual(["vec", "8x4", "8x4", "8x4"]);
    expect([1, 2, 3, 64].map((n) => tuning.expertForm(n, 2, 8))).toEqual(["vec", "vec", "8x4", "8x4"]);
  });

  it("GPUs of few registers take small shapes only", () => {
    const tuning = new Tuning({ ...GPU, forms: usualForms(false, false, true) });
    expect([1, 2, 16, 17].map((n) => tuning.form(n))).toEqual(["vec", "4x4", "4x4", "tile"]);
    expect([1, 2, 16, 256].map((n) => tuning.expertForm(n, 2, 8))).toEqual(["vec", "4x4", "4x4", "tile"]);
  });

  it.each([
    ["a software adapter", usualForms(true), ["8x4", "8x4"], ["8x4", "8x4"]],
    ["a GPU", usualForms(false), ["8x4", "4x16"], ["8x4", "4x16"]],
    ["a GPU of few registers", usualForms(false, false, true), ["4x4", "4x4"], ["4x4", "4x4"]],
    ["tiles that were asked for", usualForms(true, true), ["8x4", "tile"], ["8x4", "8x4"]],
    ["rows that were timed", { ...usualForms(false), experts: [[1.1, "vec"]] }, ["8x4", "4x16"], ["8x4", "8x4"]],
  ] as const)("up to eight rows have one form where they agree: %s", (_, forms, matrices, experts) => {
    const tuning = new Tuning({ ...GPU, forms: agreeing(forms) });
    expect(tuning.agree).toBe(8);
    const rows = [1, 2, 5, 8];
    expect(new Set(rows.map((n) => tuning.form(n)))).toEqual(new Set([matrices[0]]));
    expect(new Set(rows.map((n) => tuning.expertForm(n, 2, 8)))).toEqual(new Set([experts[0]]));
    expect([tuning.form(9), tuning.expertForm(19, 2, 8)]).toEqual([matrices[1], experts[1]]);
    tuning.leaveOut({ few: "8x4", arithmetic: "f32" } as never);
    tuning.leaveOut({ few: "4x16", arithmetic: "f32" } as never);
    tuning.leaveOut({ few: "4x4", arithmetic: "f32" } as never);
    expect(tuning.agree).toBe(0);
  });

  it("a warm-up goes through all of them, in the largest steps of up to 16 rows", () => {
    const formsOf = (n: number): string => `${n > 1} ${n > 4} ${n > 40}`;
    expect(stepSizes(512, formsOf)).toEqual([1, 4, 16, 41]);
    expect(stepSizes(41, formsOf)).toEqual([1, 4, 16, 41]);
    expect(stepSizes(40, formsOf)).toEqual([1, 4, 16]);
    expect(stepSizes(3, formsOf)).toEqual([1, 3]);
  });
});
