// What the tiers above ask of the tier in RAM.

import type { ExpertUse, HostExperts } from "../backend/experts.ts";

/** Why a record is moved. */
export type Cause = "demand" | "prefetch" | "admission";

/** Experts in RAM, as many as its slots hold, and on disk behind them. */
export interface HostTier {
  readonly experts: HostExperts;
  /** A step's uses of the layer that come to this tier are known: once a step, before acquire(). */
  begin(layer: number, use: readonly ExpertUse[], tokens: number): void;
  /** Whether the record is in RAM now. */
  has(layer: number, expert: number): boolean;
  /**
   * The slot that holds the record, pinned until release(): at once if it is in RAM, else read from disk. Several are read at a
   * time; a second asker shares the read. Waits where all slots are pinned.
   * @throws WeightsError where it cannot be read, the signal's reason; nothing is pinned then
   */
  acquire(layer: number, expert: number, cause: Cause, signal?: AbortSignal): Promise<number>;
  release(layer: number, expert: number): void;
}
