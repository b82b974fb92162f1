// Offloaded experts: what a backend offers (slots for records, arithmetic on them), and the
// interfaces through which it asks src/experts, which decides where each expert is.

import type { Gating } from "../tensor/activation.ts";
import type { ExpertShape } from "../tensor/record.ts";
import type { ExpertSource } from "../tensor/types.ts";

/** An expert that tokens of a step go to, and how many. */
export interface ExpertUse {
  readonly expert: number;
  readonly tokens: number;
}

/** Groups ids by expert, ascending. @param ids experts of each token [T, K] */
export function usesOf(ids: Iterable<number>): ExpertUse[] {
  const tokens = new Map<number, number>();
  for (const id of ids) tokens.set(id, (tokens.get(id) ?? 0) + 1);
  return [...tokens].map(([expert, n]) => ({ expert, tokens: n })).sort((a, b) => a.expert - b.expert);
}

/** What one expert does besides its matrices, for the host: ExpertRule in ops.ts. */
export interface HostRule {
  readonly gating: Gating;
  readonly down: Float32Array | null; // [D]: the bias of w2
}

/** How an expert is read that is converted. */
export interface ConvertHow {
  readonly signal?: AbortSignal | undefined;
  /** Reads blocks of a file past the page cache, if possible. */
  readonly bypass?: boolean;
  /** Of experts in blocks: told of bytes as they are asked of the disk. */
  readonly asks?: ((bytes: number) => void) | undefined;
  /** Of experts in blocks: what lies in the working memory of one lane does not disturb another. */
  readonly lane?: 0 | 1;
  /** Of experts in blocks: called when the last of them was asked for, so that the disk is free. */
  readonly asked?: (() => void) | undefined;
}

/** Equal slots in host memory, each for an expert's record, and the CPU's arithmetic on them. */
export interface HostExperts {
  readonly shape: ExpertShape;
  readonly slots: number;
  /** Bytes of one record: recordLayout(shape).bytes. */
  readonly recordBytes: number;
  /** The bytes of a slot [recordBytes], to read a record into or to upload it from. */
  slot(slot: number): Uint8Array;
  /**
   * Converts an expert that is not stored as a record into a slot. One at a time, or two of
   * experts in blocks of the slots' formats, in lanes of their own.
   * @throws WeightsError, the signal's reason
   */
  convert(source: ExpertSource, slot: number, how?: ConvertHow): Promise<void>;
  /**
   * y [T, D] += share * w2(silu(w1 x) * (w3 x)) for rows `tokens` [n] of x [T, D], on all threads;
   * returns when done. @param order [D] of the inputs of w1 and w3, if they are not x as it is
   * @param rule of the expert, if it is not silu without biases
   * @throws DeviceError if a thread has failed
   */
  compute(
    slot: number,
    x: Float32Array,
    tokens: Uint32Array,
    shares: Float32Array,
    y: Float32Array,
    order?: Uint32Array,
    rule?: HostRule,
  ): void;
  close(): void;
}

/** Provides experts in host memory to the CPU backend's moe(). */
export interface HostStore {
  /**
   * Calls `compute` once for each expert in use, in any order, one at a time, when its record is in
   * `slot`. The record stays there until `compute` has ended.
   * @param x the experts' input rows [T, D], from which the next layer's experts are predicted
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

/**
 * A place in device memory: one of a layer's own slots, or a transit slot, which all layers share.
 */
export type DevicePlace = { readonly layer: number; readonly slot: number } | { readonly transit: number };

/** In a table of slots: the expert is in no slot. */
export const NO_SLOT = 0xffffffff;

/**
 * Slots for experts in device memory (WebGPU). Writes, tables and moe() take effect in call order.
 */
export interface DeviceExperts {
  readonly shape: ExpertShape;
  readonly layers: number;
  /** Slots of each layer. */
  readonly slots: number;
  readonly transit: number;
  readonly recordBytes: number;
  /** All bytes of device memory. */
  readonly bytes: number;
  /** Writes a part of a record from its byte `offset`; offset and length are multiples of 4. */
  write(place: DevicePlace, offset: number, bytes: Uint8Array): void;
  /** Sets the slot of each expert [E], NO_SLOT for none; initially all are in none. */
  setTable(layer: number, slots: Uint32Array): void;
  /** Resolves when the device has finished all submitted work. @throws DeviceError, MemoryError */
  drained(): Promise<void>;
}

/**
 * One layer's step after the host knows the routes. The device computes its residents meanwhile.
 */
export interface DeviceMoe {
  readonly layer: number;
  readonly ids: Uint32Array; // [T, K]
  readonly weights: Float32Array; // [T, K]
  readonly x: Float32Array; // [T, D]
  /** The order in which an expert takes the columns of x [D]; undefined: as they are. */
  orderOf(expert: number): Uint32Array | undefined;
  /** What an expert does besides its matrices; undefined: silu without biases. */
  ruleOf(expert: number): HostRule | undefined;
  readonly signal?: AbortSignal | undefined;
  /**
   * Adds the outputs of experts in transit slots: expert -> transit slot. Submitted immediately.
   */
  addTransit(places: ReadonlyMap<number, number>): void;
  /**
   * The same for experts that were admitted to the layer's own slots during the step:
   * expert -> slot.
   */
  addOwn(slots: ReadonlyMap<number, number>): void;
  /** Adds rows that the host has computed [T, D]. At most once a step. */
  addHost(y: Float32Array): void;
}

/** Handles the cache misses of the WebGPU backend's moe(). */
export interface DeviceScheduler {
  /** Called before a layer's step is encoded: the slot table must be final for it now. */
  prepare(layer: number): void | Promise<void>;
  /** Adds the outputs of missing experts. @throws WeightsError, DeviceError, the signal's reason */
  misses(step: DeviceMoe): Promise<void>;
}
