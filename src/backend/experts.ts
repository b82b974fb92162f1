// Experts that come and go: what a backend offers (places for their records, arithmetic on them) and what it asks of the
// residency in src/experts, which decides who is where.

import type { ExpertShape } from "../tensor/record.ts";
import type { ExpertSource } from "../tensor/types.ts";

/** An expert that tokens of a step go to, and how many. */
export interface ExpertUse {
  readonly expert: number;
  readonly tokens: number;
}

/** Who uses which experts, in ascending order of expert. @param ids experts of each token [T, K] */
export function usesOf(ids: Iterable<number>): ExpertUse[] {
  const tokens = new Map<number, number>();
  for (const id of ids) tokens.set(id, (tokens.get(id) ?? 0) + 1);
  return [...tokens].map(([expert, n]) => ({ expert, tokens: n })).sort((a, b) => a.expert - b.expert);
}

/** Equal slots in host memory, each for the record of an expert, and the arithmetic on them (the CPU backend's). */
export interface HostExperts {
  readonly shape: ExpertShape;
  readonly slots: number;
  /** Of one record: recordLayout(shape).bytes. */
  readonly recordBytes: number;
  /** The bytes of a slot [recordBytes], to read a record into or to upload one from. */
  slot(slot: number): Uint8Array;
  /** Packs an expert that no file holds as a record into a slot. One at a time. @throws WeightsError, the signal's reason */
  convert(source: ExpertSource, slot: number, signal?: AbortSignal): Promise<void>;
  /**
   * y [T, D] += share * w2(silu(w1 x) * (w3 x)) for rows `tokens` [n] of x [T, D], on all threads; returns when done.
   * @throws DeviceError if a thread has failed
   */
  compute(slot: number, x: Float32Array, tokens: Uint32Array, shares: Float32Array, y: Float32Array): void;
  close(): void;
}

/** Who has experts in host memory: asked by the CPU backend's moe(). */
export interface HostStore {
  /**
   * Calls `compute` once for each expert in use, in any order, one at a time, when its record is in `slot`, where it stays
   * until `compute` has ended.
   * @param x the step's rows [T, D] as the experts get them: what the next layer's choice is guessed from
   * @throws WeightsError for a record that cannot be read, the signal's reason
   */
  visit(
    layer: number,
    use: readonly ExpertUse[],
    x: Float32Array,
    compute: (expert: number, slot: number) => void | Promise<void>,
    signal?: AbortSignal,
  ): Promise<void>;
}

/** Where a record can be in device memory: one of a layer's own slots, or a transit slot, which all layers share. */
export type DevicePlace = { readonly layer: number; readonly slot: number } | { readonly transit: number };

/** In a table of slots: the expert is in none. */
export const NO_SLOT = 0xffffffff;

/** Slots for experts in device memory (WebGPU). Writes and tables take effect in the order of the calls and of moe(). */
export interface DeviceExperts {
  readonly shape: ExpertShape;
  readonly layers: number;
  /** Of each layer. */
  readonly slots: number;
  readonly transit: number;
  readonly recordBytes: number;
  /** Bytes of device memory that all of it takes. */
  readonly bytes: number;
  /** Writes part of a record, from byte `offset` of it (a multiple of 4, as is the length). */
  write(place: DevicePlace, offset: number, bytes: Uint8Array): void;
  /** Which of the layer's slots each expert is in [E], NO_SLOT for none; at first all are in none. */
  setTable(layer: number, slots: Uint32Array): void;
  /** Resolves when the device has done all that it was given. @throws DeviceError, MemoryError */
  drained(): Promise<void>;
}

/** One layer's experts in one step, once the host knows the routes. The device is computing those in its slots meanwhile. */
export interface DeviceMoe {
  readonly layer: number;
  readonly ids: Uint32Array; // [T, K]
  readonly weights: Float32Array; // [T, K]
  readonly x: Float32Array; // [T, D]
  readonly signal?: AbortSignal | undefined;
  /** Adds the outputs of experts that have been written to transit slots: expert -> transit slot. Submitted at once. */
  addTransit(places: ReadonlyMap<number, number>): void;
  /** The same for experts that were written to slots of the layer's own, and to the table, since the step began: expert -> slot. */
  addOwn(slots: ReadonlyMap<number, number>): void;
  /** Adds rows that the host has computed [T, D]. At most once. */
  addHost(y: Float32Array): void;
}

/** Decides what becomes of experts that are in none of the layer's device slots: asked by the WebGPU backend's moe(). */
export interface DeviceScheduler {
  /** The layer's step is about to be recorded: the table of slots must hold for it now. */
  prepare(layer: number): void | Promise<void>;
  /** Adds what the layer's slots lack. @throws WeightsError, DeviceError, the signal's reason */
  misses(step: DeviceMoe): Promise<void>;
}
