// Records in RAM as the tiers above use them: pin one, compute with it or upload it, release it.

import type { ExpertUse, HostExperts } from "../backend/experts.ts";

/** Why a record is read or uploaded. */
export type Cause = "demand" | "prefetch" | "admission";

/** The experts' records: as many in RAM as there are slots, the others on disk. */
export interface RamRecords {
  readonly experts: HostExperts;
  /**
   * Starts a layer's step with the uses that this tier has to serve; before its acquire() calls.
   */
  begin(layer: number, use: readonly ExpertUse[], tokens: number): void;
  /** Whether the record is in RAM now. */
  has(layer: number, expert: number): boolean;
  /**
   * Pins the record until release() and returns its slot: at once on a hit, else after reading it
   * from disk. Several reads can be in flight; a second caller shares the first one's read. Waits
   * while all slots are pinned.
   * @throws WeightsError if the record cannot be read, the signal's reason; nothing is pinned then
   */
  acquire(layer: number, expert: number, cause: Cause, signal?: AbortSignal): Promise<number>;
  release(layer: number, expert: number): void;
}
