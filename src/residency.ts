// Joins the tiers that experts are kept in: slots of a backend, the records of a weights source, the policy between them.

import type { Experts, Ops } from "./backend/ops.ts";
import type { Tiers } from "./engine/budget.ts";
import { Ewma } from "./experts/ewma.ts";
import { nextGateGuess } from "./experts/guess.ts";
import { RamTier } from "./experts/ram_tier.ts";
import { recordReader } from "./experts/records.ts";
import { type ExpertStats, layerStats } from "./experts/stats.ts";
import { scoresFromText, scoresToText } from "./experts/warm_start.ts";
import type { MixtralSources } from "./model/mixtral.ts";
import type { MixtralConfig } from "./model/mixtral_config.ts";
import type { Precision } from "./tensor/types.ts";

/** Where a model's experts are, if not all of them are where steps are computed. */
export interface Residency {
  /** For loadMixtral(). */
  experts(layer: number): Experts;
  stats(): ExpertStats;
  /** Ends reads that are under way, and keeps what was learned. */
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
  readonly precision: Precision;
  readonly tiers: Tiers;
  readonly learned: { readonly store: LearnedStore; readonly name: string };
}

/** Tiers of the CPU backend: RAM, and the disk behind it. @throws MemoryError, WeightsError */
export async function cpuResidency(ops: Ops, options: ResidencyOptions): Promise<Residency> {
  const { config, sources, precision, tiers, learned } = options;
  const { num_hidden_layers: L, num_local_experts: E } = config;
  const shape = { count: E, hidden: config.hidden_size, intermediate: config.intermediate_size, precision };
  const slots = await ops.expertSlots!(shape, L * tiers.slots + tiers.transit);
  const seeds = scoresFromText(await learned.store.read(learned.name), L, E);
  const policies = Array.from({ length: L }, (_, layer) => new Ewma(E, undefined, seeds?.[layer]));
  const guess = await nextGateGuess(sources.layers, config.num_experts_per_tok);
  const tier = new RamTier({
    experts: slots,
    layers: L,
    quota: tiers.slots,
    policy: (layer) => policies[layer]!,
    read: recordReader(
      sources.layers.map(({ experts }) => experts),
      slots,
    ),
    guess,
    clock: () => performance.now(),
  });
  return {
    experts: (layer) => ops.storedExperts!(layer, slots, tier),
    stats() {
      const { demandBytes, admissionBytes, prefetchBytes, wastedBytes, stallMs, diskMs, computeMs } = tier.counters;
      return {
        experts: E,
        recordBytes: slots.recordBytes,
        main: {
          slots: tiers.slots,
          layers: layerStats(tier.caches),
          bytes: { demand: demandBytes, admission: admissionBytes, prefetch: prefetchBytes, wasted: wastedBytes },
        },
        ram: null,
        ms: { stall: stallMs, sync: 0, upload: 0, disk: diskMs, hostCompute: computeMs },
      };
    },
    async close() {
      await tier.close();
      await learned.store.write(learned.name, scoresToText(policies.map(({ scores }) => [...scores])));
    },
  };
}
