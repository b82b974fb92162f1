// Compiles the kernels of a model for a device that is not there, by running its steps: a process
// of its own, which judge.ts starts with a driver that runs nothing.

import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FORMATS, type FormatName } from "../../kernels/formats/index.ts";
import type { Batch, KvStore } from "../../src/backend/ops.ts";
import { hasInt8Products, matrixUnits } from "../../src/backend/webgpu/device/adapter.ts";
import { openNodeGpu } from "../../src/backend/webgpu/device/node_gpu.ts";
import { VariantError } from "../../src/backend/webgpu/dispatch/pipelines.ts";
import type { Arithmetic } from "../../src/backend/webgpu/dispatch/shader.ts";
import { type TileName, tilesFor } from "../../src/backend/webgpu/tuning/tiles.ts";
import { createWebGpuOps, type WebGpuOps, type WebGpuOptions } from "../../src/backend/webgpu/webgpu.ts";
import { forward, loadDecoder, type Output } from "../../src/model/decoder.ts";
import { kvGeometry } from "../../src/model/family.ts";
import { packAll } from "../../src/model/formats.ts";
import type { Format } from "../../src/tensor/format.ts";
import { BLOCK, batchOf, together } from "../steps.ts";
import { openWeights } from "../weights.ts";
import { blankSources } from "./blank.ts";

/** What a worker compiles. */
export interface Order {
  readonly model: string;
  readonly formats: readonly FormatName[];
  readonly arithmetics: readonly Arithmetic[];
  readonly reductions: readonly ("subgroups" | "tree")[];
  readonly tiles: readonly TileName[];
  /** Only these are compiled; empty: all. */
  readonly kernels: readonly string[];
  /** Tokens of the steps of single tokens: one of each of so many sequences. */
  readonly rows: readonly number[];
  /** Whether kernels have the checks of a page. */
  readonly page: boolean;
  /** Where the driver writes what it compiles, and this process its list of it. */
  readonly folder: string;
}

/** A pipeline that was compiled. */
export interface Compiled {
  /** Kernel and variant in words, as "matmul_vec q4 f32 tree". */
  readonly kernel: string;
  readonly constants: Readonly<Record<string, number>>;
  /** Its file in the folder; null where it was not compiled. */
  readonly file: string | null;
  readonly error?: string;
}

/** Written when all is done, or cannot be. */
export interface Compilation {
  readonly adapter: string;
  readonly compiled: readonly Compiled[];
}

/** Positions of the cache: enough for as many splits as attention makes. */
const POSITIONS = 8192;
/** Tokens of a prompt. */
const PROMPT = 512;

/** Does nothing, whatever it is asked for. */
const nothing: never = new Proxy(() => {}, {
  get: (_, key) => (key === "then" ? undefined : nothing), // it is no promise
  apply: () => nothing,
}) as never;

/** The object with some properties of its own. */
function instead<T extends object>(target: T, own: Partial<T>): T {
  return new Proxy(target, {
    get(object, key) {
      if (key in own) return own[key as keyof T];
      const value: unknown = Reflect.get(object, key, object);
      return typeof value === "function" ? value.bind(object) : value;
    },
  });
}

class Worker {
  readonly #order: Order;
  readonly #gpu: GPU;
  readonly #compiled = new Map<string, Compiled>();
  /** Where all models are; nothing but pipelines is made on it. */
  #device: GPUDevice | null = null;
  /** The driver's next file. */
  #next = 0;
  /** Pipelines are made one after the other, so that it is known which file is whose. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(order: Order, gpu: GPU) {
    this.#order = order;
    this.#gpu = gpu;
  }

  async run(): Promise<readonly Compiled[]> {
    for (const name of this.#order.formats) await this.#format(FORMATS[name]);
    return [...this.#compiled.values()];
  }

  async #format(format: Format): Promise<void> {
    const { arithmetics, reductions, tiles, rows } = this.#order;
    const adapter = (await this.#gpu.requestAdapter())!;
    const f16 = adapter.features.has("shader-f16");
    const can = { f32: true, f16, int8: hasInt8Products(this.#gpu), matrix: matrixUnits(adapter) };
    for (const arithmetic of arithmetics.filter((one) => can[one] && format.arithmetics.includes(one)))
      for (const reduction of reductions)
        await this.#with(format, { arithmetics: [arithmetic] }, async (ops, step) => {
          if (reduction === "tree") ops.leaveOut(new VariantError("matmul_vec", { reduce: "subgroups" }, "asked for"));
          for (const n of rows) await step(singles(n), "logits");
        });
    for (const tile of tilesFor(format, can).filter((one) => tiles.includes(one)))
      await this.#with(format, { tile }, async (_, step) => step(prompt(), "hidden"));
  }

  /** Opens a model, and runs steps. */
  async #with(
    format: Format,
    options: Partial<WebGpuOptions>,
    work: (ops: WebGpuOps, step: (batch: Batch, output: Output) => Promise<void>) => Promise<void>,
  ): Promise<void> {
    const found = (await this.#gpu.requestAdapter())!;
    const adapter = instead(found, {
      requestDevice: async (descriptor?: GPUDeviceDescriptor) =>
        (this.#device ??= this.#idle(await found.requestDevice(descriptor))),
    });
    const ops = await createWebGpuOps(this.#gpu, { maxTokens: PROMPT, adapter, ...options });
    const { architecture, sources } = await openWeights(this.#order.model);
    const model = await loadDecoder(ops, architecture, blankSources(sources, format), { plan: packAll(format) });
    const cache: KvStore = ops.createKv(kvGeometry(architecture), "f16", BLOCK);
    await cache.reserve(POSITIONS / BLOCK);
    await cache.states?.reserve(Math.max(1, ...this.#order.rows));
    await work(ops, async (batch, output) => {
      const states = cache.states && { states: Uint32Array.from(batch.tables.keys()) };
      await ops.read(await forward(ops, model, cache, { ...batch, ...states }, undefined, output));
    });
    cache.close();
    ops.close();
  }

  /** A device that compiles, and does nothing else. */
  #idle(device: GPUDevice): GPUDevice {
    return instead(device, {
      createComputePipelineAsync: (descriptor) => {
        const made = this.#turn.then(() => this.#make(device, descriptor));
        this.#turn = made.catch(() => {});
        return made;
      },
      createBindGroup: nothing,
      createCommandEncoder: nothing,
      queue: instead(device.queue, { writeBuffer: nothing, submit: nothing }),
      destroy: nothing, // the next model is on it too
    });
  }

  async #make(device: GPUDevice, descriptor: GPUComputePipelineDescriptor): Promise<GPUComputePipeline> {
    const kernel = descriptor.label ?? "";
    const constants = { ...descriptor.compute.constants };
    const key = `${kernel} ${JSON.stringify(constants)}`;
    const { kernels } = this.#order;
    if (this.#compiled.has(key) || (kernels.length > 0 && !kernels.includes(kernel.split(" ")[0]!))) return nothing;
    try {
      await device.createComputePipelineAsync(descriptor);
      this.#compiled.set(key, { kernel, constants, file: this.#written() });
    } catch (error) {
      this.#compiled.set(key, { kernel, constants, file: null, error: String(error) });
    }
    return nothing;
  }

  /** The last of the files that the driver has written since the last call. */
  #written(): string {
    let file: string | null = null;
    for (; existsSync(join(this.#order.folder, `${this.#next}.txt`)); this.#next++) file = `${this.#next}.txt`;
    if (file === null) throw new Error("the driver wrote nothing");
    return file;
  }
}

/** A token of each of n sequences, late enough that their positions are split. */
function singles(n: number): Batch {
  const blocks = Math.max(1, Math.floor(POSITIONS / BLOCK / n));
  return together(blocks * BLOCK - 1, 1, n, 1);
}

/** The first tokens of a prompt, with an output each, so that all of its experts are tiles. */
function prompt(): Batch {
  const batch = batchOf(0, PROMPT, 1, true);
  return { ...batch, outputs: batch.positions };
}

const order = JSON.parse(process.argv[2]!) as Order;
const node = await openNodeGpu(undefined, order.page);
if (!node) throw new Error("Dawn finds no adapter of the driver");
const compiled = await new Worker(order, node.gpu).run();
const compilation: Compilation = { adapter: node.name, compiled };
writeFileSync(join(order.folder, "compilation.json"), JSON.stringify(compilation));
process.exit(0); // work that was never begun is never done
