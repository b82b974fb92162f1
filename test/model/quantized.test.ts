// One Mixtral in every published way to hold its 4-bit matrices, against the logits that
// transformers computed of the GPTQ folder: the same levels, zero points and scales, packed anew.
// Groups in any order are made by moving the rows of w1 and w3, and the inputs of w2 with them;
// other orders are in input_order.test.ts.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { inspect } from "../../src/cli/inspect.ts";
import { type OpenOptions, open, quantize } from "../../src/index.ts";
import { contentOf, innerMoved, split } from "../support/affine_model.ts";
import { cpuOps } from "../support/cpu.ts";
import { readExpected, worst } from "../support/expected.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { loadFolder } from "../support/model.ts";
import { type Affine, packAwq, packCompressed, packGptq } from "../support/pack_words.ts";
import { type TensorSpec, tensorFile } from "../weights/memory_files.ts";

const gptq = inShared("fixtures/families/mixtral-gptq");
const awq = inShared("fixtures/families/mixtral-awq");

interface Case {
  readonly prompt_ids: number[];
  readonly greedy_ids: number[];
}
const casesOf = (path: string): Case[] => JSON.parse(readFileSync(`${path}/expected.json`, "utf8")).cases;

function temporary(): string {
  const path = mkdtempSync(join(tmpdir(), "hotset-quantized-"));
  onTestFinished(() => rmSync(path, { recursive: true }));
  return path;
}

const COMPRESSED = (weights: object) => ({
  quant_method: "compressed-tensors",
  format: "pack-quantized",
  config_groups: {
    group_0: { targets: ["Linear"], weights: { num_bits: 4, type: "int", strategy: "group", ...weights } },
  },
  ignore: ["lm_head"],
});

interface Variant {
  readonly name: string;
  readonly config: object;
  readonly change?: (matrices: Map<string, Affine>) => Map<string, Affine>;
  readonly pack: (m: Affine) => Record<string, TensorSpec>;
}

const each = (of: (m: Affine) => Affine) => (all: Map<string, Affine>) =>
  new Map([...all].map(([name, m]) => [name, of(m)] as const));

const VARIANTS: readonly Variant[] = [
  {
    name: "GPTQ, version 2, groups of 64",
    config: { quant_method: "gptq", bits: 4, group_size: 64, checkpoint_format: "gptq_v2", desc_act: false },
    change: each((m) => split(m, 2)),
    pack: (m) => packGptq(m, 2),
  },
  {
    name: "GPTQ with desc_act",
    config: { quant_method: "gptq", bits: 4, group_size: 128, desc_act: true },
    change: innerMoved,
    pack: (m) => packGptq(m),
  },
  {
    name: "AWQ, groups of 32",
    config: { quant_method: "awq", bits: 4, group_size: 32, version: "gemm", zero_point: true },
    change: each((m) => split(m, 4)),
    pack: packAwq,
  },
  {
    name: "compressed-tensors",
    config: COMPRESSED({ group_size: 128, symmetric: true }),
    pack: (m) => packCompressed(m, {}),
  },
  {
    name: "compressed-tensors with zero points and groups in any order",
    config: COMPRESSED({ group_size: 128, symmetric: false, actorder: "group" }),
    change: innerMoved,
    pack: (m) => packCompressed(m, { zeros: true, index: true }),
  },
];

describe("a Mixtral of 4 bits", () => {
  it.skipIf(gptq.skip).each(VARIANTS)(
    titled("$name: logits and greedy tokens", gptq.skip),
    async ({ config, change, pack }) => {
      const { matrices, others } = await contentOf(gptq.path);
      const tensors = { ...others };
      for (const [base, matrix] of change?.(matrices) ?? matrices)
        for (const [part, tensor] of Object.entries(pack(matrix))) tensors[`${base}.${part}`] = tensor;
      const folder = mkdtempSync(join(tmpdir(), "hotset-quantized-"));
      onTestFinished(() => rmSync(folder, { recursive: true }));
      writeFileSync(join(folder, "model.safetensors"), tensorFile(tensors));
      const model = JSON.parse(readFileSync(`${gptq.path}/config.json`, "utf8")) as object;
      writeFileSync(join(folder, "config.json"), JSON.stringify({ ...model, quantization_config: config }));

      const expected = await readExpected(gptq.path);
      const ops = await cpuOps({ maxTokens: 64, activations: "f32" });
      const loaded = await loadFolder(folder, ops, "f32", "f32");
      try {
        for (const [n, { prompt_ids, greedy_ids }] of casesOf(gptq.path).slice(0, 2).entries()) {
          const { logits } = await loaded.run(prompt_ids);
          const want = await expected.floats(`p${n}.logits_f32`);
          expect(worst(logits.subarray(-want.length), want), `prompt ${n}`).toBeLessThan(2e-4);
          expect(await loaded.greedy(greedy_ids.length), `prompt ${n}`).toEqual(greedy_ids);
        }
      } finally {
        loaded.close();
      }
    },
  );

  const exact = { backend: "cpu", threads: 2, kv: "f32", activations: "f32", chunk: 32, context: 256 } as const;

  /** What the folder's model writes after each of the AWQ folder's prompts. */
  async function greedyOf(
    folder: string,
    options: OpenOptions,
  ): Promise<{ ids: number[][]; slots: number | undefined }> {
    const model = await open(folder, { ...exact, ...options });
    try {
      const ids: number[][] = [];
      for (const { prompt_ids, greedy_ids } of casesOf(awq.path)) {
        const session = model.session();
        const own: number[] = [];
        const settings = { maxTokens: greedy_ids.length, temperature: 0, ignoreEos: true };
        for await (const piece of session.generate(prompt_ids, settings)) own.push(...piece.ids);
        session.close();
        ids.push(own);
      }
      return { ids, slots: model.stats().experts?.main.slots };
    } finally {
      await model.close();
    }
  }

  const wanted = () => casesOf(awq.path).map(({ greedy_ids }) => greedy_ids);

  it.skipIf(awq.skip)(titled("the same tokens with experts in slots, and as f32", awq.skip), async () => {
    expect(await greedyOf(awq.path, { expertSlots: 2 })).toEqual({ ids: wanted(), slots: 2 });
    expect(await greedyOf(awq.path, { weights: "f32" })).toEqual({ ids: wanted(), slots: undefined });
  });

  it.skipIf(awq.skip)(titled("is packed by hotset quantize as it is", awq.skip), async () => {
    const folder = join(temporary(), "packed");
    expect(await quantize(awq.path, folder, { threads: 1 })).toMatchObject({ weights: "q4_g128 (with f16)" });
    expect(await greedyOf(folder, {})).toEqual({ ids: wanted(), slots: undefined });
    expect(await greedyOf(folder, { expertSlots: 2 })).toEqual({ ids: wanted(), slots: 2 });
  });

  it.skipIf(awq.skip)(titled("is reported by hotset inspect", awq.skip), async () => {
    const report = async (name: string) => {
      const found = await inspect(inShared(`fixtures/families/${name}`).path);
      if (found.kind !== "folder") throw new Error(found.kind);
      const { quantized, problem, architecture, dtypes } = found;
      const parameters = architecture?.parameters.total;
      return { quantized, problem, parameters, memory: architecture?.memory, dtypes: dtypes.map(({ dtype }) => dtype) };
    };
    const four = {
      problem: null,
      parameters: 730_496,
      memory: { "q4_g128 (with f16)": 710_144 },
      dtypes: ["I32", "F16"],
    };
    expect(await report("mixtral-awq")).toEqual({ ...four, quantized: "AWQ, 4 bits, groups of 128" });
    expect(await report("mixtral-gptq")).toEqual({ ...four, quantized: "GPTQ, 4 bits, groups of 128" });
    expect(await report("qwen3_moe-fp8")).toMatchObject({
      quantized: "FP8 (e4m3), a scale a block of 128 x 128",
      memory: { "f8 (with bf16)": expect.any(Number) },
      dtypes: ["F8_E4M3", "BF16"],
    });
  });
});
