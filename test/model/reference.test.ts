// The whole forward pass against transformers' own outputs on small random checkpoints, on every
// backend and on every path of the CPU backend; with quantized weights, which transformers does not
// have, against the plain kernels.

import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { backends } from "../support/backends.ts";
import { cpuPaths, readyCpuOps } from "../support/cpu.ts";
import { readExpected, worst } from "../support/expected.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";
import { EVERYTHING, leftToCi } from "../support/level.ts";
import { loadFolder } from "../support/model.ts";

interface Expected {
  ids: number[];
  logits: number[][];
  experts: number[][][];
  greedy_prompt: number;
  greedy_ids: number[];
}

const TINY = ["bf16-odd-window-shards", "f16-fused-v5-tied", "f32-all-experts"];

const paths = cpuPaths().map(({ name, options }) => ({
  name,
  make: ({ maxTokens }: { maxTokens: number }) => readyCpuOps({ ...options, maxTokens }),
  exact: ({ maxTokens }: { maxTokens: number }) => readyCpuOps({ ...options, maxTokens, activations: "f32" }),
}));

const plain = paths.find(({ name }) => name === "cpu plain")!;
/** Where not everything runs: the plain kernels, and the best that is here, on two threads. */
const shown = EVERYTHING ? paths : [...paths.filter(({ name }) => name.endsWith("2 threads")).slice(0, 1), plain];
if (leftToCi !== null) it.skip(`other instruction sets, and one thread [${leftToCi}]`, () => {});

describe.each([...shown, ...backends.filter(({ name }) => name !== "cpu")])("$name", ({ make }) => {
  it.each(TINY)("%s: logits, experts and greedy tokens of transformers", async (name) => {
    const folder = inRepo(`test/fixtures/mixtral/${name}`);
    const expected: Expected = JSON.parse(readFileSync(`${folder}/expected.json`, "utf8"));
    // Chunks of 16 of 37 tokens: the cache is read across steps and blocks.
    const model = await loadFolder(folder, await make({ maxTokens: 16 }), "f32", "f32");
    try {
      const { logits, experts } = await model.run(expected.ids);
      expect(worst(logits, Float32Array.from(expected.logits.flat()))).toBeLessThan(2e-4);
      expect(experts).toEqual(expected.experts);
      await model.run(expected.ids.slice(0, expected.greedy_prompt));
      expect(await model.greedy(16)).toEqual(expected.greedy_ids);
    } finally {
      model.close();
    }
  });

  const shared = inShared("fixtures/hf-mixtral/a-f32-v4config");
  it.skipIf(shared.skip)(
    titled("a-f32-v4config: logits, experts and greedy tokens of transformers", shared.skip),
    async () => {
      const { has, floats } = await readExpected(shared.path);
      const { cases } = JSON.parse(readFileSync(`${shared.path}/expected.json`, "utf8")) as {
        cases: { prompt_ids: number[]; greedy_ids: number[] }[];
      };
      const model = await loadFolder(shared.path, await make({ maxTokens: 128 }), "f32", "f32");
      try {
        for (const [n, { prompt_ids, greedy_ids }] of cases.entries()) {
          const { logits, experts } = await model.run(prompt_ids);
          expect(worst(logits, await floats(`p${n}.logits_f32`)), `prompt ${n}`).toBeLessThan(2e-4);
          if (has(`p${n}.router_logits_f32`)) {
            const router = await floats(`p${n}.router_logits_f32`);
            expect(experts, `prompt ${n}`).toEqual(topTwo(router, 3, prompt_ids.length));
          }
          expect(await model.greedy(greedy_ids.length), `prompt ${n}`).toEqual(greedy_ids);
        }
      } finally {
        model.close();
      }
    },
  );
});

describe.each(shown.filter((path) => path !== plain))("$name, exact activations", ({ exact }) => {
  const cases = TINY.flatMap((name) => (["q8", "q4"] as const).map((precision) => ({ name, precision })));
  it.each(cases)("$name at $precision: logits and experts of the plain kernels", async ({ name, precision }) => {
    const folder = inRepo(`test/fixtures/mixtral/${name}`);
    const { ids }: Expected = JSON.parse(readFileSync(`${folder}/expected.json`, "utf8"));
    const run = async (make: typeof exact) => {
      const model = await loadFolder(folder, await make({ maxTokens: 16 }), precision, "f32");
      try {
        return await model.run(ids);
      } finally {
        model.close();
      }
    };
    const [found, expected] = [await run(exact), await run(plain.exact)];
    expect(worst(found.logits, expected.logits)).toBeLessThan(2e-4);
    expect(found.experts).toEqual(expected.experts);
  });
});

/** The two largest of each row of router logits [layers, T, 8], largest first. */
function topTwo(router: Float32Array, layers: number, T: number): number[][][] {
  return Array.from({ length: layers }, (_, l) =>
    Array.from({ length: T }, (_, t) => {
      const row = [...router.subarray((l * T + t) * 8, (l * T + t + 1) * 8)];
      return row
        .map((value, id) => ({ value, id }))
        .sort((a, b) => b.value - a.value || a.id - b.id)
        .slice(0, 2)
        .map(({ id }) => id);
    }),
  );
}

it("the checkpoints of this test are in the repository", () => {
  for (const name of TINY) expect(existsSync(inRepo(`test/fixtures/mixtral/${name}/expected.json`))).toBe(true);
});
