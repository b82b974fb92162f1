// What SimdOps is made of, and what is behind its handles.

import type { Tensor } from "../../tensor/types.ts";
import type { ExpertRule, Experts, HeadMatrices, InputOrder, Matrix, Observer, Vector } from "../ops.ts";
import type { Heap } from "./heap.ts";
import type { InstructionSet } from "./instruction_set.ts";
import type { KernelModules } from "./modules.ts";
import type { Pool } from "./pool.ts";
import type { HeapLimits } from "./simd_heaps.ts";
import type { ExpertMatrices, SimdMatrix } from "./simd_load.ts";
import type { SimdRule } from "./simd_products.ts";

export interface SimdOptions {
  readonly maxTokens: number;
  readonly deviceName: string;
  readonly instructions: InstructionSet;
  readonly activations: "int8" | "f32";
  readonly observer?: Observer | undefined;
  readonly modules: KernelModules;
  readonly home: Heap;
  readonly pool: Pool;
  readonly limits?: Partial<HeapLimits> | undefined;
}

/** A value of a step. */
export interface SimdTensor extends Tensor {
  /** Address in the home heap of the values, row by row without padding. */
  readonly at: number;
  readonly integers: boolean; // u32, not f32
}

export interface LoadedMatrix extends Matrix {
  readonly packed: SimdMatrix;
}

export interface SimdHeads extends HeadMatrices {
  readonly matrices: readonly SimdMatrix[]; // [H], in one heap
}

export interface SimdVector extends Vector {
  readonly at: number;
}

export interface SimdOrder extends InputOrder {
  /** Address in the home heap of [count, cols] u32. */
  readonly at: number;
}

export interface SimdExperts extends Experts {
  /** How many layers' experts were loaded before. */
  readonly layer: number;
  readonly matrices: readonly ExpertMatrices[]; // [E]
}

/** Its address. */
export function at(x: Tensor): number {
  return (x as SimdTensor).at;
}

/** A layer's rule by addresses; null for silu without biases. */
export function ruleAt(rule: ExpertRule | undefined): SimdRule | null {
  if (!rule || (rule.activation === "silu" && rule.biases === null)) return null;
  const { activation, limit, biases } = rule;
  const of = (vector: Vector | undefined): number => (vector ? (vector as SimdVector).at : 0);
  return { activation, limit, up: of(biases?.up), down: of(biases?.down) };
}

/** Rows and columns. */
export function sizes(x: Tensor): readonly [number, number] {
  return [x.shape[0]!, x.shape[1]!];
}
