// Models with dense layers and shared experts against transformers' own outputs: resident, with
// experts in slots, packed by `hotset quantize`; what plans and traces say of them.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { inspect } from "../../src/cli/inspect.ts";
import { open, quantize, type RouteStep } from "../../src/index.ts";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import { routingOf, sparseLayers } from "../../src/model/family.ts";
import { footprintOf, parametersOf } from "../../src/model/footprint.ts";
import { keep } from "../../src/model/formats.ts";
import { panelLayout } from "../../src/tensor/format.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { backends } from "../support/backends.ts";
import { cpuPaths, readyCpuOps } from "../support/cpu.ts";
import { worst } from "../support/expected.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { loadFolder } from "../support/model.ts";
import { some } from "../support/some.ts";

interface Expected {
  readonly ids: number[];
  readonly logits: number[][];
  readonly greedy_prompt: number;
  readonly greedy_ids: number[];
}

/** For switches that need nothing of a backend which others here do not. */
const CPU = backends.filter(({ name }) => name === "cpu");
const FOLDERS = [
  { name: "qwen3_moe", sparse: [1] },
  { name: "qwen3_moe_many", sparse: [0, 1], slots: 64 },
  { name: "glm4_moe", sparse: [1, 2] },
  { name: "deepseek_v2", sparse: [1, 2] },
  { name: "deepseek_v3", sparse: [1, 2] },
  { name: "glm4_moe_lite", sparse: [0, 2] },
  { name: "qwen2_moe", sparse: [0, 2, 3, 4] },
  { name: "ernie4_5_moe", sparse: [1, 3] },
  { name: "olmoe", sparse: [0, 1] },
  { name: "ernie4_5_moe_biased", sparse: [1] },
  { name: "deepseek_v2_biased", sparse: [1] },
  { name: "glm4_moe_relu2", sparse: [1], on: CPU },
  { name: "gpt_oss_bare", sparse: [0, 1], on: CPU },
  { name: "qwen3_next_dense", sparse: [0, 2, 3], within: 1e-3 },
].map((folder) => ({
  slots: 3,
  within: 2e-4,
  on: backends,
  ...folder,
  path: inRepo(`test/fixtures/dense/${folder.name}`),
}));

const EXACT = { weights: "f32", kv: "f32", activations: "f32", context: 64 } as const;
const paths = cpuPaths().map(({ name, options }) => ({
  name,
  make: ({ maxTokens }: { maxTokens: number }) => readyCpuOps({ ...options, maxTokens, activations: "f32" }),
}));

function temporary(): string {
  const path = mkdtempSync(join(tmpdir(), "hotset-dense-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return join(path, "packed");
}

describe.each(FOLDERS)("$name", ({ name, path, sparse, slots, within, on }) => {
  const expected: Expected = JSON.parse(readFileSync(`${path}/expected.json`, "utf8"));
  const { ids, greedy_prompt, greedy_ids } = expected;
  const want = Float32Array.from(expected.logits.flat());

  it.each(some([...paths, ...on.filter(({ name }) => name !== "cpu")], 1))(
    "logits and greedy tokens of transformers: $name",
    async ({ make }) => {
      const model = await loadFolder(path, await make({ maxTokens: 16 }), "f32", "f32");
      try {
        expect(worst((await model.run(ids)).logits, want)).toBeLessThan(within);
        await model.run(ids.slice(0, greedy_prompt));
        expect(await model.greedy(greedy_ids.length)).toEqual(greedy_ids);
      } finally {
        model.close();
      }
    },
  );

  it.each(some(on, 1))(
    "the same with experts in slots, greedy tokens too, and routes of the layers that have them: $name",
    async (backend) => {
      const steps: RouteStep[] = [];
      const onRoutes = (step: RouteStep) => void steps.push(step);
      const model = await open(path, { ...backend.options, ...EXACT, chunk: 16, expertSlots: slots, onRoutes });
      try {
        expect(worst(await model.logits(ids), want)).toBeLessThan(within);
        const options = { maxTokens: greedy_ids.length, temperature: 0, ignoreEos: true };
        const written: number[] = [];
        for await (const piece of model.session().generate(ids.slice(0, greedy_prompt), options))
          written.push(...piece.ids);
        expect(written).toEqual(greedy_ids);
        const { main } = model.stats().experts!;
        expect(main.slots).toBe(slots);
        expect(main.layers).toHaveLength(sparse.length);
        expect(steps[0]!.layers.map((layer) => layer.length > 0)).toEqual(sparse.map(() => true));
      } finally {
        await model.close();
      }
    },
  );

  const left = name === FOLDERS[0]!.name ? null : leftToCi;
  it.skipIf(left)(titled("is packed, with the same result", left), async () => {
    for (const weights of ["f32", "q8"] as const) {
      const to = temporary();
      await quantize(path, to, { weights, threads: 1 });
      const logits: Float32Array[] = [];
      for (const folder of [path, to]) {
        const model = await open(folder, { ...EXACT, weights, backend: "cpu", threads: 1 });
        logits.push(await model.logits(ids));
        await model.close();
      }
      expect(logits[1]).toEqual(logits[0]);
    }
    const mixed = temporary();
    await quantize(path, mixed, { threads: 1 }); // a format for each kind of matrix
    expect(await inspect(mixed)).toMatchObject({ problem: null });
    const model = await open(mixed, { backend: "cpu", threads: 1, context: 64 });
    expect(await model.logits(ids)).toHaveLength(want.length);
    await model.close();
  });

  it("counts what every token takes as always resident, and all of it as parameters", async () => {
    const folder = await openFolder(await nodeFiles(path));
    const a = readArchitecture(folder.config, "config.json");
    const sources = bindSources(a, folder.source);
    expect(sparseLayers(a)).toEqual(sparse);
    const { weights, dense } = footprintOf(sources, keep(FORMATS.f32));
    const bytes = (rows: number, cols: number) => panelLayout(FORMATS.f32, rows, cols).bytes;
    const { intermediate: F, count: E, perToken: K } = routingOf(a);
    const D = a.hidden;
    expect(weights - dense).toBe(sparse.length * E * (bytes(2 * F, D) + bytes(D, F)));
    const { total, active } = parametersOf(a, sources);
    let values = 0;
    for (const name of folder.source.names()) values += folder.source.shape(name).reduce((x, y) => x * y, 1);
    expect(total).toBe(values);
    const biases = a.biases?.includes("experts") ? 2 * F + D : 0;
    expect(active).toBe(total - sparse.length * (E - K) * (3 * D * F + biases));
    await folder.close();
  });
});
