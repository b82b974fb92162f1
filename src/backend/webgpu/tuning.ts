// Which form of the kernels for few rows is used: arithmetic, workgroup size, teams. What is best depends on the adapter.

import type { Precision } from "../../tensor/types.ts";
import type { Arithmetic } from "./shader.ts";

/** A form of the matrix-vector kernels: kernels/lib/matvec_*.wgsl. */
export interface Form {
  readonly arithmetic: Arithmetic;
  /** Invocations of a workgroup, a power of two. */
  readonly threads: number;
  /** Teams that they are divided into, each with eight rows of its own; a power of two. */
  readonly teams: number;
}

export class Tuning {
  readonly #arithmetic: Arithmetic;

  constructor(arithmetic: Arithmetic) {
    this.#arithmetic = arithmetic;
  }

  /** Of a matrix whose rows are `groups` groups of 32. */
  matvec(precision: Precision, groups: number): Form {
    const arithmetic = this.#arithmetic === "f16" && precision !== "f32" ? "f16" : "f32";
    return { arithmetic, threads: groups <= 8 ? 32 : 64, teams: 1 };
  }

  /** Of a layer's experts. `int8`: activations are rounded already, or must not be. */
  experts(precision: Precision, groups: number, int8?: boolean): Form {
    const quantized = precision === "q8" || precision === "q4";
    if (int8 ?? (this.#arithmetic === "int8" && quantized)) return { arithmetic: "int8", threads: 256, teams: 8 };
    return this.matvec(precision, groups);
  }
}
