// What decoding costs on WebGPU, counted: dispatches, submits, creations, bytes read back and bytes
// of weights a token.

import { describe, expect, it } from "vitest";
import { openSteps } from "../../bench/node_steps.ts";
import { openWeights } from "../../bench/weights.ts";
import { FORMATS, type FormatName, type PackableName } from "../../kernels/formats/index.ts";
import type { Batch, Matrix, Ops } from "../../src/backend/ops.ts";
import { createSampler } from "../../src/engine/sampler.ts";
import { type Decoder, type DecoderLayer, forward } from "../../src/model/decoder.ts";
import { kvGeometry } from "../../src/model/family.ts";
import { concatRows } from "../../src/model/sources.ts";
import { adapters, NO_ADAPTER, noAdapter, usualAdapters } from "../support/adapters.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { memorySource } from "../support/memory_source.ts";
import { some } from "../support/some.ts";

const BLOCK = 32;
const TOKENS = 12;

type Turn = "normed" | "half rotated";
type Three = readonly [q: FormatName, k: FormatName, v: FormatName];

/** The model with q, k and v of each layer in formats of their own. */
async function inThree(ops: Ops, model: Decoder, where: string, formats: Three): Promise<Decoder> {
  const { sources, close } = await openWeights(where);
  const layers: DecoderLayer[] = [];
  for (const [i, layer] of model.layers.entries()) {
    const whole = concatRows(`qkv ${i}`, sources.layers[i]!.qkv);
    const { heads, kvHeads, headDim } = layer.attention!;
    const qkv: Matrix[] = [];
    let above = 0;
    for (const [part, count] of [heads, kvHeads, kvHeads].entries()) {
      const [start, rows] = [above, count * headDim];
      const readRows: typeof whole.readRows = (first, n, into) => whole.readRows(start + first, n, into);
      const source = { name: `part ${part} of ${whole.name}`, rows, cols: whole.cols, readRows };
      qkv.push(await ops.loadMatrix(source, FORMATS[formats[part]!]));
      above += rows;
    }
    layers.push({ ...layer, qkv });
  }
  await close();
  return { ...model, layers };
}

/** The model with q and k normed head by head, or half of a head rotated. */
async function turnedBy(ops: Ops, model: Decoder, turn: Turn): Promise<Decoder> {
  const ones = (size: number) =>
    ops.loadVector(
      memorySource(
        "ones",
        Float32Array.from({ length: size }, () => 1),
        1,
        size,
      ),
    );
  const layers: DecoderLayer[] = [];
  for (const layer of model.layers) {
    const { headDim, rope } = layer.attention!;
    const attention =
      turn === "half rotated"
        ? { rope: { ...rope, inverse: rope.inverse.slice(0, headDim / 4) } }
        : { qkNorm: { q: await ones(headDim), k: await ones(headDim), eps: 1e-5 } };
    layers.push({ ...layer, attention: { ...layer.attention!, ...attention } });
  }
  return { ...model, layers };
}

const bytesOf = (matrices: readonly Matrix[]) => matrices.reduce((sum, { bytes }) => sum + bytes, 0);

describe.skipIf(noAdapter)(`webgpu decode${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (adapters.length === 0) it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));

  describe.each(usualAdapters().map(({ name }) => name))("%s", (adapter) => {
    /** `file`: of the shared fixtures, whose matrices stay in formats of their own. */
    interface Case {
      readonly weights: PackableName;
      readonly temperature: number;
      readonly tune: boolean;
      readonly qkv?: Three;
      readonly file?: string;
      readonly turn?: Turn;
    }
    const cases: readonly Case[] = [
      { weights: "f32", temperature: 0, tune: false },
      { weights: "q4", temperature: 0, tune: true },
      { weights: "q8", temperature: 0.8, tune: false },
      { weights: "q4", temperature: 0, tune: false, qkv: ["q4", "q8", "f16"] },
      { weights: "q4", temperature: 0, tune: false, turn: "normed" },
      { weights: "q4", temperature: 0, tune: false, turn: "half rotated" },
      { weights: "f32", temperature: 0, tune: false, file: "gguf/k2-Q4_K_M.gguf" },
      { weights: "f32", temperature: 0, tune: false, file: "families/gpt_oss-a" },
      { weights: "f32", temperature: 0, tune: false, file: "families/phimoe-a" },
      { weights: "f32", temperature: 0, tune: true, file: "gguf/tales-Q4_K_M.gguf" },
    ];
    for (const { weights, temperature, tune, qkv, file, turn } of cases) {
      const there = file === undefined ? null : inShared(`fixtures/${file}`);
      const left = there?.skip ?? (weights === "q4" && tune ? null : leftToCi);
      const what =
        file ?? `models/tales in ${weights}${qkv ? `, ${qkv} for q, k and v,` : ""}${turn ? `, ${turn},` : ""}`;
      it.skipIf(left)(titled(`${what} at temperature ${temperature}, tuned ${tune}`, left), async () => {
        const where = there?.path ?? inRepo("models/tales");
        const steps = await openSteps(where, { weights, kv: "f16", chunk: 8, adapter });
        const { ops, architecture } = steps;
        const own = qkv ? await inThree(ops, steps.model, where, qkv) : steps.model;
        const model = turn ? await turnedBy(ops, own, turn) : own;
        try {
          if (tune) await ops.tune(null);
          const kv = ops.createKv(kvGeometry(architecture), "f16", BLOCK, 256);
          await kv.reserve(5);
          const chooser = ops.choosing!.create(
            createSampler({ temperature, topK: 40, seed: 1 }, architecture.vocab, []).chooser(),
          )!;
          const first: Batch = {
            tokens: Uint32Array.of(1),
            positions: Uint32Array.of(0),
            sequence: Uint32Array.of(0),
            tables: [Uint32Array.from([0, 1, 2, 3, 4])],
            outputs: Uint32Array.of(0),
            choosers: [chooser],
          };
          /** Tokens that follow each other without waiting. */
          const decode = async (batch: Batch, count: number): Promise<number[]> => {
            const ids: Promise<Uint32Array>[] = [];
            for (let i = 0; i < count; i++) {
              const logits = await forward(ops, model, kv, i === 0 ? batch : "next");
              ids.push(ops.choosing!.choose(logits));
            }
            return (await Promise.all(ids)).map((row) => row[0]!);
          };
          await decode(first, TOKENS); // as many in flight, each with its place to read from
          const far: Batch = { ...first, positions: Uint32Array.of(128) };
          // Beside the layers: the embedding, the rows of the output, the head, and what chooses
          // the token. In a layer: q, k and v, of whatever formats, attention, o, the router, and
          // two for the experts; from 128 positions on perhaps the sum of splits. LayerNorms have
          // dispatches of their own.
          const norms = architecture.layerNorms ? 2 : 0;
          const beside = 3 + norms / 2 + (temperature === 0 ? 2 : 4);
          const perLayer = (tokens: number, dispatches: number): number =>
            (dispatches / tokens - beside) / architecture.layers.length;
          const start = ops.counters().dispatches;
          await decode(far, 2);
          expect(perLayer(2, ops.counters().dispatches - start)).toBeLessThanOrEqual(7 + norms);
          const before = ops.counters();
          const ids = await decode(first, TOKENS);
          const after = ops.counters();
          const each = (name: keyof typeof after) => (after[name] - before[name]) / TOKENS;

          expect(ids.every((id) => id < architecture.vocab)).toBe(true);
          expect(perLayer(TOKENS, after.dispatches - before.dispatches)).toBeLessThanOrEqual(6 + norms);
          expect(each("submits")).toBe(1);
          expect(each("bytesRead")).toBeLessThanOrEqual(64);
          for (const made of ["buffersCreated", "bindGroupsCreated", "pipelinesCreated"] as const)
            expect(each(made)).toBe(0);
          // Each active weight once: all matrices, but of the embedding a row and of the experts
          // those of a token.
          const { perToken, count } = architecture.layers[0]!.experts!;
          const share = perToken / count;
          const least =
            model.head.bytes +
            model.embed.bytes / architecture.vocab +
            model.layers.reduce(
              (sum, l) => sum + bytesOf([...l.qkv, l.wo, l.router!.gate]) + l.experts!.bytes * share,
              0,
            );
          expect(each("weightBytes")).toBeGreaterThanOrEqual(least * 0.999);
          expect(each("weightBytes")).toBeLessThanOrEqual(least * 1.05);
          kv.close();
        } finally {
          await steps.close();
        }
      });
    }

    it.each(some(["qwen3_next", "lfm2_moe"], 1))(
      "%s, whose layers have states: a submit a token, ahead",
      async (name) => {
        const folder = inRepo(`test/fixtures/hybrids/${name}`);
        const steps = await openSteps(folder, { weights: "q4", kv: "f16", chunk: 8, adapter });
        const { ops, architecture, model } = steps;
        const kv = ops.createKv(kvGeometry(architecture), "f16", BLOCK);
        await kv.reserve(2);
        await kv.states!.reserve(2);
        const chooser = ops.choosing!.create(createSampler({ temperature: 0 }, architecture.vocab, []).chooser())!;
        /** Greedy tokens of slot 1, one after the other or all in flight. */
        const decode = async (ahead: boolean): Promise<number[]> => {
          const ids: number[] = [];
          const waiting: Promise<Uint32Array>[] = [];
          for (let position = 0, token = 1; position <= TOKENS; position++, token = ids.at(-1)!) {
            const batch: Batch = {
              tokens: Uint32Array.of(token),
              positions: Uint32Array.of(position),
              sequence: Uint32Array.of(0),
              tables: [Uint32Array.of(1)],
              states: Uint32Array.of(1),
              outputs: Uint32Array.of(0),
              choosers: [chooser],
            };
            const chosen = ops.choosing!.choose(await forward(ops, model, kv, ahead && position > 1 ? "next" : batch));
            if (!ahead || position === 0) ids.push((await chosen)[0]!);
            else waiting.push(chosen);
          }
          return [...ids, ...(await Promise.all(waiting)).map((row) => row[0]!)];
        };
        try {
          const one = await decode(false);
          await decode(true); // places to read from
          const before = ops.counters();
          expect(await decode(true)).toEqual(one);
          const after = ops.counters();
          expect(after.submits - before.submits).toBe(TOKENS + 1);
          for (const made of ["buffersCreated", "bindGroupsCreated", "pipelinesCreated"] as const)
            expect(after[made] - before[made]).toBe(0);
        } finally {
          kv.close();
          await steps.close();
        }
      },
    );
  });
});
