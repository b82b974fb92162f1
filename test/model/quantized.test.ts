// One Mixtral in every published way to hold its 4-bit matrices, against the logits that
// transformers computed of the GPTQ folder: the same levels, zero points and scales, packed anew.
// Groups in any order are made by moving the rows of w1 and w3, and the inputs of w2 with them.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { inspect } from "../../src/cli/inspect.ts";
import { type OpenOptions, open, quantize } from "../../src/index.ts";
import type { StoredTensor } from "../../src/tensor/types.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { cpuOps } from "../support/cpu.ts";
import { readExpected, worst } from "../support/expected.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { loadFolder } from "../support/model.ts";
import { type Affine, packAwq, packCompressed, packGptq } from "../support/pack_words.ts";
import { generator } from "../support/random.ts";
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

/** Name of a matrix -> what it holds; and the tensors of others. */
interface Content {
  readonly matrices: Map<string, Affine>;
  readonly others: Record<string, TensorSpec>;
}

/** A GPTQ folder, version 1, taken apart weight by weight. */
async function contentOf(path: string): Promise<Content> {
  const folder = await openFolder(await nodeFiles(path));
  const { source, headers } = folder;
  const read = async ({ bytes, read }: StoredTensor) => {
    const data = new Uint8Array(bytes);
    await read(0, data);
    return data.buffer;
  };
  const content: Content = { matrices: new Map(), others: {} };
  for (const name of headers.flatMap(({ tensors }) => [...tensors.keys()])) {
    if (/\.(qzeros|scales|g_idx)$/.test(name)) continue;
    const tensor = source.stored!(name);
    const base = name.replace(/\.qweight$/, "");
    if (base === name) {
      const { dtype, shape } = tensor;
      content.others[name] = { dtype, shape, data: new Uint8Array(await read(tensor)) };
      continue;
    }
    const [rows, cols] = [tensor.shape[1]!, tensor.shape[0]! * 8];
    const [words, points, scales, group] = await Promise.all(
      [tensor, ...["qzeros", "scales", "g_idx"].map((part) => source.stored!(`${base}.${part}`))].map(read),
    );
    const [q, z, s] = [new Uint32Array(words!), new Uint32Array(points!), new Uint16Array(scales!)];
    const groups = s.length / rows;
    content.matrices.set(base, {
      rows,
      cols,
      groups,
      q: Uint8Array.from({ length: rows * cols }, (_, i) => {
        const [r, c] = [Math.floor(i / cols), i % cols];
        return (q[(c >> 3) * rows + r]! >>> (4 * (c % 8))) & 15;
      }),
      z: Uint8Array.from({ length: rows * groups }, (_, i) => {
        const [r, g] = [Math.floor(i / groups), i % groups];
        return ((z[(g * rows + r) >> 3]! >>> (4 * (r % 8))) & 15) + 1;
      }),
      s: Uint16Array.from({ length: rows * groups }, (_, i) => s[(i % groups) * rows + Math.floor(i / groups)]!),
      group: new Int32Array(group!),
    });
  }
  await folder.close();
  return content;
}

/** Every group as `parts` groups. */
function split(m: Affine, parts: number): Affine {
  const many = { length: m.z.length * parts };
  const of = (i: number) => Math.floor(i / parts);
  const groups = m.groups * parts;
  return {
    ...m,
    groups,
    z: Uint8Array.from(many, (_, i) => m.z[of(i)]!),
    s: Uint16Array.from(many, (_, i) => m.s[of(i)]!),
    group: m.group.map((_, i) => Math.floor((i * groups) / m.cols)),
  };
}

function rowsMoved(m: Affine, order: readonly number[]): Affine {
  const move = <T extends Uint8Array | Uint16Array>(from: T, width: number): T => {
    const to = from.slice() as T;
    for (const [r, old] of order.entries()) to.set(from.subarray(old * width, (old + 1) * width), r * width);
    return to;
  };
  return { ...m, q: move(m.q, m.cols), z: move(m.z, m.groups), s: move(m.s, m.groups) };
}

function columnsMoved(m: Affine, order: readonly number[]): Affine {
  const q = m.q.map((_, i) => m.q[Math.floor(i / m.cols) * m.cols + order[i % m.cols]!]!);
  return { ...m, q, group: Int32Array.from(order, (old) => m.group[old]!) };
}

/** The same model with the inner values of its experts in another order. */
function anyOrder(matrices: ReadonlyMap<string, Affine>): Map<string, Affine> {
  const next = generator(7);
  const moved = new Map(matrices);
  for (const [name, w2] of matrices) {
    if (!name.endsWith(".w2")) continue;
    const order = Array.from({ length: w2.cols }, (_, i) => i);
    for (let i = order.length - 1; i > 0; i--) {
      const j = Math.floor(next() * (i + 1));
      [order[i], order[j]] = [order[j]!, order[i]!];
    }
    moved.set(name, columnsMoved(w2, order));
    for (const up of ["w1", "w3"]) {
      const base = name.replace(/w2$/, up);
      moved.set(base, rowsMoved(matrices.get(base)!, order));
    }
  }
  return moved;
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
    change: anyOrder,
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
    change: anyOrder,
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
