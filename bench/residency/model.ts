// The models of a residency benchmark: one as open() makes it, and one that keeps no expert.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";

import { createCpuOps } from "../../src/backend/cpu/cpu.ts";
import { startNodeWorker, usableCores } from "../../src/backend/cpu/node_threads.ts";
import { enableWasmFeatures } from "../../src/backend/cpu/node_wasm.ts";
import type { TuningStore } from "../../src/backend/webgpu/tuning/autotune.ts";
import { openChat } from "../../src/chat/conventions.ts";
import type { RouteStep } from "../../src/engine/api.ts";
import { createModel, type Model } from "../../src/engine/model.ts";
import { classesOf } from "../../src/experts/classes.ts";
import { forward, loadDecoder } from "../../src/model/decoder.ts";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import { kvGeometry, type ModelSources, routingOf } from "../../src/model/family.ts";
import { parametersOf } from "../../src/model/footprint.ts";
import { expertLayers, keep } from "../../src/model/formats.ts";
import { settleSources } from "../../src/model/input_order.ts";
import type { Files } from "../../src/weights/files.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { openModel } from "../../src/wiring/open.ts";
import { cpuResidency } from "../../src/wiring/residency.ts";

/** Remembers nothing: what earlier runs learned would make repeats differ. */
const NOTHING_LEARNED: TuningStore = { read: async () => null, write: async () => {} };

/** What one run has learned, and all others begin with. */
function learnedOnce(file: string): TuningStore {
  return {
    read: async () => (existsSync(file) ? readFileSync(file, "utf8") : null),
    write: async (_, text) => {
      if (!existsSync(file)) writeFileSync(file, text);
    },
  };
}

/** Tokens of a prompt's chunk, positions of a KV block: as open() has them on the CPU. */
const CHUNK = 128;
const BLOCK = 32;
/**
 * Slots of the model that keeps no expert: as many as open() has for records in transit, at least.
 */
const TRANSIT = 5;

export interface KeptOptions {
  readonly files: Files;
  /** The name of a GGUF file among them; null: a folder. */
  readonly file: string | null;
  readonly context: number;
  readonly onRoutes: (step: RouteStep) => void;
  /** As DecodeTask has it. */
  readonly learned?: string | undefined;
}

/**
 * The model of a folder as open() makes it on the CPU, its files read through `files`.
 * @param ram budget, bytes
 */
export function openKept(
  folder: string,
  ram: number,
  { files, file, context, onRoutes, learned }: KeptOptions,
): Promise<Model> {
  enableWasmFeatures();
  return openModel(
    folder,
    { backend: "cpu", ram, context, onRoutes },
    {
      files: async () => ({ files, file }),
      gpu: async () => null,
      mayHaveGpu: false,
      ram,
      cpuName: cpuName(),
      cores: usableCores(),
      tuning: learned === undefined ? NOTHING_LEARNED : learnedOnce(learned),
      spill: () => null,
      chat: openChat,
      identity: (where) => where,
      startWorker: startNodeWorker,
    },
  );
}

/**
 * The same model with transit slots only: an expert is read each time that it is used.
 * @param reading false: once all slots hold a record, any of them is used in place of the right one
 * @throws WeightsError for a folder that `hotset quantize` has not written
 */
export async function openUncached(
  folder: string,
  reading: boolean,
  { files, context, onRoutes }: KeptOptions,
): Promise<Model> {
  const started = performance.now();
  enableWasmFeatures();
  const opened = await openFolder(files);
  const architecture = readArchitecture(opened.config, folder);
  if (architecture.stored === null)
    throw new Error(`${folder}: expected a folder that \`hotset quantize\` has written`);
  const weights = architecture.stored.text;
  const plan = keep(architecture.stored.embed); // every matrix has a format of its own
  const bound = await settleSources(bindSources(architecture, opened.source));
  const sources = reading ? bound : unread(bound, TRANSIT);
  const ops = await createCpuOps({
    maxTokens: CHUNK,
    deviceName: cpuName(),
    threads: usableCores(),
    startWorker: startNodeWorker,
  });
  const layers = expertLayers(sources, plan);
  const residency = await cpuResidency(ops, {
    layers,
    perToken: routingOf(architecture).perToken,
    rule: routingOf(architecture).rule,
    tiers: classesOf(layers.map(({ shape }) => shape)).map(() => ({ slots: 0, extra: 0, transit: TRANSIT, ram: null })),
    spill: () => null,
    learned: { store: NOTHING_LEARNED, name: "" },
  });
  const model = await loadDecoder(ops, architecture, sources, { plan, experts: residency.experts });
  const kv = ops.createKv(kvGeometry(architecture), "f32", BLOCK, context);
  await kv.reserve(Math.ceil(context / BLOCK));
  return createModel({
    label: folder,
    architecture,
    tokenizer: null,
    chat: new Error("token ids only"),
    ops,
    kv,
    kvBytes: Math.ceil(context / BLOCK) * kv.blockBytes,
    context,
    weights,
    repacked: null,
    eos: new Set(),
    sampling: {},
    loadMs: performance.now() - started,
    parameters: parametersOf(architecture, bound),
    forward: forward.bind(null, ops, model, kv),
    experts: () => residency.stats(),
    onRoutes,
    async release() {
      await residency.close();
      await opened.close();
    },
  });
}

/** Sources whose records are read until this many of a size are there, and never again. */
function unread(sources: ModelSources, records: number): ModelSources {
  const read = new Map<number, number>(); // bytes, by the size of a record
  const layers = sources.layers.map((layer) => ({
    ...layer,
    experts: layer.experts.map((expert) => {
      const { record } = expert;
      if (!record) return expert;
      const first: typeof record.read = async (offset, into, ...more) => {
        const bytes = read.get(record.bytes) ?? 0;
        if (bytes >= records * record.bytes) return;
        read.set(record.bytes, bytes + into.length);
        await record.read(offset, into, ...more);
      };
      return { ...expert, record: { ...record, read: first } };
    }),
  }));
  return { ...sources, layers };
}

function cpuName(): string {
  return cpus()[0]?.model.trim() ?? "CPU";
}
