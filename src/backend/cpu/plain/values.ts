// What is behind the plain CPU backend's handles.

import type { Packed } from "../../../../kernels/packed.ts";
import type { Tensor } from "../../../tensor/types.ts";
import type { Experts, Ffn, HeadMatrices, InputOrder, Matrix, Vector } from "../../ops.ts";
import type { CpuTensor } from "./arena.ts";

export interface CpuMatrix extends Matrix {
  readonly packed: Packed;
  readonly bias: Float32Array | null;
}

export interface CpuVector extends Vector {
  readonly data: Float32Array;
}

/** One matrix a head. */
export interface CpuHeads extends HeadMatrices {
  readonly packed: readonly Packed[]; // [H]
}

export interface CpuOrder extends InputOrder {
  readonly lists: Uint32Array;
}

export interface CpuExperts extends Experts {
  readonly w13: readonly Packed[]; // [2F, D] each, rows of w1 and w3 in turn
  readonly w2: readonly Packed[]; // [D, F] each
}

export interface CpuFfn extends Ffn {
  /** Names of w1 and w2, for an observer. */
  readonly names: readonly [up: string, down: string];
  readonly w13: Packed; // [2F, D], rows of w1 and w3 in turn
  readonly w2: Packed; // [D, F]
}

export function floats(x: Tensor): Float32Array {
  return (x as CpuTensor).data as Float32Array;
}

export function rowsOf(x: Tensor): number {
  return x.shape[0]!;
}
