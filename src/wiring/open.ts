// open(): the one place that joins a weights source, a backend and a model. Differences between
// Node and browsers (files, the GPU object, the size of memory) come in as a Platform.

import { createCpuOps, panelWorker, startCpu } from "../backend/cpu/cpu.ts";
import type { PoolWorker } from "../backend/cpu/pool.ts";
import type { Ops } from "../backend/ops.ts";
import type { TuningStore } from "../backend/webgpu/tuning/autotune.ts";
import { createWebGpuOps } from "../backend/webgpu/webgpu.ts";
import type { ChatConventions } from "../chat/conventions.ts";
import { TEMPLATE_FILES } from "../chat/template_files.ts";
import type { OpenOptions, SamplingOptions } from "../engine/api.ts";
import type { DraftModel } from "../engine/drafter.ts";
import { createModel, type Model } from "../engine/model.ts";
import { cacheWithin, sizesOf } from "../engine/panes.ts";
import { warmUp } from "../engine/warm_up.ts";
import { DeviceError, RequestError, WeightsError } from "../errors.ts";
import type { Spill } from "../experts/record_reader.ts";
import type { GrammarWorker } from "../grammar/worker_protocol.ts";
import { forward, loadDecoder } from "../model/decoder.ts";
import { endsInConfig } from "../model/end_ids.ts";
import { bindSources, readArchitecture } from "../model/families/index.ts";
import { type Architecture, hasStates, type ModelSources, routingOf } from "../model/family.ts";
import { footprintOf, parametersOf } from "../model/footprint.ts";
import { expertLayers, formatsText } from "../model/formats.ts";
import { settleSources } from "../model/input_order.ts";
import { TOKENIZER_FILES, tokenizerFiles } from "../tokenizer/files.ts";
import { findTokenizer, openTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Files, Opened } from "../weights/files.ts";
import { FOLDER_FILES, openFolder } from "../weights/folder.ts";
import { isSynthetic, parseSynthetic } from "../weights/synthetic.ts";
import { checkOptions } from "./check_options.ts";
import { checkVocabulary, type Vocabulary } from "./draft_vocabulary.ts";
import { BLOCK_SIZE, cacheGeometry, planOpening, repackedFrom, stateSlots } from "./plan.ts";
import { cpuResidency, deviceResidency, type Residency } from "./residency.ts";

/** A WebGPU implementation, held until release(). */
export interface PlatformGpu {
  readonly gpu: GPU;
  /** Whether requestAdapter() returns a software adapter. */
  readonly software: boolean;
  release(): Promise<void>;
}

/** What Node or a browser provides. */
export interface Platform {
  files(where: string): Promise<Opened>;
  /** The same for OpenOptions.tokenizer, if that is another matter. */
  tokenizer?(where: string): Promise<Opened>;
  /** The platform's WebGPU, or null without an adapter. `adapter`: part of the adapter's name. */
  gpu(adapter?: string): Promise<PlatformGpu | null>;
  /** False if, without loading a driver, it is certain that there is only a software adapter. */
  readonly mayHaveGpu: boolean;
  /** Default budget in bytes for the CPU backend and for software adapters. */
  readonly ram: number;
  readonly cpuName: string;
  /** Physical cores within the CPU quota, if known: the default number of CPU threads. */
  readonly cores: number;
  /** Stores which WebGPU kernels are fastest on this machine. */
  readonly tuning: TuningStore;
  /** Makes a place for packed experts that do not fit in memory; null: there is none. */
  spill(): Spill | null;
  /**
   * The chat conventions of a tokenizer's folder (chat/conventions.ts); `own`: the model's.
   * @throws WeightsError for an unusable template
   */
  chat(files: Files, tokenizer: Tokenizer, own: Files): Promise<ChatConventions>;
  /** A unique name of a folder, for stored measurements. */
  identity(where: string): string;
  /** Starts a thread of the CPU backend. */
  startWorker(): PoolWorker;
  /** Starts a thread that compiles grammars; absent: they are compiled on the main thread. */
  startGrammarWorker?(): GrammarWorker;
}

/** Initial positions of the KV cache. */
const FIRST_POSITIONS = 512;

/** @param draft opened for this model, which closes it; if this rejects, its caller does */
export async function openModel(
  where: string,
  options: Omit<OpenOptions, "draft">,
  platform: Platform,
  draft: DraftModel | null = null,
): Promise<Model> {
  const started = performance.now();
  options.signal?.throwIfAborted();
  checkOptions(options);
  // Threads start and kernels are compiled while files are looked at.
  const cpu = usesNoGpu(options, platform) ? startCpu(cpuOptions(options, platform)) : null;
  const input = await openInput(where, options, platform).catch(async (error) => {
    await cpu?.close();
    throw error;
  });
  let gpu: PlatformGpu | null = null;
  let ops: Ops | null = null;
  let residency: Residency | null = null;
  let panels: ReturnType<typeof panelWorker> | null = null;
  try {
    const { architecture, tokenizer } = input;
    checkStored(where, architecture, options);
    const sources = await settleSources(input.sources);
    if (draft) checkDraft(draft, { label: where, vocab: architecture.vocab, tokenizer }, architecture);
    gpu = await chooseGpu(options, platform);
    const opening = planOpening(architecture, sources, options, gpu, platform.ram);
    const { context, chunk, kvPrecision, formats, plan } = opening;
    const chosen = formats(plan.weights);
    const weights = formatsText(sources, chosen);

    const exact = options.activations === "f32";
    const drafts = draft !== null || options.speculation === "lookup"; // as they must be asked for on a GPU
    panels = gpu ? panelWorker(cpuOptions(options, platform)) : null;
    const webgpu = gpu
      ? await createWebGpuOps(gpu.gpu, {
          ...{ maxTokens: chunk, rowsAgree: drafts && !hasStates(architecture) },
          ...(exact && { arithmetics: ["f32"] }),
          ...(panels?.workOf && { workOf: panels.workOf }),
        })
      : null;
    const backend: Ops =
      webgpu ??
      (await createCpuOps({
        maxTokens: chunk,
        deviceName: platform.cpuName,
        ...cpuOptions(options, platform),
        started: cpu,
      }));
    ops = backend;
    if (plan.tiers) {
      const name = `experts-${fingerprint(`${platform.identity(where)} ${weights}`)}`;
      const learned = { store: platform.tuning, name };
      const layers = expertLayers(sources, chosen);
      const { perToken, rule } = routingOf(architecture);
      const setting = { layers, perToken, rule, tiers: plan.tiers, spill: () => platform.spill(), learned };
      residency = webgpu
        ? await deviceResidency(webgpu, setting, cpuOptions(options, platform))
        : await cpuResidency(backend, setting);
    }
    const footprint = footprintOf(sources, chosen);
    const total = residency ? footprint.dense : footprint.weights;
    let done = 0;
    const model = await loadDecoder(backend, architecture, sources, {
      plan: chosen,
      experts: residency?.experts,
      signal: options.signal,
      onLoaded(bytes) {
        done += bytes;
        options.onProgress?.(Math.min(done, total), total);
      },
    });
    await panels?.close();
    const { signal, onTuning: onProgress } = options;
    await webgpu?.tune(platform.tuning, { layers: model.layers, kv: kvPrecision, signal, onProgress });
    const kv = backend.createKv(cacheGeometry(architecture, context, chunk), kvPrecision, BLOCK_SIZE, context);
    const { slots, kvBytes } = stateSlots(architecture, plan);
    await kv.states?.reserve(slots);
    const { blocks, panes } = cacheWithin(kvBytes, sizesOf(kv, chunk));
    const first = Math.min(context, FIRST_POSITIONS, (kv.panes ? panes : blocks) * BLOCK_SIZE);
    await kv.reserve(Math.ceil(first / BLOCK_SIZE));
    if (webgpu) await kv.panes?.reserve(kv.blocks);
    for (let i = 0; i < (kv.panes?.panes ?? 0); i++) kv.panes!.assign(i, i); // for the first steps
    const step = forward.bind(null, backend, model, kv);
    const { perToken, count } = routingOf(architecture);
    // The first steps compile every variant that later ones use. One that does not compile
    // is left out.
    for (let warm = webgpu === null; !warm; )
      try {
        const together = webgpu?.tuning.stepSizes(webgpu.maxTokens, perToken, count);
        await warmUp(backend, step, architecture.vocab, BLOCK_SIZE, first, together);
        warm = true;
      } catch (error) {
        if (!webgpu?.leaveOut(error)) throw error;
      }
    residency?.clear();
    if (!residency) await input.close();
    const [held, stays] = [gpu, residency];
    return createModel({
      label: where,
      architecture,
      tokenizer,
      chat: input.chat,
      ops: backend,
      kv,
      kvBytes,
      context,
      weights,
      repacked: repackedFrom(sources, options),
      tokenizerNote: input.tokenizerNote,
      eos: new Set(input.eos),
      stops: input.stops,
      sampling: input.sampling,
      loadMs: performance.now() - started,
      parameters: parametersOf(architecture, sources),
      forward: step,
      onRoutes: options.onRoutes,
      speculates: options.speculation !== "off",
      draft,
      ...(platform.startGrammarWorker && { startGrammarWorker: platform.startGrammarWorker }),
      compileDeadline: options.compileDeadline,
      ...(stays && { experts: () => stays.stats(), usualChunk: opening.usualChunk }),
      async release() {
        await stays?.close();
        if (stays) await input.close();
        await held?.release();
      },
    });
  } catch (error) {
    await panels?.close();
    await residency?.close();
    await (ops ?? cpu)?.close();
    await gpu?.release();
    await input.close();
    throw error;
  }
}

/** @throws RequestError for a model that no draft can be for, or none of this vocabulary */
function checkDraft({ name, model }: DraftModel, target: Vocabulary, architecture: Architecture): void {
  if (hasStates(architecture))
    throw new RequestError(
      `draft: ${target.label} has layers with states, which cannot go back to where a draft was wrong; leave draft out`,
    );
  checkVocabulary({ label: name, vocab: model.architecture.vocab, tokenizer: tokenizerOf(model) }, target);
}

function tokenizerOf(model: Model): Tokenizer | null {
  try {
    return model.tokenizer;
  } catch {
    return null; // it takes token ids only
  }
}

interface Input {
  readonly architecture: Architecture;
  readonly sources: ModelSources;
  readonly tokenizer: Tokenizer | null;
  readonly tokenizerNote: string | null;
  readonly chat: ChatConventions | Error;
  readonly eos: readonly number[];
  readonly stops: readonly string[];
  readonly sampling: SamplingOptions;
  close(): Promise<void>;
}

async function openInput(where: string, options: OpenOptions, platform: Platform): Promise<Input> {
  return isSynthetic(where) ? openSynthetic(where, options) : openWeights(where, platform, options);
}

function openSynthetic(url: string, options: OpenOptions): Input {
  const { config: raw, source } = parseSynthetic(url);
  const architecture = readArchitecture(raw, url, options);
  if (options.needTokenizer || options.tokenizer !== undefined)
    throw new RequestError(`${url} has no tokenizer: it takes token ids only`);
  const chat = new RequestError(`${url} has no tokenizer: it takes token ids only`);
  return {
    architecture,
    sources: bindSources(architecture, source),
    tokenizer: null,
    tokenizerNote: null,
    chat,
    eos: architecture.config.eos_token_id,
    stops: [],
    sampling: {},
    close: async () => {},
  };
}

async function openWeights(path: string, platform: Platform, options: OpenOptions): Promise<Input> {
  const { files: given, file } = await platform.files(path);
  let other: Files | null = null;
  const beside = options.tokenizer === undefined ? [...TOKENIZER_FILES, ...TEMPLATE_FILES] : [];
  if (file === null) given.soon?.([...FOLDER_FILES, ...beside]);
  try {
    const folder = await openFolder(given, file);
    const architecture = readArchitecture(folder.config, `${folder.label}/config.json`, options);
    // Checks names and shapes, which is quick, before a vocabulary is read.
    const sources = bindSources(architecture, folder.source);
    sources.embed.soon?.(); // weights come while the vocabulary is read
    if (options.tokenizer !== undefined)
      other = await tokenizerFiles(await (platform.tokenizer ?? platform.files)(options.tokenizer));
    const files = other ?? folder.files;
    const find = options.needTokenizer || other ? openTokenizer : findTokenizer;
    const tokenizer = await find(files, architecture.vocab);
    const chat = tokenizer
      ? await platform.chat(files, tokenizer, folder.files).catch(asError)
      : new RequestError(`${folder.label} has no tokenizer: it cannot chat`);
    const ends = new Set([
      ...(tokenizer?.eosIds ?? []),
      ...(chat instanceof Error ? [] : chat.stopIds),
      ...endsInConfig(folder.config, `${folder.label}/config.json`),
      ...endsInConfig(folder.generationConfig, `${folder.label}/generation_config.json`),
    ]);
    return {
      architecture,
      sources,
      tokenizer,
      tokenizerNote: other ? null : (folder.tokenizerNote ?? null),
      chat,
      eos: [...ends].filter((id) => id < architecture.vocab),
      stops: tokenizer ? stopTexts(folder.generationConfig) : [],
      sampling: generationSampling(folder.generationConfig, folder.label),
      close: () => folder.close(),
    };
  } catch (error) {
    await given.close();
    throw error;
  } finally {
    await other?.close();
  }
}

/** What chat calls throw if a template cannot be used. */
function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

function usesNoGpu({ backend }: OpenOptions, { mayHaveGpu }: Platform): boolean {
  return backend === "cpu" || (backend !== "webgpu" && !mayHaveGpu);
}

export async function chooseGpu(options: OpenOptions, platform: Platform): Promise<PlatformGpu | null> {
  if (usesNoGpu(options, platform)) return null;
  const gpu = await platform.gpu(options.adapter);
  if (options.backend === "webgpu" && gpu === null) {
    throw new DeviceError(
      `backend webgpu: no WebGPU adapter was found${options.adapter ? ` whose name contains "${options.adapter}"` : ""}; install a Vulkan driver (in Node also the optional package webgpu), or use backend cpu`,
    );
  }
  if (gpu?.software && options.backend !== "webgpu") {
    await gpu.release(); // our own CPU backend is faster than a software adapter
    return null;
  }
  return gpu;
}

function cpuOptions({ threads, activations = "int8" }: OpenOptions, { cores, startWorker }: Platform) {
  return { threads: threads ?? cores, fewerThreads: threads === undefined, startWorker, activations };
}

/** A packed folder is read as it is. */
export function checkStored(where: string, { stored }: Architecture, { weights = "auto" }: OpenOptions): void {
  if (stored === null || weights === "auto" || weights === stored.text) return;
  throw new RequestError(
    `weights: ${where} was written by \`hotset quantize\` and holds ${stored.text} weights, ${weights} was asked for; leave the option away, or quantize the original with --weights ${weights}`,
  );
}

/** generation_config.json's stop_strings: one text or several. */
function stopTexts(raw: unknown): readonly string[] {
  const value = (raw as { stop_strings?: unknown } | null | undefined)?.stop_strings;
  return [value].flat().filter((text) => typeof text === "string" && text !== "") as string[];
}

/** generation_config.json's sampling if it has do_sample; else greedy. */
function generationSampling(raw: unknown, label: string): SamplingOptions {
  if (typeof raw !== "object" || raw === null) return {};
  const json = raw as Readonly<Record<string, unknown>>;
  // A number out of range means "off" for some tools (vLLM: top_k -1): it must not prevent opening.
  const number = (field: string, off: number, min: number, max: number): number => {
    const value = json[field] ?? off;
    if (typeof value === "number") return value >= min && value <= max ? value : off;
    throw new WeightsError(`${label}/generation_config.json: ${field}: expected a number, found ${String(value)}`);
  };
  return {
    temperature: json.do_sample === true ? number("temperature", 1, 0, 1e6) : 0,
    topK: Math.floor(number("top_k", 0, 0, 2 ** 31)),
    topP: number("top_p", 1, 0, 1),
    minP: number("min_p", 0, 0, 1),
    repeatPenalty: number("repetition_penalty", 1, 1e-6, 1e6),
  };
}

/** A short file name for a text (FNV-1a, twice). A collision only costs a wrong initial guess. */
function fingerprint(text: string): string {
  let [low, high] = [0x811c9dc5, 0x1b873593];
  for (let i = 0; i < text.length; i++) {
    low = Math.imul(low ^ text.charCodeAt(i), 0x01000193);
    high = Math.imul(high ^ text.charCodeAt(i), 0x85ebca6b);
  }
  return (low >>> 0).toString(16).padStart(8, "0") + (high >>> 0).toString(16).padStart(8, "0");
}
