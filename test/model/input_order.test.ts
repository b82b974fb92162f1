// A Mixtral whose 4-bit matrices have the groups of their inputs in any order (GPTQ's desc_act,
// compressed-tensors' actorder), against the logits that transformers computed of the same weights:
// in every tier, at the bits of the file.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import { inspect } from "../../src/cli/inspect.ts";
import type { OpenOptions } from "../../src/engine/api.ts";
import { open, quantize } from "../../src/index.ts";
import { adapters, leftToFaster } from "../support/adapters.ts";
import { BY_INPUTS, contentOf, regrouped } from "../support/affine_model.ts";
import { backends } from "../support/backends.ts";
import { cpuOps } from "../support/cpu.ts";
import { readExpected, worst } from "../support/expected.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { loadFolder } from "../support/model.ts";
import { packCompressed, packGptq } from "../support/pack_words.ts";
import { type TensorSpec, tensorFile } from "../weights/memory_files.ts";

const { path, skip } = inShared("fixtures/families/mixtral-gptq");
const GPTQ = { quant_method: "gptq", bits: 4, group_size: 32, desc_act: true };
const COMPRESSED = {
  quant_method: "compressed-tensors",
  format: "pack-quantized",
  config_groups: {
    group_0: {
      targets: ["Linear"],
      weights: {
        num_bits: 4,
        type: "int",
        strategy: "group",
        group_size: 32,
        symmetric: false,
        actorder: "group",
      },
    },
  },
};

interface Case {
  readonly prompt_ids: number[];
  readonly greedy_ids: number[];
}

describe.skipIf(skip)(titled("inputs in the order of their groups", skip), () => {
  const root = mkdtempSync(join(tmpdir(), "hotset-order-"));
  afterAll(() => rmSync(root, { recursive: true }));
  let cases: Case[] = [];
  /** Orders as GPTQ makes them, and one for each matrix. */
  const [usual, packed, each] = ["usual", "packed", "each"].map((name) => join(root, name)) as [string, string, string];

  beforeAll(async () => {
    if (skip) return;
    cases = JSON.parse(readFileSync(`${path}/expected.json`, "utf8")).cases;
    const config = JSON.parse(readFileSync(`${path}/config.json`, "utf8")) as object;
    const { matrices, others } = await contentOf(path);
    for (const [folder, key, quantization_config, pack] of [
      [usual, BY_INPUTS, GPTQ, packGptq],
      [each, (name: string) => name, COMPRESSED, packCompressed],
    ] as const) {
      const tensors: Record<string, TensorSpec> = { ...others };
      for (const [base, matrix] of regrouped(matrices, key))
        for (const [part, tensor] of Object.entries(
          pack === packGptq ? packGptq(matrix) : packCompressed(matrix, { zeros: true, index: true }),
        ))
          tensors[`${base}.${part}`] = tensor;
      mkdirSync(folder);
      writeFileSync(join(folder, "model.safetensors"), tensorFile(tensors));
      writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, quantization_config }));
    }
    await quantize(usual, packed, { threads: 1 });
  });

  async function compare(folder: string, ops: Awaited<ReturnType<typeof cpuOps>>, most = 3): Promise<void> {
    const expected = await readExpected(path);
    const model = await loadFolder(folder, ops, "f32", "f32");
    try {
      for (const [n, { prompt_ids, greedy_ids }] of cases.slice(0, most).entries()) {
        const { logits } = await model.run(prompt_ids);
        const want = await expected.floats(`p${n}.logits_f32`);
        expect(worst(logits.subarray(-want.length), want), `prompt ${n}`).toBeLessThan(2e-4);
        expect(await model.greedy(greedy_ids.length), `prompt ${n}`).toEqual(greedy_ids);
      }
    } finally {
      model.close();
    }
  }

  it.each([
    ["GPTQ's orders", usual, "simd"],
    ["GPTQ's orders", usual, "plain"],
    ["as `hotset quantize` writes them", packed, "simd"],
    ["an order for each matrix", each, "simd"],
  ] as const)("%s: transformers' logits and tokens (%s, %s)", async (_, folder, instructions) => {
    const plain = instructions === "plain";
    await compare(folder, await cpuOps({ maxTokens: 64, activations: "f32", ...(plain && { instructions }) }));
  });

  const onWebGpu = adapters.filter(({ name }) => !leftToFaster(name));
  it.skipIf(onWebGpu.length === 0).each(onWebGpu)(
    "transformers' logits and tokens on $name",
    { timeout: 300_000 },
    async (adapter) => {
      await compare(usual, await adapter.open({ maxTokens: 64, arithmetics: ["f32"] }), 2);
    },
  );

  /** What a model writes after the second prompt. */
  async function greedyOf(folder: string, options: OpenOptions) {
    vi.stubEnv("HOTSET_CACHE", join(root, "cache"));
    onTestFinished(() => void vi.unstubAllEnvs());
    const exact = { kv: "f32", activations: "f32", chunk: 32, context: 128 } as const;
    const model = await open(folder, { ...exact, ...options });
    try {
      const { prompt_ids, greedy_ids } = cases[1]!;
      const ids: number[] = [];
      const settings = { maxTokens: greedy_ids.length, temperature: 0, ignoreEos: true };
      for await (const piece of model.session().generate(prompt_ids, settings)) ids.push(...piece.ids);
      return { ids, stats: model.stats() };
    } finally {
      await model.close();
    }
  }

  for (const { name, options } of backends) {
    const left = leftToFaster(name);
    it.skipIf(left).each([
      ["of the folder", usual],
      ["of a packed folder", packed],
    ])(titled(`experts in slots on ${name}: %s`, left), async (_, folder) => {
      const { ids, stats } = await greedyOf(folder, { ...options, expertSlots: 1 });
      expect(ids).toEqual(cases[1]!.greedy_ids);
      expect(stats.experts!.main.slots).toBe(1);
    });
  }

  it("with int8 activations the tokens are the same", async () => {
    const { ids } = await greedyOf(usual, { backend: "cpu", activations: "int8" });
    expect(ids.slice(0, 8)).toEqual(cases[1]!.greedy_ids.slice(0, 8));
  });

  it("takes at most 3 % more bytes than the file, however little memory there is", async () => {
    const bytes = statSync(join(usual, "model.safetensors")).size;
    const { stats } = await greedyOf(usual, { backend: "cpu" });
    expect(stats.weights).toBe("q4_g32 (with f16)");
    expect(stats.memory.weights).toBeLessThan(1.03 * bytes);
    const found = await inspect(usual);
    if (found.kind !== "folder") throw new Error(found.kind);
    expect(found.quantized).toBe("GPTQ, 4 bits, groups of 32, act order");
    expect(Object.keys(found.architecture!.memory)).toEqual(["q4_g32 (with f16)"]);
    // Orders that no quantizer makes: exact, but wide.
    const other = await inspect(each);
    if (other.kind !== "folder") throw new Error(other.kind);
    expect(Object.keys(other.architecture!.memory)).toEqual(["f32 (with q4_g32, f16)"]);
  });
});
