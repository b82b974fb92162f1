// A Mixtral whose 4-bit matrices have the groups of their inputs in any order (GPTQ's desc_act,
// compressed-tensors' actorder), against the logits that transformers computed of the same weights:
// in every tier, at the bits of the file.

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import type { Ops } from "../../src/backend/ops.ts";
import { inspect } from "../../src/cli/inspect.ts";
import type { OpenOptions } from "../../src/engine/api.ts";
import { open, quantize } from "../../src/index.ts";
import { usualAdapters } from "../support/adapters.ts";
import { BY_INPUTS, contentOf, regrouped, split } from "../support/affine_model.ts";
import { backends } from "../support/backends.ts";
import { cpuOps } from "../support/cpu.ts";
import { readExpected, worst } from "../support/expected.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { loadFolder } from "../support/model.ts";
import { type Affine, packCompressed, packGptq } from "../support/pack_words.ts";
import { some } from "../support/some.ts";
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
  const [usual, packed, each, still] = ["usual", "packed", "each", "still"].map((name) => join(root, name)) as [
    string, // orders as GPTQ makes them
    string,
    string, // an order for each matrix
    string, // groups in order
  ];

  beforeAll(async () => {
    cases = JSON.parse(readFileSync(`${path}/expected.json`, "utf8")).cases;
    const config = JSON.parse(readFileSync(`${path}/config.json`, "utf8")) as object;
    const { matrices, others } = await contentOf(path);
    const asGptq = (matrix: Affine) => packGptq(matrix);
    for (const [folder, content, quantization_config, pack] of [
      [usual, regrouped(matrices, BY_INPUTS), GPTQ, asGptq],
      [still, new Map([...matrices].map(([name, m]) => [name, split(m, 4)])), GPTQ, asGptq],
      [
        each,
        regrouped(matrices, (name) => name),
        COMPRESSED,
        (matrix: Affine) => packCompressed(matrix, { zeros: true, index: true }),
      ],
    ] as const) {
      const tensors: Record<string, TensorSpec> = { ...others };
      for (const [base, matrix] of content)
        for (const [part, tensor] of Object.entries(pack(matrix))) tensors[`${base}.${part}`] = tensor;
      mkdirSync(folder);
      writeFileSync(join(folder, "model.safetensors"), tensorFile(tensors));
      writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, quantization_config }));
    }
    await quantize(usual, packed, { threads: 1 });
  });

  async function compare(folder: string, ops: Ops, prompts = [0, 1, 2]): Promise<void> {
    const expected = await readExpected(path);
    const model = await loadFolder(folder, ops, "f32", "f32");
    try {
      for (const n of prompts) {
        const { prompt_ids, greedy_ids } = cases[n]!;
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
    { title: "GPTQ's orders", folder: usual, instructions: "simd" },
    { title: "GPTQ's orders, plain", folder: usual, instructions: "plain" },
    { title: "as `hotset quantize` writes them", folder: packed, instructions: "simd" },
    { title: "an order for each matrix", folder: each, instructions: "simd" },
  ] as const)("$title: transformers' logits and tokens", async ({ folder, instructions }) => {
    const plain = instructions === "plain";
    const ops = await cpuOps({ maxTokens: 64, activations: "f32", ...(plain && { instructions }) });
    await compare(folder, ops, plain ? [0, 1] : undefined);
  });

  const onWebGpu = usualAdapters();
  it.skipIf(onWebGpu.length === 0).each(onWebGpu)("transformers' logits and tokens on $name", async (adapter) => {
    await compare(usual, await adapter.open({ maxTokens: 64, arithmetics: ["f32"] }), [1]);
  });

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
    it.each(
      some(
        [
          ["of the folder", usual],
          ["of a packed folder", packed],
        ] as const,
        1,
      ),
    )(`experts in slots on ${name}: %s`, async (_, folder) => {
      const { ids, stats } = await greedyOf(folder, { ...options, expertSlots: 1 });
      expect(ids).toEqual(cases[1]!.greedy_ids);
      expect(stats.experts!.main.slots).toBe(1);
    });
  }

  it("with int8 activations the first tokens are the same", async () => {
    const { ids } = await greedyOf(usual, { backend: "cpu", activations: "int8" });
    expect(ids.slice(0, 8)).toEqual(cases[1]!.greedy_ids.slice(0, 8));
  });

  it("is held at 4 bits, and its orders in next to nothing", async () => {
    const memoryOf = async (folder: string) => {
      const found = await inspect(folder);
      if (found.kind !== "folder") throw new Error(found.kind);
      return Object.entries(found.architecture!.memory);
    };
    const [[text, bytes], ...none] = (await memoryOf(usual)) as [[string, number]];
    expect([text, none]).toEqual(["q4_g32 (with f16)", []]);
    const [[, without]] = (await memoryOf(still)) as [[string, number]];
    expect(bytes).toBeGreaterThan(without);
    expect(bytes).toBeLessThan(1.01 * without);
    // What this is of the whole depends on the width; the format's share: quantized.test.ts.
    const { stats } = await greedyOf(usual, { backend: "cpu" });
    expect(stats).toMatchObject({ weights: text, memory: { weights: bytes } });
    // Orders that no quantizer makes: exact, but wide.
    expect((await memoryOf(each)).map(([name]) => name)).toEqual(["f32 (with q4_g32, f16)"]);
  });
});
