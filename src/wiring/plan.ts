// Chooses the formats that a model's weights are loaded in, and where its experts go: what a budget
// allows of what the model needs.

import { FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import { hasExpertSlots, stagingBytes } from "../backend/cpu/cpu.ts";
import type { KvGeometry, KvPrecision } from "../backend/ops.ts";
import type { OpenOptions } from "../engine/api.ts";
import { type Budgets, type Needs, type Plan, planMemory } from "../engine/budget.ts";
import { cacheBytes, paneNeeds } from "../engine/panes.ts";
import { maxRows } from "../engine/work.ts";
import { MemoryError, RequestError } from "../errors.ts";
import { classesOf } from "../experts/classes.ts";
import { type Architecture, kvGeometry, type ModelSources, routingOf } from "../model/family.ts";
import {
  footprintOf,
  kvBlockBytes,
  parametersOf,
  stateBytes,
  valuesPerOutput,
  valuesPerToken,
} from "../model/footprint.ts";
import {
  automatic,
  bytesOf,
  expertLayers,
  type FormatPlan,
  formatsText,
  heldMatrices,
  keep,
  ownFormats,
  packAll,
} from "../model/formats.ts";
import { windowsOf } from "../model/layer_kinds.ts";
import { recordLayout } from "../tensor/record.ts";
import { DISK_PAGE, LEAST_COPIED } from "../weights/files.ts";

/** The default GPU budget: WebGPU cannot tell how much memory there is. */
const DEFAULT_GPU_MEMORY = 6 * 2 ** 30;
/**
 * Scratch of the CPU backend for any model: rows that are being packed, or the plain kernels' slab.
 */
const CPU_SCRATCH = 17 * 2 ** 20;
/** At most: pieces of a file's blocks that are read past the page cache, four at once. */
const DIRECT_SCRATCH = 17 * 2 ** 20;
/** Positions of the KV cache if experts are offloaded and no context was requested. */
const TIERED_POSITIONS = 4096;
/** Rows of a step whose logits are read, one a session: a GPU's budget counts so many at most. */
const TOGETHER = 64;
/** Slots of states: one that goes on and checkpoints; and as many as are useful. */
const LEAST_STATES = 4;
const MOST_STATES = 32;
/** States take at most this part of the KV cache's bytes, beside the least. */
const STATES_PART = 1 / 4;
/** Positions of a KV block. */
export const BLOCK_SIZE = 32;
/**
 * The largest chunk of a prompt on WebGPU. A GPU takes fewer tokens where they take it long
 * (Ops.chunk); with more of them an expert's tiles are fuller, and weights are read less often.
 */
const GPU_CHUNK = { gpu: 1024, software: 512 } as const;
/**
 * The same on the CPU, alone (engine/model.ts has less beside other sessions). Where a token uses
 * few of many experts, a step of these takes less time, and its experts get too few rows. A small
 * model's step has little to compute beside what every step costs: `small` is for those whose
 * experts all fit beside its scratch memory.
 */
const CPU_CHUNKS = { usual: 256, manyExperts: 512, small: 512 } as const;
/** The most parameters that a token of a small model uses. */
const SMALL = 16e6;
/** Rows that an expert should get of a chunk: weights are spread once for all of them. */
const EXPERT_ROWS = 32;
/**
 * Where experts are offloaded on the CPU a chunk reads them once, so the largest one has as many
 * tokens as this part of the budget has scratch memory for, or as cost no expert its slot.
 */
const STREAMED_PART = 1 / 32;

/** What computes: a GPU, real or in software; null: the CPU. */
export type Computes = { readonly software: boolean } | null;

function cpuChunk(a: Architecture): number {
  const { count, perToken } = routingOf(a);
  const { usual, manyExperts } = CPU_CHUNKS;
  return (usual * perToken) / count < EXPERT_ROWS ? manyExperts : usual;
}

/** How a model is opened: what the options leave open is chosen. */
export interface Opening {
  readonly context: number;
  /** Tokens of the largest chunk of a prompt, and of the first ones. */
  readonly chunk: number;
  readonly usualChunk: number;
  readonly kvPrecision: KvPrecision;
  /** The formats of a choice of weights. */
  readonly formats: (name: PackableName) => FormatPlan;
  readonly plan: Plan;
  /**
   * Bytes of the memory in which steps are computed, with room in the KV cache for so many
   * positions; where experts are offloaded, the whole budget.
   */
  bytes(positions: number): number;
}

/** @param ram default budget in bytes for the CPU backend and for software adapters */
export function planOpening(
  a: Architecture,
  sources: ModelSources,
  options: OpenOptions,
  gpu: Computes,
  ram: number,
): Opening {
  const context = chooseContext(options.context, a);
  const most = gpu ? GPU_CHUNK[gpu.software ? "software" : "gpu"] : cpuChunk(a);
  const firstChunk = Math.min(options.chunk ?? most, context);
  const kvPrecision = options.kv ?? (gpu ? "f16" : "f32");
  const formats = formatsOf(a, options);
  const planFor = (chunk: number): Chosen =>
    choosePlan(a, sources, options, { gpu, ram, context, chunk, kvPrecision, formats });
  const first = planFor(firstChunk);
  const free = gpu === null && options.chunk === undefined;
  const streams = free && first.plan.tiers !== null;
  const isSmall = free && !streams && parametersOf(a, sources).active <= SMALL;
  const large = isSmall ? withoutTiers(Math.min(CPU_CHUNKS.small, context), planFor) : null;
  const [usualChunk, usual] = large ?? [firstChunk, first];
  const [chunk, { main, plan, kv }] = streams ? grown(usualChunk, usual, planFor) : [usualChunk, usual];
  const bytes = (positions: number): number => {
    if (plan.tiers) return main;
    const states = stateBytes(a) > 0 ? 1 - STATES_PART : 1; // they take a part of the cache's bytes
    return Math.min(main, Math.ceil(main - plan.kvBytes + kv(positions) / states));
  };
  return { context, chunk, usualChunk, kvPrecision, formats, plan, bytes };
}

/** A chunk and its plan, or null if experts would be offloaded for it. */
function withoutTiers(chunk: number, planFor: (chunk: number) => Chosen): readonly [number, Chosen] | null {
  const found = fitting(() => planFor(chunk));
  return found && found.plan.tiers === null ? [chunk, found] : null;
}

/** The largest chunk that its part of the budget allows, or that costs no slot, and its plan. */
function grown(usual: number, first: Chosen, planFor: (chunk: number) => Chosen): readonly [number, Chosen] {
  let best: readonly [number, Chosen] = [usual, first];
  for (let chunk = 2 * usual; chunk <= first.positions; chunk *= 2) {
    const next = fitting(() => planFor(chunk));
    if (next === null) break;
    const free = JSON.stringify(next.plan.tiers) === JSON.stringify(first.plan.tiers);
    if (!free && next.chunkBytes > STREAMED_PART * next.main) break;
    best = [chunk, next];
  }
  return best;
}

/** A plan, or null if it does not fit. */
function fitting(plan: () => Chosen): Chosen | null {
  try {
    return plan();
  } catch (error) {
    if (error instanceof MemoryError) return null;
    throw error;
  }
}

function chooseContext(asked: number | undefined, { context: most }: Architecture): number {
  if (asked === undefined) return most;
  if (asked > most)
    throw new RequestError(
      `context: this model has at most ${most} positions, ${asked} were asked for; ropeScaling (--rope-scaling) is for more`,
    );
  return asked;
}

/** Bytes of the memory in which steps are computed. */
export function mainBudget({ gpuMemory, ram: asked }: OpenOptions, gpu: Computes, ram: number): number {
  const fallback = gpu && !gpu.software ? DEFAULT_GPU_MEMORY : ram;
  return (gpu ? gpuMemory : asked) ?? fallback;
}

interface PlanInput extends Pick<Opening, "context" | "chunk" | "kvPrecision" | "formats"> {
  readonly gpu: Computes;
  readonly ram: number;
}

/**
 * Matrices that are stored in a format of their own keep it, unless the caller names one: then it
 * is that of all matrices.
 */
function formatsOf({ stored }: Architecture, { weights = "auto" }: OpenOptions): Opening["formats"] {
  const all = stored === null && weights !== "auto";
  return (name) => (all ? packAll(FORMATS[name]) : keep(FORMATS[name]));
}

/** What the caller's format replaces, in words; null if all matrices keep their values. */
export function repackedFrom(sources: ModelSources, { weights = "auto" }: OpenOptions): string | null {
  if (weights === "auto" || weights === "f32") return null;
  const format = FORMATS[weights];
  const others = [...ownFormats(sources)].filter((own) => own !== undefined && own !== format);
  return others.length > 0 ? formatsText(sources, keep(format)) : null;
}

/**
 * Slots for the states of sequences and their checkpoints (engine/states.ts), and what they leave
 * of the KV cache's bytes. Where experts are offloaded its bytes are those of the positions.
 */
export function stateSlots(a: Architecture, { kvBytes, tiers }: Plan) {
  const bytes = stateBytes(a);
  if (bytes === 0) return { slots: 0, kvBytes };
  const more = tiers ? 0 : Math.min(MOST_STATES - LEAST_STATES, Math.floor((STATES_PART * kvBytes) / bytes));
  return { slots: LEAST_STATES + more, kvBytes: kvBytes - more * bytes };
}

/**
 * The sizes of the KV cache. Windows count where one sequence needs fewer panes for them than its
 * context has blocks; states cannot go back to where a window is.
 */
export function cacheGeometry(a: Architecture, context: number, chunk: number): KvGeometry {
  const geometry = kvGeometry(a);
  const windows = windowsOf(a);
  if (!windows || geometry.states) return geometry;
  const { each, chunk: more } = paneNeeds(windows.positions, chunk, BLOCK_SIZE);
  return each + more < Math.ceil(context / BLOCK_SIZE) ? { ...geometry, windows } : geometry;
}

/** The plan, the budget that it is for, and the bytes of a KV cache. */
interface Chosen {
  readonly main: number;
  readonly plan: Plan;
  readonly kv: Needs["kv"];
  /** Bytes of a chunk's values, and positions of the cache if experts are offloaded. */
  readonly chunkBytes: number;
  readonly positions: number;
}

/** @throws MemoryError where no plan fits the budget */
function choosePlan(
  a: Architecture,
  sources: ModelSources,
  options: OpenOptions,
  { gpu, ram, context, chunk, kvPrecision, formats }: PlanInput,
): Chosen {
  const budget = mainBudget(options, gpu, ram);
  const logits = Math.min(chunk, maxRows(a.vocab)) * a.vocab;
  const wanted = a.stored === null ? (options.weights ?? "auto") : "auto";
  const footprint = (name: PackableName) => footprintOf(sources, formats(name));
  const scratchOf = (bytes: number) =>
    CPU_SCRATCH + (inBlocks(sources) ? directBytes(sources) + stagingBytes(bytes, largest(sources)) : 0);
  const geometry = cacheGeometry(a, context, chunk);
  const needsOfPanes = paneNeeds(geometry.windows?.positions ?? 1, chunk, BLOCK_SIZE);
  const sizes = { ...kvBlockBytes(geometry, kvPrecision, BLOCK_SIZE, gpu !== null), needs: needsOfPanes };
  const chunkBytes = 4 * (chunk * valuesPerToken(a, sources) + logits);
  // If experts are offloaded, memory for cache positions is memory that experts cannot use.
  const positions = Math.ceil((options.context ?? Math.min(context, TIERED_POSITIONS)) / BLOCK_SIZE) * BLOCK_SIZE;
  const needs: Needs = {
    weights: (name) => footprint(name).weights,
    dense: (name) => footprint(name).dense,
    classes: (name) => {
      const shapes = expertLayers(sources, formats(name)).map(({ shape }) => shape);
      return classesOf(shapes).map(({ shape, layers }) => {
        return { layers: layers.length, experts: shape.count, record: recordLayout(shape).bytes };
      });
    },
    kv: (positions) => cacheBytes(Math.ceil(positions / BLOCK_SIZE), sizes),
    scratch:
      LEAST_STATES * stateBytes(a) +
      chunkBytes +
      (gpu ? 4 * Math.min(chunk, TOGETHER) * valuesPerOutput(a) : scratchOf(budget)),
    context: Math.ceil(context / BLOCK_SIZE) * BLOCK_SIZE, // the cache grows by whole blocks
    positions,
    automatic: automatic(sources),
    kept: wanted === "auto" && !ownFormats(sources).has(undefined) ? formatsText(sources, formats("f32")) : undefined,
  };
  const budgets: Budgets = {
    main: { bytes: budget, option: gpu ? "gpuMemory, --gpu-memory" : "ram, --ram" },
    ram: gpu && { bytes: options.ram ?? ram, held: scratchOf(options.ram ?? ram), option: "ram, --ram" },
    tiers: hasExpertSlots(),
    slots: options.expertSlots,
  };
  return { main: budget, plan: planMemory(needs, wanted, budgets), kv: needs.kv, chunkBytes, positions };
}

/** Whether experts are read as blocks of a file. */
function inBlocks({ layers }: ModelSources): boolean {
  return layers.some(({ experts }) => experts.some(({ w1 }) => w1.readBlocks !== undefined));
}

/** Bytes of the largest matrix as it is stored. */
function largest(sources: ModelSources): number {
  return Math.max(...heldMatrices(sources, keep(FORMATS.f32)).map(bytesOf));
}

/** Bytes of the pieces of experts that are read past the page cache. */
function directBytes(sources: ModelSources): number {
  const matrices = heldMatrices(sources, keep(FORMATS.f32)).filter(({ role }) => role === "up" || role === "down");
  const longest = Math.max(...matrices.map(bytesOf));
  return longest < LEAST_COPIED ? 0 : Math.min(DIRECT_SCRATCH, 4 * (longest + 2 * DISK_PAGE));
}
