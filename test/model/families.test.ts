// Small random checkpoints of every family but Mixtral (reference.test.ts) against
// transformers' own outputs: resident and in slots, in every spelling and layout, and packed
// by `hotset quantize`.

import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { inspect } from "../../src/cli/inspect.ts";
import type { Model } from "../../src/engine/model.ts";
import { open, quantize } from "../../src/index.ts";
import { readArchitecture } from "../../src/model/families/index.ts";
import { type Architecture, routingOf, sparseLayers } from "../../src/model/family.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { adapters } from "../support/adapters.ts";
import { backends, type TestBackend } from "../support/backends.ts";
import { cpuOps, cpuPaths, readyCpuOps } from "../support/cpu.ts";
import { type Expected, readExpected, worst } from "../support/expected.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";
import { EVERYTHING, leftToAll, leftToCi } from "../support/level.ts";
import { loadFolder } from "../support/model.ts";
import { shown } from "../support/some.ts";
import { tensorFile } from "../weights/memory_files.ts";

interface Case {
  readonly prompt_ids: number[];
  readonly greedy_ids: number[];
  /** Where a cache, whose keys stay as they were, gives others. */
  readonly greedy_ids_cached?: number[];
}

const inFamilies = (name: string) => ({ name, ...inShared(`fixtures/families/${name}`) });
const BIASED = { name: "qwen3_moe-biased", path: inRepo("test/fixtures/qwen3_moe-biased"), skip: null };
const DOTS = { name: "dots1", path: inRepo("test/fixtures/dots1"), skip: null };
/** Those whose tensors transformers v5 names otherwise. */
const APART = [
  BIASED,
  DOTS,
  ...["qwen3_moe-a", "olmoe-a", "minimax_m2-a", "glm4_moe-a", "qwen2_moe-a", "ernie4_5_moe-a"].map(inFamilies),
  ...["granitemoe-a", "phimoe-a"].map(inFamilies),
];
/** With experts in MXFP4 blocks as published, and those numbers as transformers unpacks them. */
const [BLOCKS, PLAIN] = ["gpt_oss-a", "gpt_oss-a-bf16"].map(inFamilies);
const FOLDERS = [...APART, BLOCKS!];
/** With latent attention. */
const LATENT = ["deepseek_v2-a", "deepseek_v3-a", "glm4_moe_lite-a"].map(inFamilies);
/** With states: hybrids.test.ts has their logits. */
const HYBRIDS = [
  inFamilies("qwen3_5_moe-a"),
  ...["qwen3_next", "lfm2_moe"].map((name) => ({ name, path: inRepo(`test/fixtures/hybrids/${name}`), skip: null })),
];
/** With a scaling of RoPE each. */
const SCALED = ["mixtral-linear-a", "mixtral-dynamic-a", "mixtral-llama3-a", "mixtral-yarn-a"].map(inFamilies);
/** With matrices of four bits, of FP8, and others of four bits, which are the same in memory. */
const [FOUR_BITS, FLOAT8, MORE] = ["mixtral-awq", "qwen3_moe-fp8", "mixtral-gptq"].map(inFamilies);

const casesOf = (path: string): Case[] => JSON.parse(readFileSync(`${path}/expected.json`, "utf8")).cases;

/** The experts of every layer that has a router, and position, likeliest first: [L][T][K]. */
async function expertsOf(expected: Expected, n: number, layers: number, T: number): Promise<number[][][]> {
  const ids = await expected.integers(`p${n}.selected_experts`);
  const k = ids.length / (layers * T);
  return Array.from({ length: layers }, (_, l) =>
    Array.from({ length: T }, (_, t) => [...ids.subarray((l * T + t) * k, (l * T + t + 1) * k)]),
  );
}

function temporary(): string {
  const path = mkdtempSync(join(tmpdir(), "hotset-family-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

/** What an opened model writes after a prompt, greedily, past any end. */
async function greedyOf(model: Model, prompt: readonly number[], count: number): Promise<number[]> {
  const ids: number[] = [];
  const session = model.session();
  const options = { maxTokens: count, temperature: 0, ignoreEos: true };
  for await (const piece of session.generate(prompt, options)) ids.push(...piece.ids);
  session.close();
  return ids;
}

/** What is stacked in v4 already, with its names in v5. */
const STACKED: readonly (readonly [v4: string, v5: string])[] = [
  ["input_linear.weight", "experts.gate_up_proj"],
  ["output_linear.weight", "experts.down_proj"],
  ["router.layer.weight", "router.weight"],
];

/**
 * The folder with its experts in transformers v5's fused layout, F32, and names and config.json as
 * v5 writes them.
 */
async function fused(path: string): Promise<string> {
  const folder = await openFolder(await nodeFiles(path));
  const { source } = folder;
  const tensors: Record<string, { dtype: string; shape: number[]; data: Float32Array }> = {};
  const read = async (name: string) => {
    const matrix = source.matrix(name);
    const data = new Float32Array(matrix.rows * matrix.cols);
    await matrix.readRows(0, matrix.rows, data);
    return data;
  };
  const EXPERT = /^(.*\.experts\.)(\d+)\.(gate_proj|up_proj|down_proj|w1|w2|w3)\.weight$/;
  const ROLES: Readonly<Record<string, string>> = { w1: "gate", w3: "up", w2: "down" };
  const isPhi = (folder.config as { model_type: string }).model_type === "phimoe";
  const renamed = (name: string) => {
    const stacked = STACKED.find(([old]) => name.endsWith(old));
    if (stacked) return name.replace(...stacked);
    return name
      .replace(".block_sparse_moe.gate.", isPhi ? ".mlp.router." : ".mlp.gate.")
      .replace(".block_sparse_moe.", ".mlp.")
      .replace(".mlp.moe_statics.", ".mlp.gate.moe_statics.");
  };
  const stacks = new Map<string, Map<number, Record<string, Float32Array>>>();
  for (const name of source.names()) {
    const [, prefix, e, matrix] = EXPERT.exec(name) ?? [];
    if (!prefix || !e || !matrix)
      tensors[renamed(name)] = { dtype: "F32", shape: [...source.shape(name)], data: await read(name) };
    else {
      const stack = stacks.get(prefix) ?? new Map<number, Record<string, Float32Array>>();
      stack.set(Number(e), {
        ...stack.get(Number(e)),
        [ROLES[matrix] ?? matrix.replace("_proj", "")]: await read(name),
      });
      stacks.set(prefix, stack);
    }
  }
  for (const [prefix, stack] of stacks) {
    const gate = source.has(`${prefix}0.w1.weight`) ? "w1" : "gate_proj";
    const [F, D] = source.shape(`${prefix}0.${gate}.weight`) as [number, number];
    const all = Array.from({ length: stack.size }, (_, e) => stack.get(e)!);
    const joined = (part: (e: Record<string, Float32Array>) => Float32Array[]) =>
      Float32Array.from(all.flatMap((e) => part(e).flatMap((values) => [...values])));
    const up = joined((e) => [e.gate!, e.up!]);
    tensors[renamed(`${prefix}gate_up_proj`)] = { dtype: "F32", shape: [all.length, 2 * F, D], data: up };
    tensors[renamed(`${prefix}down_proj`)] = {
      dtype: "F32",
      shape: [all.length, D, F],
      data: joined((e) => [e.down!]),
    };
  }
  await folder.close();
  const to = temporary();
  mkdirSync(to, { recursive: true });
  writeFileSync(join(to, "model.safetensors"), tensorFile(tensors));
  const config = [`${path}/config.v5.json`, `${path}/config.json`].find((file) => existsSync(file));
  cpSync(config!, join(to, "config.json"));
  return to;
}

/** An architecture in which RoPE that depends on the text's length says what it is. */
function toldOf({ layers, ...rest }: Architecture): object {
  const told = layers.map(({ attention, ...layer }) => {
    const { lengths, ...rope } = attention?.rope ?? {};
    const samples = [1, 64, 65, 300].map((n) => [lengths?.at(n), lengths?.key(n), lengths?.until(n)]);
    return { ...layer, attention: { ...attention, rope, samples } };
  });
  return { ...rest, layers: told };
}

const paths = cpuPaths().map(({ name, options }) => ({
  name,
  make: ({ maxTokens }: { maxTokens: number }) => readyCpuOps({ ...options, maxTokens, activations: "f32" }),
}));
const devices = backends.filter(({ name }) => name !== "cpu");
/** A backend, and which prompt it computes; null: all of them. */
interface Way extends Pick<TestBackend, "name" | "make"> {
  readonly only: number | null;
}
const all: readonly Way[] = [...paths, ...devices].map(({ name, make }) => ({ name, make, only: null }));
/** The ways of families whose kernels others have, too. */
const others = EVERYTHING ? all : all.slice(0, 1);
/** What slow adapters compute of each family: a prompt of 17 tokens, and the next ones. */
const brief = adapters
  .filter(({ leftToFaster }) => leftToFaster)
  .map(({ name, open }): Way => ({ name: `one prompt on webgpu ${name}`, make: open, only: 1 }));

/** A family of each kind of experts and attention: the others meet the same kernels. */
const KINDS = ["qwen3_moe-a", "gpt_oss-a", "deepseek_v2-a", "qwen3_5_moe-a"];
const left = leftToAll === null ? [] : brief;
if (leftToCi !== null) it.skip(`families of other kinds, on WebGPU and by plain kernels [${leftToCi}]`, () => {});
it.skip.each(left.map(({ name }) => name))(`families of other kinds: %s [${leftToAll}]`, () => {});

describe.each([
  ...[...FOLDERS, ...LATENT].map((folder) => ({
    ...folder,
    ways: KINDS.includes(folder.name) ? [...all, ...brief] : [...others, ...brief.filter((one) => !left.includes(one))],
  })),
  ...[...SCALED, FOUR_BITS!].map((folder) => ({ ...folder, ways: others })),
  { ...PLAIN!, ways: all.slice(0, 1) },
  { ...FLOAT8!, ways: [all[0]!, ...all.slice(paths.length)] },
  { ...MORE!, ways: all.slice(0, 1) },
])("$name", ({ path, skip, ways }) => {
  it.skipIf(skip).each(ways)(
    titled("logits, experts and greedy tokens of transformers: $name", skip),
    async ({ make, only }) => {
      const expected = await readExpected(path);
      // Chunks of 64: the forms for many rows, then those for few, over a cache that is
      // read across steps.
      const model = await loadFolder(path, await make({ maxTokens: 64 }), "f32", "f32");
      try {
        for (const [n, { prompt_ids, greedy_ids, greedy_ids_cached = greedy_ids }] of casesOf(path).entries()) {
          if (only !== null && n !== only) continue;
          const { logits, experts } = await model.run(prompt_ids);
          // of a long prompt the last positions
          const want = await expected.floats(`p${n}.logits_f32`);
          expect(worst(logits.subarray(-want.length), want), `prompt ${n}`).toBeLessThan(2e-4);
          const sparse = sparseLayers(model.architecture).length;
          const chosen = await expertsOf(expected, n, sparse, prompt_ids.length);
          // With a bias the order of choice is not that of weights, which the reference has; nor is
          // sparsemixer's.
          const { biased, rule } = routingOf(model.architecture);
          const unordered = biased || rule.score === "sparsemixer";
          const ordered = (all: number[][][]) =>
            unordered ? all.map((l) => l.map((ids) => ids.toSorted((a, b) => a - b))) : all;
          expect(ordered(experts), `prompt ${n}`).toEqual(ordered(chosen));
          const next = only === null ? greedy_ids_cached : greedy_ids_cached.slice(0, 6);
          expect(await model.greedy(next.length), `prompt ${n}`).toEqual(next);
        }
      } finally {
        model.close();
      }
    },
  );

  it.skipIf(skip)(titled("is read in both spellings of config.json", skip), () => {
    const [v4, v5] = ["config.json", "config.v5.json"].map((name) => {
      return readArchitecture(JSON.parse(readFileSync(`${path}/${name}`, "utf8")), name);
    });
    expect(toldOf(v5!)).toEqual(toldOf(v4!));
  });
});

describe.each([...FOLDERS, ...LATENT, ...HYBRIDS])("$name", ({ name, path, skip }) => {
  const left = skip ?? (KINDS.includes(name) ? null : leftToCi);
  it
    .skipIf(skip)
    .each(
      shown(
        backends,
        ({ options }) => options.backend === "cpu" || (KINDS.includes(name) && (EVERYTHING || name === KINDS[0])),
      ),
    )(titled("the same tokens with half of the experts: $name", skip), async ({ options }) => {
    const exact = { weights: "f32", kv: "f32", activations: "f32", chunk: 32, context: 256 } as const;
    const config = JSON.parse(readFileSync(`${path}/config.json`, "utf8"));
    const slots = Math.floor(routingOf(readArchitecture(config, "config.json")).count / 2);
    const model = await open(path, { ...options, ...exact, expertSlots: slots });
    try {
      for (const { prompt_ids, greedy_ids } of casesOf(path))
        expect(await greedyOf(model, prompt_ids, greedy_ids.length)).toEqual(greedy_ids);
      expect(model.stats().experts?.main.slots).toBe(slots);
    } finally {
      await model.close();
    }
  });

  it.skipIf(left)(titled("is packed by hotset quantize, bit for bit what it is without", left), async () => {
    const [{ prompt_ids }] = casesOf(path).slice(1) as [Case];
    // Blocks of four bits are kept where no format is asked for.
    for (const weights of path === BLOCKS!.path ? (["f32", "auto"] as const) : (["f32", "q8"] as const)) {
      const to = join(temporary(), "packed");
      await quantize(path, to, { ...(weights !== "auto" && { weights }), threads: 1 });
      const logits: Float32Array[] = [];
      for (const folder of [path, to]) {
        const model = await open(folder, { backend: "cpu", weights, threads: 1, context: 64 });
        logits.push(await model.logits(prompt_ids));
        await model.close();
      }
      expect(logits[1]).toEqual(logits[0]);
      const report = await inspect(to);
      expect(report).toMatchObject({
        problem: null,
        architecture: { config: { stored: weights === "auto" ? "bf16 (with mxfp4)" : weights } },
      });
    }
  });
});

describe.each([...APART, ...LATENT, ...HYBRIDS])("$name", ({ path, skip }) => {
  it.skipIf(skip)(titled("is read in the fused layout, bit for bit", skip), async () => {
    const [{ prompt_ids }] = casesOf(path).slice(1) as [Case];
    const run = async (folder: string) => {
      const model = await loadFolder(folder, await cpuOps({ maxTokens: 32 }), "f32", "f32");
      const { logits } = await model.run(prompt_ids);
      model.close();
      return logits;
    };
    expect(await run(await fused(path))).toEqual(await run(path));
  });
});

describe.each([...FOLDERS, ...LATENT, ...HYBRIDS, PLAIN!])("$name", ({ path, skip }) => {
  it.skipIf(skip)(titled("is reported by hotset inspect", skip), async () => {
    const report = await inspect(path);
    if (report.kind !== "folder") throw new Error("not a folder");
    const { config, source, close } = await openFolder(await nodeFiles(path));
    const depth = readArchitecture(config, "config.json").layers.length;
    // without layers that predict several tokens at once
    const read = [...source.names()].filter((name) => !(Number(/layers\.(\d+)/.exec(name)?.[1]) >= depth));
    const total = read.reduce((sum, name) => sum + source.shape(name).reduce((size, n) => size * n, 1), 0);
    await close();
    expect(report.problem).toBeNull();
    expect(report.architecture?.parameters.total).toBe(total);
    expect(report.architecture!.parameters.active).toBeLessThan(total);
  });
});
