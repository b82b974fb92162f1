// What a model pool is given, and what it gives.

import type { Memory } from "./memory.ts";

/** A model that a pool may load. */
export interface PoolModel<M> {
  readonly id: string;
  /** Never unloaded to make room, nor because it is idle. */
  readonly pinned: boolean;
  /** What it takes in memory. @throws where it cannot be loaded at all */
  measure(): Promise<Memory>;
  /** @param onProgress takes the part that is loaded, 0 to 1 */
  load(need: Memory, onProgress: (part: number) => void, signal: AbortSignal): Promise<M>;
  /** Resolves when it is closed. */
  unload(model: M): Promise<void>;
}

/** Time, so that tests can let it pass. */
export interface Clock {
  /** Milliseconds. */
  now(): number;
  /** Calls `work` once after `ms`; returns a function that prevents it. */
  after(ms: number, work: () => void): () => void;
}

export type PoolEvent = "loading" | "loaded" | "failed" | "unloading" | "unloaded";

export interface PoolOptions {
  readonly budget: Memory;
  /** A model without requests for so long is unloaded. Default: never. */
  readonly idleMs?: number;
  /** Most requests that wait for one model; default: any number. */
  readonly mostWaiting?: number;
  /** The error for a model that `room` cannot hold: the budget less what pinned models take. */
  readonly tooLarge: (id: string, need: Memory, room: Memory) => Error;
  /** Called when no reference to an unloaded model is left. Resolves when its memory is free. */
  readonly reclaim?: () => Promise<void>;
  readonly clock: Clock;
  readonly onEvent?: (
    event: PoolEvent,
    id: string,
    details: { readonly ms?: number; readonly error?: unknown },
  ) => void;
}

/** A model that stays loaded until release(). */
export interface Lease<M> {
  readonly model: M;
  /** Further calls do nothing. */
  release(): void;
}

export type Phase = "unloaded" | "loading" | "ready" | "unloading" | "failed";

/** A model's state at this moment. */
export interface PoolStatus<M> {
  readonly phase: Phase;
  /** The part that is loaded, while it is being loaded. */
  readonly progress: number;
  /** Why the last attempt to load it failed. */
  readonly error: unknown;
  /** Null until it was measured. */
  readonly need: Memory | null;
  readonly model: M | null;
  /** Requests that hold it, and that wait for it. */
  readonly held: number;
  readonly waiting: number;
  /** How often it was begun to load. */
  readonly loads: number;
  /** When it will be unloaded if no request comes, by the clock; null: not by itself. */
  readonly expires: number | null;
}
