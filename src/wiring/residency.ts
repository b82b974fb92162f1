// Joins the tiers that experts are kept in: slots of a backend, the records of a weights source, the policies between them.

import { type CpuOptions, createCpuExperts } from "../backend/cpu/cpu.ts";
import type { HostExperts } from "../backend/experts.ts";
import type { Experts, Ops } from "../backend/ops.ts";
import type { WebGpuOps } from "../backend/webgpu/webgpu.ts";
import type { Tiers } from "../engine/budget.ts";
import { AbTrial } from "../experts/ab_trial.ts";
import { calibrate } from "../experts/calibrate.ts";
import { CLOCK } from "../experts/clock.ts";
import { Costs } from "../experts/costs.ts";
import { difference } from "../experts/counters.ts";
import { DeviceTier } from "../experts/device_tier.ts";
import { Ewma } from "../experts/ewma.ts";
import { nextLayerPrediction, type Predict } from "../experts/prediction.ts";
import { RamTier } from "../experts/ram_tier.ts";
import { recordReader, type Spill } from "../experts/record_reader.ts";
import { type ExpertStats, layerStats, type TierStats } from "../experts/stats.ts";
import { type Scores, scoresFromText, scoresToText } from "../experts/warm_start.ts";
import type { MixtralSources } from "../model/mixtral.ts";
import type { MixtralConfig } from "../model/mixtral_config.ts";
import type { Format } from "../tensor/format.ts";
import type { ExpertShape } from "../tensor/record.ts";

/** Of reading past the page cache: tried soon, because it may be twice as fast, or half. */
const BYPASS = { window: 4, rounds: 3 } as const;

/** Where a model's experts are, if not all of them are where steps are computed. */
export interface Residency {
  /** For loadMixtral(). */
  experts(layer: number): Experts;
  stats(): ExpertStats;
  /** Forgets the steps so far: they were a warm-up. */
  clear(): void;
  /** Ends reads and uploads that are under way, and keeps what was learned. */
  close(): Promise<void>;
}

/** Where what a run has learned is kept. */
export interface LearnedStore {
  read(name: string): Promise<string | null>;
  write(name: string, text: string): Promise<void>;
}

export interface ResidencyOptions {
  readonly config: MixtralConfig;
  readonly sources: MixtralSources;
  readonly format: Format;
  readonly tiers: Tiers;
  /** Where experts are kept that had to be packed; null: nowhere. */
  readonly spill: Spill | null;
  readonly learned: { readonly store: LearnedStore; readonly name: string };
}

/** Tiers of the CPU backend: RAM, and the disk behind it. @throws MemoryError, WeightsError */
export async function cpuResidency(ops: Ops, options: ResidencyOptions): Promise<Residency> {
  const { config, sources, tiers } = options;
  const layers = config.num_hidden_layers;
  const slots = await ops.expertSlots!(shapeOf(options), layers * tiers.slots + tiers.extra + tiers.transit);
  const { policies, keep } = await learnedPolicies(options);
  const predict = await nextLayerPrediction(sources.layers, config.num_experts_per_tok);
  const tier = ramTier(slots, tiers, options, policies, predict);
  return {
    experts: (layer) => ops.storedExperts!(layer, slots, tier),
    stats() {
      const { stallMs, diskMs, computeMs } = tier.counters;
      return {
        experts: config.num_local_experts,
        recordBytes: slots.recordBytes,
        main: ramStats(tier, tiers.slots),
        ram: null,
        ms: { stall: stallMs, sync: 0, upload: 0, disk: diskMs, hostCompute: computeMs },
      };
    },
    clear() {
      tier.clear();
      policies.clear();
    },
    async close() {
      await tier.close();
      await options.spill?.close();
      await keep();
    },
  };
}

/**
 * Tiers of the WebGPU backend: slots on the device, RAM, and the disk behind that. Measures what moving and computing an expert
 * takes. @throws MemoryError, WeightsError, DeviceError
 */
export async function deviceResidency(
  ops: WebGpuOps,
  options: ResidencyOptions,
  cpu: Omit<CpuOptions, "maxTokens" | "deviceName">,
): Promise<Residency> {
  const { config, sources, tiers } = options;
  const layers = config.num_hidden_layers;
  const { slots, quota, extra } = tiers.ram!;
  const shape = shapeOf(options);
  const host = await createCpuExperts(shape, slots, cpu);
  const { policies, keep } = await learnedPolicies(options);
  const behind = new Policies(layers, shape.count, null);
  const ram = ramTier(host, { slots: quota, extra }, options, behind);
  try {
    const device = await ops.deviceExperts(shape, layers, tiers.slots, tiers.transit);
    let next = 0;
    const read = async (): Promise<number> => {
      const [layer, expert] = [next % layers, Math.floor(next / layers) % shape.count];
      next++;
      const slot = await ram.acquire(layer, expert, "demand");
      ram.release(layer, expert);
      return slot;
    };
    const costs = new Costs(await calibrate({ host, slot: await read(), device, clock: CLOCK, read }));
    const tier = new DeviceTier({
      device,
      ram,
      policy: policies.of,
      costs,
      clock: CLOCK,
      predict: await nextLayerPrediction(sources.layers, config.num_experts_per_tok),
      prefetchTrial: new AbTrial(),
    });
    let before = tier.counters.snapshot();
    return {
      experts: (layer) => ops.slottedExperts(layer, device, tier),
      stats() {
        const { bytes, ms } = difference(tier.counters.snapshot(), before);
        return {
          experts: shape.count,
          recordBytes: host.recordBytes,
          main: { slots: tiers.slots, layers: layerStats(tier.caches), bytes },
          ram: ramStats(ram, quota),
          ms: {
            stall: ms.stall + ms.disk,
            sync: ms.sync,
            upload: ms.upload,
            disk: ram.counters.diskMs,
            hostCompute: ms.host,
          },
        };
      },
      clear() {
        tier.clear();
        ram.clear();
        policies.clear();
        behind.clear();
        before = tier.counters.snapshot();
      },
      async close() {
        tier.close();
        await ram.close();
        host.close();
        await options.spill?.close();
        await keep();
      },
    };
  } catch (error) {
    await ram.close();
    host.close();
    await options.spill?.close();
    throw error;
  }
}

function shapeOf({ config, format }: ResidencyOptions): ExpertShape {
  const { num_local_experts: count, hidden_size: hidden, intermediate_size: intermediate } = config;
  return { count, hidden, intermediate, up: format, down: format };
}

/** A policy for each layer. */
class Policies {
  readonly #layers: readonly Ewma[];
  readonly #seeds: Scores | null;

  constructor(layers: number, experts: number, seeds: Scores | null) {
    this.#seeds = seeds;
    this.#layers = Array.from({ length: layers }, (_, layer) => new Ewma(experts, undefined, seeds?.[layer]));
  }

  readonly of = (layer: number): Ewma => this.#layers[layer]!;

  get scores(): number[][] {
    return this.#layers.map(({ scores }) => [...scores]);
  }

  /** Back to what they began with. */
  clear(): void {
    for (const [layer, { scores }] of this.#layers.entries()) scores.set(this.#seeds?.[layer] ?? scores.map(() => 0));
  }
}

/** A policy for each layer that begins with what earlier runs have learned, and what keeps it for the next one. */
async function learnedPolicies({ config, learned }: ResidencyOptions) {
  const { num_hidden_layers: L, num_local_experts: E } = config;
  const seeds = scoresFromText(await learned.store.read(learned.name), L, E);
  const policies = new Policies(L, E, seeds);
  const keep = (): Promise<void> => learned.store.write(learned.name, scoresToText(policies.scores));
  return { policies, keep };
}

function ramTier(
  experts: HostExperts,
  { slots: quota, extra }: Pick<Tiers, "slots" | "extra">,
  { config, sources, spill }: ResidencyOptions,
  policies: Policies,
  predict?: Predict,
): RamTier {
  return new RamTier({
    experts,
    layers: config.num_hidden_layers,
    quota,
    extra,
    policy: policies.of,
    read: recordReader(
      sources.layers.map((layer) => layer.experts),
      experts,
      spill,
    ),
    predict,
    prefetchTrial: new AbTrial(),
    // A copy out of the page cache takes a processor longer than the disk takes to give it to nobody; it pays where much is found there.
    bypassTrial: new AbTrial(BYPASS),
    clock: CLOCK.now,
  });
}

function ramStats({ caches, counters }: RamTier, slots: number): TierStats {
  const { demandBytes: demand, admissionBytes: admission, prefetchBytes: prefetch, wastedBytes: wasted } = counters;
  return { slots, layers: layerStats(caches), bytes: { demand, admission, prefetch, wasted } };
}
