// One model of a pool: what is known of it, who holds it and who waits for it.

import type { Memory, Place } from "./memory.ts";
import type { Lease, Phase, PoolModel } from "./types.ts";

/** A request that waits for a model. */
export interface Waiter<M> {
  /** Place in the order of arrival among all models' requests. */
  readonly order: number;
  readonly resolve: (lease: Lease<M>) => void;
  readonly reject: (error: unknown) => void;
  /** Called when it no longer waits. */
  readonly stay: () => void;
}

export class Entry<M> {
  readonly source: PoolModel<M>;
  phase: "unloaded" | "measuring" | "loading" | "ready" | "unloading" = "unloaded";
  need: Memory | null = null;
  /** `need` is measured again before the next load: what is on the disk may have changed. */
  stale = true;
  model: M | null = null;
  /** Requests that hold the model. */
  leases = 0;
  /** In order of arrival. */
  readonly waiters = new Set<Waiter<M>>();
  /** Takes no further requests: another model gets its room. */
  leaving = false;
  progress = 0;
  loads = 0;
  failure: { readonly error: unknown; readonly at: number } | null = null;
  /** By the clock, in milliseconds. */
  grantedAt = 0;
  endedAt = 0;
  /** Until then it may take requests even if others wait for its room. */
  turnEnds = 0;
  /** How long it stays without requests, in place of the pool's own setting. */
  keepMs: number | null = null;

  constructor(source: PoolModel<M>) {
    this.source = source;
  }

  get id(): string {
    return this.source.id;
  }

  /** Whether a request gets the model at once. */
  get open(): boolean {
    return this.phase === "ready" && !this.leaving;
  }

  /** A model that requests wait for counts as being loaded, also while it waits for room. */
  get phaseNow(): Phase {
    if (this.phase !== "unloaded" && this.phase !== "measuring") return this.phase;
    if (this.waiters.size > 0) return "loading";
    return this.failure ? "failed" : "unloaded";
  }

  get idle(): boolean {
    return this.phase === "ready" && this.leases === 0;
  }

  /** The place of the longest waiting request in the order of arrival. */
  get firstOrder(): number {
    for (const { order } of this.waiters) return order;
    return Number.POSITIVE_INFINITY;
  }

  /** When it is to be unloaded if it stays idle. */
  expires(idleMs: number): number {
    return this.source.pinned ? Number.POSITIVE_INFINITY : this.endedAt + (this.keepMs ?? idleMs);
  }

  place(now: number): Place {
    if (this.phase === "unloaded" || this.phase === "measuring") return "out";
    if (this.phase === "unloading") return "leaving";
    const stays = this.phase === "loading" || this.source.pinned || (this.leases > 0 && now < this.turnEnds);
    return stays ? "fixed" : "movable";
  }

  /**
   * Order in which models leave: idle ones by their last use; then those that are leaving already,
   * so that the choice does not change while they finish; then by the last request that they got.
   */
  leavesBefore(other: Entry<M>): number {
    if (this.idle !== other.idle) return this.idle ? -1 : 1;
    if (this.idle) return this.endedAt - other.endedAt;
    if (this.leaving !== other.leaving) return this.leaving ? -1 : 1;
    return this.grantedAt - other.grantedAt;
  }

  begin(): void {
    this.phase = "loading";
    this.loads++;
    this.progress = 0;
    this.failure = null;
  }

  /** @param turnMs for how long it may take requests even if others wait */
  loaded(model: M, now: number, turnMs: number): void {
    this.phase = "ready";
    this.model = model;
    this.leaving = false;
    this.grantedAt = now;
    this.endedAt = now;
    this.turnEnds = now + turnMs;
  }

  /** Returns the model, to which the entry then refers no more. */
  leave(): M {
    const model = this.model!;
    this.phase = "unloading";
    this.model = null;
    return model;
  }

  unloaded(): void {
    this.phase = "unloaded";
    this.stale = true;
    this.progress = 0;
    this.leaving = false;
    this.keepMs = null;
  }
}
