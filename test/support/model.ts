// The model of a folder or GGUF file on a given backend, with the logits and routes of every
// position for tests.

import { FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import type { Batch, KvStore, Ops } from "../../src/backend/ops.ts";
import { argMax } from "../../src/engine/sampler.ts";
import { type Decoder, forward, loadDecoder } from "../../src/model/decoder.ts";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import { type Architecture, kvGeometry, routingOf, sparseLayers } from "../../src/model/family.ts";
import { type FormatPlan, keep } from "../../src/model/formats.ts";
import { settleSources } from "../../src/model/input_order.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFolderOrFile } from "../../src/weights/node_files.ts";

const BLOCK = 16;

export interface Loaded {
  readonly architecture: Architecture;
  /**
   * Logits [T, V] of all positions and the experts [layer][T][K] that they went to, over a
   * fresh KV cache.
   */
  run(ids: readonly number[]): Promise<{ logits: Float32Array; experts: number[][][] }>;
  /**
   * The `count` tokens of greedy decoding after the last run(), one step a token over its cache,
   * without stopping.
   */
  greedy(count: number): Promise<number[]>;
  close(): void;
}

export async function loadFolder(
  folder: string,
  ops: Ops,
  precision: PackableName | FormatPlan,
  kv: "f32" | "f16",
): Promise<Loaded> {
  const { files, file } = await nodeFolderOrFile(folder);
  const opened = await openFolder(files, file);
  const architecture = readArchitecture(opened.config, folder);
  const sources = await settleSources(bindSources(architecture, opened.source));
  const model = await loadDecoder(ops, architecture, sources, {
    plan: typeof precision === "string" ? keep(FORMATS[precision]) : precision,
  });
  await opened.close();
  const store = ops.createKv(kvGeometry(architecture), kv, BLOCK);
  await store.states?.reserve(1);
  let last: { ids: readonly number[]; logits: Float32Array } = { ids: [], logits: new Float32Array(0) };
  return {
    architecture,
    async run(ids) {
      const result = await run(ops, model, store, ids);
      last = { ids, logits: result.logits.slice(-architecture.vocab) };
      return result;
    },
    greedy: (count) => greedy(ops, model, store, last.ids.length, last.logits, count),
    close: () => {
      store.close();
      ops.close();
    },
  };
}

/** @param anchor the length of the prompt that the ids are part of; 0: they are decoded */
function batch(ids: readonly number[], first: number, all: boolean, anchor = 0): Batch {
  const T = ids.length;
  return {
    tokens: Uint32Array.from(ids),
    positions: Uint32Array.from({ length: T }, (_, i) => first + i),
    sequence: new Uint32Array(T),
    tables: [Uint32Array.from({ length: Math.ceil((first + T) / BLOCK) }, (_, i) => i)],
    states: Uint32Array.of(0),
    anchors: Uint32Array.of(anchor),
    outputs: all ? Uint32Array.from({ length: T }, (_, i) => i) : Uint32Array.of(T - 1),
  };
}

async function run(ops: Ops, model: Decoder, kv: KvStore, ids: readonly number[]) {
  const { vocab: V } = model.architecture;
  const K = routingOf(model.architecture).perToken;
  const logits = new Float32Array(ids.length * V);
  const experts: number[][][] = Array.from({ length: sparseLayers(model.architecture).length }, () => []);
  await kv.reserve(Math.ceil(ids.length / BLOCK));
  for (let at = 0; at < ids.length; at += ops.maxTokens) {
    const step = batch(ids.slice(at, at + ops.maxTokens), at, true, ids.length);
    const out = await forward(ops, model, kv, step, async (layer, routes) => {
      const found = await ops.read(routes.ids);
      for (let i = 0; i < found.length; i += K) experts[layer]!.push([...found.subarray(i, i + K)]);
    });
    logits.set(await ops.read(out), at * V);
  }
  return { logits, experts };
}

async function greedy(
  ops: Ops,
  model: Decoder,
  kv: KvStore,
  held: number,
  logits: Float32Array,
  count: number,
): Promise<number[]> {
  await kv.reserve(Math.ceil((held + count) / BLOCK));
  const out: number[] = [];
  let next = logits;
  while (out.length < count) {
    out.push(argMax(next));
    if (out.length === count) break;
    const step = batch(out.slice(-1), held + out.length - 1, false);
    next = await ops.read(await forward(ops, model, kv, step));
  }
  return out;
}
