// A folder's model on a given backend with everything a test wants to look at: logits and routes of every position.

import type { Batch, KvStore, Ops } from "../../src/backend/ops.ts";
import { argMax } from "../../src/engine/sampler.ts";
import { forward, loadMixtral, type Mixtral } from "../../src/model/mixtral.ts";
import { type MixtralConfig, parseMixtralConfig } from "../../src/model/mixtral_config.ts";
import type { Precision } from "../../src/tensor/types.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";

const BLOCK = 16;

export interface Loaded {
  readonly config: MixtralConfig;
  /** Logits [T, V] of all positions and the experts [layer][T][K] that they went to, over a fresh KV cache. */
  run(ids: readonly number[]): Promise<{ logits: Float32Array; experts: number[][][] }>;
  /** The `count` tokens that greedy decoding gives after `ids`, one step a token over a cache, no stop. */
  greedy(ids: readonly number[], count: number): Promise<number[]>;
  close(): void;
}

export async function loadFolder(folder: string, ops: Ops, precision: Precision, kv: "f32" | "f16"): Promise<Loaded> {
  const files = await nodeFiles(folder);
  const opened = await openFolder(files);
  const config = parseMixtralConfig(opened.config, folder);
  const model = await loadMixtral(ops, config, opened.source, { precision });
  await opened.close();
  const store = ops.createKv(config.num_hidden_layers, model.attention, kv, BLOCK);
  return {
    config,
    run: (ids) => run(ops, model, store, ids),
    greedy: (ids, count) => greedy(ops, model, store, ids, count),
    close: () => {
      store.close();
      ops.close();
    },
  };
}

function batch(ids: readonly number[], first: number, all: boolean): Batch {
  const T = ids.length;
  return {
    tokens: Uint32Array.from(ids),
    positions: Uint32Array.from({ length: T }, (_, i) => first + i),
    sequence: new Uint32Array(T),
    tables: [Uint32Array.from({ length: Math.ceil((first + T) / BLOCK) }, (_, i) => i)],
    outputs: all ? Uint32Array.from({ length: T }, (_, i) => i) : Uint32Array.of(T - 1),
  };
}

async function run(ops: Ops, model: Mixtral, kv: KvStore, ids: readonly number[]) {
  const { vocab_size: V, num_experts_per_tok: K, num_hidden_layers: L } = model.config;
  const logits = new Float32Array(ids.length * V);
  const experts: number[][][] = Array.from({ length: L }, () => []);
  await kv.reserve(Math.ceil(ids.length / BLOCK));
  for (let at = 0; at < ids.length; at += ops.maxTokens) {
    const step = batch(ids.slice(at, at + ops.maxTokens), at, true);
    const out = await forward(ops, model, kv, step, async (layer, routes) => {
      const found = await ops.read(routes.ids);
      for (let i = 0; i < found.length; i += K) experts[layer]!.push([...found.subarray(i, i + K)]);
    });
    logits.set(await ops.read(out), at * V);
  }
  return { logits, experts };
}

async function greedy(ops: Ops, model: Mixtral, kv: KvStore, ids: readonly number[], count: number) {
  await kv.reserve(Math.ceil((ids.length + count) / BLOCK));
  const out: number[] = [];
  let waiting = [...ids];
  let held = 0;
  while (out.length < count) {
    const chunk = waiting.splice(0, ops.maxTokens);
    const logits = await ops.read(await forward(ops, model, kv, batch(chunk, held, false)));
    held += chunk.length;
    if (waiting.length > 0) continue;
    out.push(argMax(logits));
    waiting = out.slice(-1);
  }
  return out;
}
