// What a tier in RAM has done.

/** What the tier has done since it was created. Times in ms. */
export interface RamCounters {
  /** Bytes read from disk (or packed), by cause. `wasted`: prefetched and overwritten
   * unused, or read in part and given up. */
  demandBytes: number;
  prefetchBytes: number;
  admissionBytes: number;
  wastedBytes: number;
  reads: number;
  /** Time with at least one read in flight. */
  diskMs: number;
  /** Time in which a step waited for a record and had nothing to compute. */
  stallMs: number;
  computeMs: number;
}

export const NOTHING: Readonly<RamCounters> = {
  demandBytes: 0,
  prefetchBytes: 0,
  admissionBytes: 0,
  wastedBytes: 0,
  reads: 0,
  diskMs: 0,
  stallMs: 0,
  computeMs: 0,
};
