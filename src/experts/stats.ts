// Statistics of offloaded experts since the model was opened: hits, misses, bytes and times.

import type { CacheCounters, LayerCache } from "./layer_cache.ts";

/**
 * One layer of a tier. Counts an expert once for each step that uses it: routed = hits + misses.
 */
export interface LayerStats extends Readonly<CacheCounters> {
  /** Experts that steps used. */
  readonly routed: number;
  /** Experts that have a slot now. */
  readonly residents: readonly number[];
}

/** A tier: the slots of a GPU, or RAM. */
export interface TierStats {
  /** Resident experts of each layer; in RAM some layers have one more. */
  readonly slots: number;
  /** Of each layer. */
  readonly layers: readonly LayerStats[];
  /**
   * Bytes moved into the tier, by cause. `wasted` is the part of `prefetch` that was never used.
   */
  readonly bytes: Readonly<Record<"demand" | "admission" | "prefetch" | "wasted", number>>;
}

/** What offloading has done since the model was opened. */
export interface ExpertStats {
  /** Experts of a layer. */
  readonly experts: number;
  /** Bytes of one expert; of the largest if layers differ. */
  readonly recordBytes: number;
  /** The tier that computes: a GPU's slots, or RAM on the CPU backend. */
  readonly main: TierStats;
  /** RAM behind a GPU. */
  readonly ram: TierStats | null;
  /**
   * Experts that had to be packed, kept on disk while the model is open. `refused`: why no more of
   * them are kept, so that they are packed again whenever they are read. Null: none had to be.
   */
  readonly packed: { readonly bytes: number; readonly refused: string | null } | null;
  /**
   * Times in ms. stall: waiting for a record; sync: waiting for the routes; disk: reads in flight.
   */
  readonly ms: Readonly<Record<"stall" | "sync" | "upload" | "disk" | "hostCompute", number>>;
}

export function layerStats(caches: readonly LayerCache[]): LayerStats[] {
  return caches.map((cache) => {
    const { hits, misses, admissions } = cache.counters;
    return { routed: hits + misses, hits, misses, admissions, residents: [...cache.residents].sort((a, b) => a - b) };
  });
}
