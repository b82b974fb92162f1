// What became of experts where not all of them are where steps are computed: counts since the model was opened.

import type { CacheCounters, LayerCache } from "./layer_cache.ts";

/** One layer in one tier. A use is an expert that a step sends tokens to: routed = hits + misses. */
export interface LayerStats extends Readonly<CacheCounters> {
  readonly routed: number;
  /** Experts that have a slot now. */
  readonly residents: readonly number[];
}

/** A tier: the slots of a GPU, or RAM. */
export interface TierStats {
  /** Experts of each layer that it keeps; in RAM some layers keep one more. */
  readonly slots: number;
  readonly layers: readonly LayerStats[];
  /** Bytes of records that were moved into it, by cause. `wasted` is the part of `prefetch` that nobody used. */
  readonly bytes: Readonly<Record<"demand" | "admission" | "prefetch" | "wasted", number>>;
}

export interface ExpertStats {
  /** Of a layer. */
  readonly experts: number;
  readonly recordBytes: number;
  /** Where steps are computed: a GPU's slots, or RAM on the CPU backend. */
  readonly main: TierStats;
  /** RAM behind a GPU. */
  readonly ram: TierStats | null;
  /** Time in ms. stall: nothing to compute until a record arrived; sync: until the routes arrived; disk: reads under way. */
  readonly ms: Readonly<Record<"stall" | "sync" | "upload" | "disk" | "hostCompute", number>>;
}

export function layerStats(caches: readonly LayerCache[]): LayerStats[] {
  return caches.map((cache) => {
    const { hits, misses, admissions } = cache.counters;
    return { routed: hits + misses, hits, misses, admissions, residents: [...cache.residents].sort((a, b) => a - b) };
  });
}
