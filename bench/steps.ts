// A model on WebGPU without the engine around it: steps at any position, whether or not what lies before was ever computed.
//
// Times do not depend on what the cache holds, so a step at position 32,768 needs no prompt of that length.

import type { Batch, KvStore } from "../src/backend/ops.ts";
import { openNodeGpu } from "../src/backend/webgpu/node_gpu.ts";
import { createWebGpuOps, type WebGpuOps } from "../src/backend/webgpu/webgpu.ts";
import { DeviceError } from "../src/errors.ts";
import { bindMixtral, forward, loadMixtral, type Mixtral } from "../src/model/mixtral.ts";
import { type MixtralConfig, parseMixtralConfig } from "../src/model/mixtral_config.ts";
import type { Precision } from "../src/tensor/types.ts";
import { openFolder } from "../src/weights/folder.ts";
import { nodeFiles } from "../src/weights/node_files.ts";
import { isSynthetic, parseSynthetic } from "../src/weights/synthetic.ts";

const BLOCK = 32; // positions of a KV block, as open() has it

export interface StepsOptions {
  readonly weights: Precision;
  readonly kv: "f16" | "f32";
  /** Largest batch. */
  readonly chunk: number;
  readonly adapter?: string | undefined;
}

export interface Steps {
  readonly ops: WebGpuOps;
  readonly config: MixtralConfig;
  readonly model: Mixtral;
  readonly loadMs: number;
  /** Makes room for a sequence of so many positions. */
  reserve(positions: number): Promise<void>;
  /** Computes tokens `first .. first + count - 1` of a sequence and reads the last one's logits, or nothing. */
  step(first: number, count: number, logits: boolean): Promise<void>;
  close(): Promise<void>;
}

/** Opens a folder of weights or a synthetic model. @throws DeviceError without an adapter */
export async function openSteps(where: string, { weights, kv, chunk, adapter }: StepsOptions): Promise<Steps> {
  const started = performance.now();
  const input = isSynthetic(where)
    ? { ...parseSynthetic(where), close: async () => {} }
    : await openFolder(await nodeFiles(where));
  const config = parseMixtralConfig(input.config, where);
  const gpu = await openNodeGpu(adapter);
  if (!gpu) throw new DeviceError("no WebGPU adapter was found (package webgpu and a Vulkan driver)");
  const ops = await createWebGpuOps(gpu.gpu, { maxTokens: chunk, onClose: () => void gpu.release() });
  const model = await loadMixtral(ops, config, bindMixtral(config, input.source), { precision: weights });
  await input.close();
  await ops.tune(null); // in every run: what another one found may have been found on a busy machine
  const cache: KvStore = ops.createKv(config.num_hidden_layers, model.attention, kv, BLOCK);
  return {
    ops,
    config,
    model,
    loadMs: performance.now() - started,
    reserve: (positions) => cache.reserve(Math.ceil(positions / BLOCK)),
    async step(first, count, logits) {
      await ops.read(await forward(ops, model, cache, batchOf(first, count, config.vocab_size, logits)));
    },
    async close() {
      cache.close();
      ops.close();
    },
  };
}

function batchOf(first: number, count: number, vocab: number, logits: boolean): Batch {
  const positions = Uint32Array.from({ length: count }, (_, i) => first + i);
  return {
    tokens: positions.map((position) => (Math.imul(position + 1, 2654435761) >>> 0) % vocab),
    positions,
    sequence: new Uint32Array(count),
    tables: [Uint32Array.from({ length: Math.ceil((first + count) / BLOCK) }, (_, i) => i)],
    outputs: logits ? Uint32Array.of(count - 1) : new Uint32Array(0),
  };
}
