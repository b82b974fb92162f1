// Sizes of models that share one memory budget: what each takes, and the options that hold it to
// that.

import type { OpenOptions } from "../engine/api.ts";
import { bindSources, readArchitecture } from "../model/families/index.ts";
import { footprintOf } from "../model/footprint.ts";
import { ownFormats } from "../model/formats.ts";
import { settleSources } from "../model/input_order.ts";
import { openFolder } from "../weights/folder.ts";
import { checkOptions } from "./check_options.ts";
import { checkStored, chooseGpu, type Platform } from "./open.ts";
import { type Computes, mainBudget, planOpening } from "./plan.ts";

/**
 * Positions of a model's KV cache unless a context is asked for: enough for an agent's conversation
 * and small beside the weights of most models. A model alone in its budget has what is left of it.
 */
const SHARED_POSITIONS = 16_384;

/** What a model takes of a shared budget. */
export interface ModelNeed {
  /** Bytes of RAM and of GPU memory. */
  readonly ram: number;
  /** Of a GPU, in bytes. */
  readonly gpu: number;
  /** Bytes of all weights, wherever they are kept. */
  readonly weights: number;
  /** Whether the file has formats that are kept, and no others are chosen by the budget. */
  readonly kept: boolean;
  /** Positions that a session may have. */
  readonly context: number;
  /** What open() must be given for the model to take no more. */
  readonly options: Pick<OpenOptions, "ram" | "gpuMemory" | "context">;
}

/** A memory budget for several models. */
export interface SharedBudget {
  /** In bytes; 0 GPU memory where the CPU computes. */
  readonly ram: number;
  /** In bytes; 0 where the CPU computes. */
  readonly gpu: number;
  /**
   * What a model takes: its weights as precise as the whole budget allows, a KV cache for 16,384
   * positions (or for `context`), and scratch. One whose experts are offloaded takes all that there
   * is. Reads headers only.
   * @throws WeightsError as open(); MemoryError for a model that the budget cannot hold
   */
  measure(where: string): Promise<ModelNeed>;
}

/**
 * @param options of all models; `ram` and `gpuMemory` are the budget
 * @throws RequestError, DeviceError as open()
 */
export async function shareBudget(options: OpenOptions, platform: Platform): Promise<SharedBudget> {
  checkOptions(options);
  const computes = await whatComputes(options, platform);
  const main = mainBudget(options, computes, platform.ram);
  const ram = computes ? (options.ram ?? platform.ram) : main;
  const gpu = computes ? main : 0;
  return {
    ram,
    gpu,
    async measure(where) {
      const { files, file } = await platform.files(where);
      try {
        const folder = await openFolder(files, file);
        const architecture = readArchitecture(folder.config, `${folder.label}/config.json`, options);
        checkStored(where, architecture, options);
        const sources = await settleSources(bindSources(architecture, folder.source));
        const asked = options.context;
        const within = asked === undefined ? {} : { context: Math.min(asked, architecture.context) };
        const own = { ...options, ...within };
        const { context, formats, plan, bytes } = planOpening(architecture, sources, own, computes, platform.ram);
        const taken = bytes(Math.min(context, asked ?? SHARED_POSITIONS));
        const need = computes ? { ram: plan.tiers ? ram : 0, gpu: taken } : { ram: taken, gpu: 0 };
        return {
          ...need,
          weights: footprintOf(sources, formats(plan.weights)).weights,
          kept: architecture.stored !== null || [...ownFormats(sources)].some((format) => format !== undefined),
          context,
          options: { ...within, ram: computes ? ram : taken, ...(computes && { gpuMemory: taken }) },
        };
      } finally {
        await files.close();
      }
    },
  };
}

async function whatComputes(options: OpenOptions, platform: Platform): Promise<Computes> {
  const gpu = await chooseGpu(options, platform);
  if (gpu === null) return null;
  await gpu.release();
  return { software: gpu.software };
}
