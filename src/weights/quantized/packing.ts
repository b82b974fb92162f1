// How a quantization method stores a matrix: which tensors stand for `x.weight`, and the matrix
// that they make.

import type { Kept } from "../../tensor/kept.ts";
import type { MatrixSource, StoredTensor } from "../../tensor/types.ts";
import type { Levels } from "./affine.ts";

/** The tensors of one matrix, by the endings of their names. */
export interface Parts {
  /** The name that families ask for, `x.weight`. */
  readonly name: string;
  has(ending: string): boolean;
  /** @throws WeightsError if it is missing */
  get(ending: string): StoredTensor;
  /** Whether a family takes the tensor by itself. */
  isTaken(ending: string): boolean;
}

export interface Packing {
  /** What `hotset inspect` says, such as "AWQ, 4 bits, groups of 128". */
  readonly label: string;
  /**
   * Endings of the tensors beside or in place of `x.weight`; where the first exists, `x` is
   * quantized.
   */
  readonly endings: readonly [mark: string, ...others: string[]];
  /** [rows, cols]. @throws WeightsError for tensors that do not fit together */
  shape(parts: Parts): readonly [number, number];
  /** @throws WeightsError for tensors that do not fit together */
  matrix(parts: Parts, kept: Kept<Levels>): MatrixSource;
}
