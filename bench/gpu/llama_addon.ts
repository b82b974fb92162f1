// llama.cpp through the native module of a @node-llama-cpp package, without
// node-llama-cpp's own JavaScript.
//
// Uses the functions that node-llama-cpp 3.22 declares in dist/bindings/AddonTypes.d.ts, in the
// same order.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

/** Tokens computed at once: llama.cpp's own default of n_ubatch, and our chunk. */
const BATCH = 512;
/** Levels of llama.cpp's log: errors and warnings. */
const WARNING = 3;

interface Addon {
  markLoaded(): boolean;
  setLogger(logger: (level: number, message: string) => void): void;
  setLoggerLogLevel(level: number): void;
  loadBackends(folder?: string): void;
  ensureGpuDeviceIsSupported(): void;
  getGpuType(): string | false | undefined;
  getGpuDeviceInfo(): { readonly deviceNames: readonly string[] };
  systemInfo(): string;
  init(): Promise<void>;
  readonly AddonModel: new (path: string, options: Readonly<Record<string, unknown>>) => AddonModel;
  readonly AddonContext: new (model: AddonModel, options: Readonly<Record<string, unknown>>) => AddonContext;
  readonly AddonSampler: new (model: AddonModel) => AddonSampler;
}

interface AddonModel {
  init(): Promise<boolean>;
  getMemoryBreakdown(): LlamaMemory;
}

interface AddonContext {
  init(): Promise<boolean>;
  getMemoryBreakdown(): LlamaMemory;
  initBatch(size: number): void;
  /** Returns where in the batch's outputs the logits of `logitsOf` (indices into `ids`) will be. */
  addToBatch(sequence: number, position: number, ids: Uint32Array, logitsOf: Uint32Array): Uint32Array;
  decodeBatch(): Promise<void>;
  sampleToken(output: number, sampler: AddonSampler): Promise<number>;
  removeTokenCellsFromSequence(sequence: number, first: number, end: number): boolean;
}

interface AddonSampler {
  applyConfig(options: { readonly temperature: number }): void;
}

/** Bytes that a part of llama.cpp holds. */
export interface LlamaMemory {
  readonly cpuRam: number;
  readonly gpuVram: number;
}

/** The result of a batch. */
export interface Evaluated {
  /** Milliseconds of llama_decode and llama_synchronize alone. */
  readonly evalMs: number;
  /** The most likely id after the last token; null if not requested. */
  readonly next: number | null;
}

/** One sequence of tokens in llama.cpp's cache. */
export interface LlamaSequence {
  /** Tokens that one call of evaluate() takes. */
  readonly batch: number;
  /**
   * Appends tokens at a position. `choose`: take the arg max of the last one's logits, on the CPU
   * as llama.cpp does.
   */
  evaluate(ids: readonly number[], position: number, choose: boolean): Promise<Evaluated>;
  /** Truncates the cache at a position. */
  forget(position: number): void;
}

/** A model in llama.cpp. */
export interface LlamaModel {
  readonly sequence: LlamaSequence;
  readonly loadMs: number;
  readonly memory: { readonly model: LlamaMemory; readonly context: LlamaMemory };
}

export interface LlamaVulkan {
  /** llama.cpp's names of the devices that it uses. */
  readonly devices: readonly string[];
  /** llama.cpp's version, from the package. */
  readonly release: string;
  readonly systemInfo: string;
  /** Warnings and errors that llama.cpp has logged so far. */
  readonly log: readonly string[];
  /** All `layers` and the output on the GPU, flash attention on, a cache in f16 for `positions`. */
  load(gguf: string, layers: number, positions: number): Promise<LlamaModel>;
}

/**
 * Loads llama.cpp from a package's folder.
 * @throws Error if the module does not load, or finds no Vulkan device
 */
export async function openLlamaVulkan(folder: string): Promise<LlamaVulkan> {
  const bins = join(folder, "bins/linux-x64-vulkan");
  const addon = createRequire(import.meta.url)(join(bins, "llama-addon.node")) as Addon;
  const log: string[] = [];
  addon.markLoaded();
  addon.setLogger((_, message) => void log.push(message.trim()));
  addon.setLoggerLogLevel(WARNING);
  addon.loadBackends(bins);
  addon.ensureGpuDeviceIsSupported();
  // The type only names the built-in backend; without a device everything would run on the CPU.
  const devices = addon.getGpuDeviceInfo().deviceNames;
  if (addon.getGpuType() !== "vulkan" || devices.length === 0)
    throw new Error(
      `llama.cpp found no Vulkan device that it would use; VK_DRIVER_FILES is ${process.env.VK_DRIVER_FILES ?? "not set"}. ` +
        "It passes over software adapters unless GGML_VK_VISIBLE_DEVICES names them, as in GGML_VK_VISIBLE_DEVICES=0" +
        log.map((line) => `\n${line}`).join(""),
    );
  await addon.init();
  return {
    devices,
    release: releaseOf(bins),
    systemInfo: addon.systemInfo().trim(),
    log,
    load: (gguf, layers, positions) => load(addon, log, gguf, layers, positions),
  };
}

async function load(
  addon: Addon,
  log: readonly string[],
  gguf: string,
  layers: number,
  positions: number,
): Promise<LlamaModel> {
  const refused = (what: string): Error => new Error([`llama.cpp did not ${what}`, ...log].join("\n"));
  const started = performance.now();
  // The output counts as a layer.
  const model = new addon.AddonModel(gguf, { addonExports: addon, gpuLayers: layers + 1, useMmap: true });
  if (!(await model.init())) throw refused(`load ${gguf}`);
  if (model.getMemoryBreakdown().gpuVram === 0) throw refused("put a layer on the GPU");
  const context = new addon.AddonContext(model, {
    contextSize: Math.ceil(positions / 256) * 256,
    batchSize: BATCH,
    sequences: 1,
    flashAttention: true,
  });
  if (!(await context.init())) throw refused(`make a context of ${positions} positions`);
  const sampler = new addon.AddonSampler(model);
  sampler.applyConfig({ temperature: 0 });
  return {
    sequence: {
      batch: BATCH,
      async evaluate(ids, position, choose) {
        context.initBatch(ids.length);
        const logitsOf = Uint32Array.from(choose ? [ids.length - 1] : []);
        const [output] = context.addToBatch(0, position, Uint32Array.from(ids), logitsOf);
        const began = performance.now();
        await context.decodeBatch();
        const evalMs = performance.now() - began;
        return { evalMs, next: output === undefined ? null : await context.sampleToken(output, sampler) };
      },
      forget(position) {
        if (!context.removeTokenCellsFromSequence(0, position, -1))
          throw refused(`drop the positions from ${position} on`);
      },
    },
    loadMs: performance.now() - started,
    memory: { model: model.getMemoryBreakdown(), context: context.getMemoryBreakdown() },
  };
}

function releaseOf(bins: string): string {
  const { buildOptions } = JSON.parse(readFileSync(join(bins, "_nlcBuildMetadata.json"), "utf8")) as {
    readonly buildOptions: { readonly llamaCpp: { readonly release: string } };
  };
  return buildOptions.llamaCpp.release;
}

/** CPU backends to pack: any x64, and those of machines with such GPUs. One is always needed. */
const CPUS = ["libggml-cpu-x64.so", "libggml-cpu-haswell.so"];

/**
 * The files of the package that a measurement needs, relative to its folder.
 * @throws Error if its layout is unexpected
 */
export function llamaFiles(folder: string): string[] {
  const bins = "bins/linux-x64-vulkan";
  const names = existsSync(join(folder, bins)) ? readdirSync(join(folder, bins)) : [];
  for (const needed of ["llama-addon.node", "libggml-vulkan.so", "_nlcBuildMetadata.json", CPUS[0]!])
    if (!names.includes(needed)) throw new Error(`${folder}: expected ${bins}/${needed}, as in version 3.22.1`);
  const carried = names.filter((name) => !name.startsWith("libggml-cpu-") || CPUS.includes(name));
  return ["LICENSE", "package.json", ...carried.toSorted().map((name) => `${bins}/${name}`)];
}
