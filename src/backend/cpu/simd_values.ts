// What is behind the handles of SimdOps.

import type { Tensor } from "../../tensor/types.ts";
import type { Experts, InputOrder, Matrix, Vector } from "../ops.ts";
import type { ExpertMatrices, SimdMatrix } from "./simd_load.ts";

/** A value of a step. */
export interface SimdTensor extends Tensor {
  /** Address in the home heap of the values, row by row without padding. */
  readonly at: number;
  readonly integers: boolean; // u32, not f32
}

export interface LoadedMatrix extends Matrix {
  readonly packed: SimdMatrix;
}

export interface SimdVector extends Vector {
  readonly at: number;
}

export interface SimdOrder extends InputOrder {
  /** Address in the home heap of [count, cols] u32. */
  readonly at: number;
}

export interface SimdExperts extends Experts {
  readonly matrices: readonly ExpertMatrices[]; // [E]
}

/** Its address. */
export function at(x: Tensor): number {
  return (x as SimdTensor).at;
}

/** Rows and columns. */
export function sizes(x: Tensor): readonly [number, number] {
  return [x.shape[0]!, x.shape[1]!];
}
