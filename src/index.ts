// hotset's public API in Node: open() a folder of weights, generate from a session.

import { readdirSync } from "node:fs";
import { cpus, totalmem } from "node:os";
import { resolve } from "node:path";
import type { PackableName } from "../kernels/formats/index.ts";
import { defaultBudget, groupLimits } from "./backend/cpu/node_limits.ts";
import { startNodeWorker, usableCores } from "./backend/cpu/node_threads.ts";
import { enableWasmFeatures } from "./backend/cpu/node_wasm.ts";
import { openNodeGpu } from "./backend/webgpu/device/node_gpu.ts";
import { fileStore } from "./backend/webgpu/tuning/node_store.ts";
import { createWebGpuOps, type WebGpuOps } from "./backend/webgpu/webgpu.ts";
import { openChat } from "./chat/conventions.ts";
import type { OpenOptions } from "./engine/api.ts";
import type { Model } from "./engine/model.ts";
import { DeviceError, RequestError } from "./errors.ts";
import { fileSpill } from "./experts/node_spill.ts";
import { startNodeGrammarWorker } from "./grammar/node_grammar_threads.ts";
import { placeOf } from "./hub/node_place.ts";
import { TOKENIZER_PLACES, tokenizerFiles } from "./tokenizer/files.ts";
import { openTokenizer, type Tokenizer } from "./tokenizer/tokenizer.ts";
import { nodeFolderOrFile } from "./weights/node_files.ts";
import { isSynthetic } from "./weights/synthetic.ts";
import { checkOptions } from "./wiring/check_options.ts";
import {
  measureKernels as chosen,
  type ExpertRates,
  type KernelChoices,
  measureExperts as measure,
} from "./wiring/measure.ts";
import { cacheDirectory } from "./wiring/node_cache.ts";
import { startNodeEngine } from "./wiring/node_engine_threads.ts";
import type { Platform } from "./wiring/open.ts";
import { openWithDraft } from "./wiring/open_with_draft.ts";
import { type SharedBudget, shareBudget as share } from "./wiring/shared_budget.ts";
import { openWith } from "./worker/remote.ts";
import type { WorkerModel } from "./worker/types.ts";

export type { PackableName as Precision } from "../kernels/formats/index.ts";
export type * from "./engine/api.ts";
export type * from "./engine/chat_api.ts";
export { ExpertsFeed, type ExpertsFrame, type ExpertsHead } from "./engine/experts_feed.ts";
export type { Model, RouteListener, ServingOptions, WatchedStep } from "./engine/model_api.ts";
export type { ModelFacts, ModelView } from "./engine/model_view.ts";
export {
  type ChatInput,
  jsonFormat,
  type Schema,
  type SchemaTool,
  type ToolOptions,
  type TypedFormat,
  type TypedTool,
  tool,
} from "./engine/schemas.ts";
export {
  DeviceError,
  HotsetError,
  HubError,
  MemoryError,
  type Overflow,
  RequestError,
  type RequestErrorDetail,
  WeightsError,
} from "./errors.ts";
export type { ExpertStats, LayerStats, TierStats } from "./experts/stats.ts";
export { type TraceHeader, traceHeader, traceLine } from "./experts/trace.ts";
export type { Constraint, Grammar, Grammars, JoinedSchema, SchemaPart, Written } from "./grammar/types.ts";
export type { CachedModel, Removal } from "./hub/models.ts";
export { cachedModels, prepareRemoval } from "./hub/node_models.ts";
export { isModelName, placeOf } from "./hub/node_place.ts";
export { pull, pulledPath } from "./hub/node_pull.ts";
export type { Pulled, PullOptions, PullPlan } from "./hub/pull.ts";
export type { ModelConfig } from "./model/config.ts";
export type { Architecture } from "./model/family.ts";
export type { DecodeOptions, EncodeOptions, StreamOptions, Tokenizer, TokenStream } from "./tokenizer/tokenizer.ts";
export { type FoundModel, modelsIn } from "./weights/node_models_dir.ts";
export type { ExpertRates, KernelChoices } from "./wiring/measure.ts";
export {
  MIXES,
  type MixName,
  type Quantized,
  type QuantizeOptions,
  quantize,
  verifyQuantized,
} from "./wiring/node_quantize.ts";
export type { ModelNeed, SharedBudget } from "./wiring/shared_budget.ts";
export type { ExpertsAtWork } from "./worker/experts.ts";
export type { WorkerModel } from "./worker/types.ts";

/**
 * Device files that the kernel makes for GPUs: DRM, NVIDIA, AMD compute, WSL, Mali, Adreno, Tegra.
 */
const GPU_DEVICES = /^(dri|nvidia|kfd$|dxg$|mali|kgsl|nvhost|nvgpu)/;

/**
 * On Linux a GPU shows as a device file, so that a machine without one need not load Vulkan, which
 * takes 50 ms and complains on stderr.
 */
function mayHaveGpu(): boolean {
  if (process.platform !== "linux") return true;
  try {
    return readdirSync("/dev").some((name) => GPU_DEVICES.test(name));
  } catch {
    return true; // unknown
  }
}

/** Without a cache directory measurements are repeated in each run. */
const NOTHING_KEPT: Platform["tuning"] = { read: async () => null, write: async () => {} };

/** The default budget of RAM: a part of the machine's memory, or of the process's limit. */
function defaultRam(): number {
  const own = process.constrainedMemory?.() ?? 0; // 0: no limit
  const groups = process.platform === "linux" ? groupLimits().memory : null;
  const limit = Math.min(own > 0 ? own : Number.POSITIVE_INFINITY, groups ?? Number.POSITIVE_INFINITY);
  return defaultBudget(totalmem(), limit, usableCores());
}

function platform(): Platform {
  enableWasmFeatures();
  const cache = cacheDirectory();
  return {
    files: nodeFolderOrFile,
    tokenizer: (where) => nodeFolderOrFile(where, TOKENIZER_PLACES),
    gpu: openNodeGpu,
    mayHaveGpu: mayHaveGpu(),
    ram: defaultRam(),
    cpuName: cpus()[0]?.model.trim() ?? "CPU",
    cores: usableCores(),
    startWorker: startNodeWorker,
    startGrammarWorker: startNodeGrammarWorker,
    tuning: cache === null ? NOTHING_KEPT : fileStore(cache),
    chat: openChat,
    spill: () => (cache === null ? null : fileSpill(cache)),
    identity: (where) => (isSynthetic(where) ? where : resolve(where)),
  };
}

/**
 * Opens a model.
 * @param folder a folder of weights as published on the model hub, a GGUF file (of a split model
 * any part), the name of a model that pull() has downloaded, or `synthetic:NAME?layers=2&seed=1`
 * @throws WeightsError for faults of the folder, MemoryError for a budget that is too small,
 * DeviceError for an unavailable GPU, RequestError for a bad option
 */
export async function open(folder: string, options: OpenOptions = {}): Promise<Model> {
  checkFolder("open", folder);
  checkOptions(options);
  const { tokenizer, draft } = options;
  const places = {
    ...options,
    ...(tokenizer !== undefined && { tokenizer: await placeOf(tokenizer) }),
    ...(draft !== undefined && { draft: await placeOf(draft) }),
  };
  return openWithDraft(await placeOf(folder), places, platform());
}

/**
 * Opens a model in a thread of its own, so that this one never computes: its event loop stays free.
 * @throws as open(); HotsetError where the thread ends
 */
export async function openInWorker(folder: string, options: OpenOptions = {}): Promise<WorkerModel> {
  checkFolder("openInWorker", folder);
  return openWith(startNodeEngine(), folder, options, { base: "", store: NOTHING_KEPT });
}

/**
 * A memory budget that several models share: `ram` and `gpuMemory` of the options, or their
 * defaults. Tells what each model takes of it; keeping within it is the caller's part.
 * @throws RequestError for a bad option, DeviceError for an unavailable GPU
 */
export async function shareBudget(options: OpenOptions = {}): Promise<SharedBudget> {
  const budget = await share(options, platform());
  return { ...budget, measure: async (where) => budget.measure(await placeOf(where)) };
}

/**
 * The tokenizer of a folder, a GGUF file, a tokenizer.json or tokenizer.model; no weights are read.
 * @throws WeightsError; RequestError for a synthetic model
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  checkFolder("loadTokenizer", folder);
  if (isSynthetic(folder)) throw new RequestError(`${folder} has no tokenizer: it takes token ids only`);
  const files = await tokenizerFiles(await nodeFolderOrFile(await placeOf(folder), TOKENIZER_PLACES));
  try {
    return await openTokenizer(files);
  } finally {
    await files.close();
  }
}

/**
 * Measures the times to compute and to move one expert, on which offloading decisions rest. Takes a
 * second or two.
 * @param adapter part of the name of a WebGPU adapter, as `hotset devices` prints it; absent: only
 * the CPU
 * @throws DeviceError, MemoryError
 */
export async function measureExperts(adapter?: string): Promise<ExpertRates> {
  const { cores, startWorker } = platform();
  const cpu = { threads: cores, startWorker };
  return adapter === undefined ? measure(cpu, null) : onAdapter(adapter, 1, (ops) => measure(cpu, ops));
}

/**
 * Finds out which variants of kernels are fastest on an adapter, whatever was found before. Takes
 * up to half a minute.
 * @param adapter part of the name of a WebGPU adapter, as `hotset devices` prints it
 * @param weights the format of the matrices that are timed
 * @throws DeviceError, MemoryError
 */
export async function measureKernels(adapter: string, weights: PackableName = "q4"): Promise<KernelChoices> {
  return onAdapter(adapter, 512, (ops) => chosen(ops, weights));
}

/** @param maxTokens of a step @throws DeviceError if no adapter has the name */
async function onAdapter<T>(adapter: string, maxTokens: number, work: (ops: WebGpuOps) => Promise<T>): Promise<T> {
  const gpu = await openNodeGpu(adapter);
  if (!gpu) throw new DeviceError(`no WebGPU adapter has a name that contains "${adapter}"`);
  try {
    const ops = await createWebGpuOps(gpu.gpu, { maxTokens });
    try {
      return await work(ops);
    } finally {
      ops.close();
    }
  } finally {
    await gpu.release();
  }
}

/** Callers in plain JavaScript, and an unset variable in a shell. */
function checkFolder(call: string, folder: unknown): void {
  if (typeof folder === "string" && folder !== "") return;
  const found = folder === "" ? "an empty text" : typeof folder;
  throw new RequestError(`${call}: expected the path of a weights folder, found ${found}`);
}
