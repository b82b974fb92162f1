// The verbs of layers that remember a sequence in a state of fixed size, not in keys and values by
// position: short convolutions and the gated delta rule.
//
// A state cannot go back: it holds all that its sequence has been through. So a sequence's tokens
// come in order, each once, and what goes back starts from a copy that was made in time
// (engine/states.ts).

import type { DeltaShape } from "../tensor/delta_shape.ts";
import type { Tensor, Vector } from "../tensor/types.ts";

/** A depthwise causal convolution over positions. Its state: [taps - 1, C]. */
export interface Conv {
  readonly channels: number; // C
  readonly taps: number;
  /** [taps, C], the oldest row's first. */
  readonly weights: Vector;
  /**
   * False: silu(w * x) of x [T, C]. True: of [T, 3 C], B, C and x side by side, C ⊙ (w * (B ⊙ x)).
   */
  readonly gated: boolean;
}

/** A gated delta rule. Its state: [Hv, dk, dv]. */
export interface Delta extends DeltaShape {
  readonly aLog: Vector; // [Hv]
  readonly dtBias: Vector; // [Hv]
}

/**
 * The states of sequences: a slot has one f32 array of each of the sizes in KvGeometry.states. A
 * sequence that begins at position 0 overwrites what its slot had.
 */
export interface StateStore {
  readonly slots: number;
  /** Bytes of a slot. */
  readonly slotBytes: number;
  /**
   * Ensures that slots below `slots` exist; keeps the contents of existing ones. Only between
   * steps.
   * @throws MemoryError if the backend cannot allocate them
   */
  reserve(slots: number): Promise<void>;
  /** Copies a slot that no step in flight writes to one that none uses. */
  copy(from: number, to: number): void;
  /** A slot's contents, the same on every backend: little-endian f32. Only between steps. */
  read(slot: number): Promise<Uint8Array>;
  /** Writes contents returned by read(). @throws RequestError for another size */
  write(slot: number, bytes: Uint8Array): Promise<void>;
  close(): void;
}

/**
 * Verbs of Ops that not every backend has. Rows of a sequence are adjacent in the batch, in order
 * of position; Batch.states names its slot. `part`: the number of the state in KvGeometry.states.
 */
export interface RecurrentVerbs {
  /** The convolution of each sequence's rows: [T, C]. */
  conv(states: StateStore, part: number, x: Tensor, w: Conv): Tensor;
  /**
   * The delta rule over each sequence's rows: [T, Hv dv].
   * @param qkv [T, 2 Hk dk + Hv dv], not normed @param gates [T, 2 Hv]: b, then a, of each value
   * head
   */
  delta(states: StateStore, part: number, qkv: Tensor, gates: Tensor, w: Delta): Tensor;
  /** x ⊙ sigmoid(g), in x's storage. */
  gate(x: Tensor, g: Tensor): Tensor;
  /** The RMS norm of x, of as many values at a time as w has, ⊙ silu(g), in x's storage. */
  gatedNorm(x: Tensor, g: Tensor, w: Vector, eps: number): Tensor;
}

/** The rows of one sequence in a batch. */
export interface Run {
  readonly first: number;
  readonly rows: number;
  readonly slot: number;
  /** They begin at position 0. */
  readonly fresh: boolean;
}
