// What a decoded token costs on WebGPU in every family, counted on a device that computes nothing:
// dispatches of each layer, near and far, in every format and arithmetic; submits; what is created
// after the warm-up.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openWeights } from "../../bench/weights.ts";
import { FORMATS, type FormatName } from "../../kernels/formats/index.ts";
import type { Batch, KvStore } from "../../src/backend/ops.ts";
import { ARITHMETICS, type Arithmetic } from "../../src/backend/webgpu/dispatch/shader.ts";
import { usualForms } from "../../src/backend/webgpu/tuning/rows.ts";
import { createWebGpuOps, type WebGpuOps } from "../../src/backend/webgpu/webgpu.ts";
import { createSampler } from "../../src/engine/sampler.ts";
import { warmUp } from "../../src/engine/warm_up.ts";
import { type Decoder, forward, loadDecoder } from "../../src/model/decoder.ts";
import { kvGeometry, routingOf } from "../../src/model/family.ts";
import type { FormatPlan } from "../../src/model/formats.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";
import { some } from "../support/some.ts";

const [BLOCK, POSITIONS, CHUNK, TOKENS] = [32, 512, 8, 6];

/** q, k and v in formats of their own, all else in that of q. */
const mixed =
  (q: FormatName, k: FormatName, v: FormatName): FormatPlan =>
  (_, role) =>
    FORMATS[role === "k" ? k : role === "v" ? v : q];

interface Case {
  readonly family: string;
  readonly path: string;
  readonly skip: string | null;
  /** Dispatches of a layer near the start of a text; one more far from it. */
  readonly most: number;
}

const shared = (family: string, most: number): Case => ({ family, most, ...inShared(`fixtures/families/${family}`) });
const CASES: readonly Case[] = [
  { family: "mixtral", path: inRepo("test/fixtures/mixtral/f32-all-experts"), skip: null, most: 6 },
  { family: "qwen3_moe with biases", path: inRepo("test/fixtures/qwen3_moe-biased"), skip: null, most: 6 },
  ...["qwen3_moe-a", "olmoe-a", "granitemoe-a", "minimax_m2-a", "gpt_oss-a", "mixtral-yarn-a"].map((f) => shared(f, 6)),
  // norms with a bias, which no kernel takes along
  shared("phimoe-a", 8),
  // shared experts, with a gate or without
  ...["qwen2_moe-a", "glm4_moe-a", "ernie4_5_moe-a"].map((f) => shared(f, 8)),
];

const WAYS: readonly (readonly [name: string, plan: FormatPlan])[] = [
  ...(["f32", "q8"] as const).map((name) => [name, mixed(name, name, name)] as const),
  ["q4, and v in q8", mixed("q4", "q4", "q8")],
  ["q4, k in q8 and v in f16", mixed("q4", "q8", "f16")],
];

const KINDS = WAYS.flatMap(([way, plan]) => ARITHMETICS.map((arithmetic) => ({ way, plan, arithmetic })));

describe("dispatches of a decoded token", () => {
  let gpu: GPU;
  beforeAll(async () => {
    const { create } = await import("webgpu");
    gpu = create(["backend=null", "enable-dawn-features=allow_unsafe_apis"]);
  });
  afterAll(() => expect(gpu).toBeDefined()); // referenced to the end: see node_gpu.ts

  describe.each(CASES)("$family", ({ path, skip, most }) => {
    it.skipIf(skip).each(some(KINDS, 2))(
      titled("weights in $way, products in $arithmetic", skip),
      async ({ plan, arithmetic }) => {
        const { ops, model, kv, close } = await opened(gpu, path, plan, arithmetic);
        const { layers } = model;
        const count = async (own: Decoder, position: number): Promise<number> => {
          const before = ops.counters();
          await decode(ops, own, kv, position, 1);
          expect(ops.counters().submits - before.submits).toBe(1);
          return ops.counters().dispatches - before.dispatches;
        };
        const none = (await count({ ...model, layers: [] }, 0)) + 1; // with the rows of the output
        for (const layer of layers) {
          const own = { ...model, layers: [layer] };
          expect((await count(own, 126)) - none).toBeLessThanOrEqual(most);
          expect((await count(own, 127)) - none).toBeLessThanOrEqual(most + 1);
        }
        const { perToken, count: E } = routingOf(model.architecture);
        const sizes = ops.tuning.stepSizes(CHUNK, perToken, E);
        await warmUp(ops, forward.bind(null, ops, model, kv), model.architecture.vocab, BLOCK, POSITIONS, sizes);
        await decode(ops, model, kv, 0, TOKENS); // as many in flight, each with its place to read from
        for (const position of [0, 125, POSITIONS - TOKENS]) {
          const before = ops.counters();
          await decode(ops, model, kv, position, TOKENS);
          const after = ops.counters();
          const each = (name: keyof typeof after) => (after[name] - before[name]) / TOKENS;
          expect(each("submits")).toBe(1);
          for (const made of ["buffersCreated", "bindGroupsCreated", "pipelinesCreated"] as const)
            expect([position, made, each(made)]).toEqual([position, made, 0]);
        }
        await close();
      },
    );
  });
});

async function opened(gpu: GPU, path: string, plan: FormatPlan, arithmetic: Arithmetic) {
  const { architecture, sources, close } = await openWeights(path);
  const ops = await createWebGpuOps(gpu, {
    maxTokens: CHUNK,
    arithmetics: arithmetic === "f32" ? ["f32"] : [arithmetic, "f32"],
    forms: usualForms(false),
  });
  const model = await loadDecoder(ops, architecture, sources, { plan });
  await close();
  const kv = ops.createKv(kvGeometry(architecture), "f16", BLOCK, POSITIONS);
  await kv.reserve(POSITIONS / BLOCK);
  await kv.panes?.reserve(kv.blocks); // for every block
  for (let i = 0; i < kv.blocks; i++) kv.panes?.assign(i, i);
  return {
    ops,
    model,
    kv,
    async close() {
      kv.close();
      ops.close();
    },
  };
}

/** Tokens from a position on that follow each other without waiting. */
async function decode(ops: WebGpuOps, model: Decoder, kv: KvStore, position: number, tokens: number): Promise<void> {
  const { vocab } = model.architecture;
  const chooser = ops.choosing.create(createSampler({ temperature: 0, seed: 1 }, vocab, []).chooser())!;
  const first: Batch = {
    tokens: Uint32Array.of(1),
    positions: Uint32Array.of(position),
    sequence: Uint32Array.of(0),
    tables: [Uint32Array.from({ length: POSITIONS / BLOCK }, (_, i) => i)],
    outputs: Uint32Array.of(0),
    choosers: [chooser],
  };
  const ids: Promise<unknown>[] = [];
  for (let i = 0; i < tokens; i++)
    ids.push(ops.choosing.choose(await forward(ops, model, kv, i === 0 ? first : "next")));
  await Promise.all(ids);
  chooser.close();
}
