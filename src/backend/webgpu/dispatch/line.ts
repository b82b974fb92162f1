// A line of the table of kernels (table.ts): what the backend knows of a kernel.

import type { Batch } from "../../ops.ts";
import type { Cost, Params, PartShape, Work } from "./cost.ts";

/** How a kernel sees a buffer: a uniform, a storage buffer that it reads, or one that it writes. */
export type Access = "uniform" | "read" | "write";

export interface KernelLine {
  readonly bindings: Readonly<Record<string, Access>>;
  /** Fields of its `Params`, in order, written to a uniform; u32 but for FLOAT_PARAMS. */
  readonly params: readonly string[];
  /** Constants of its pipeline. Few: each combination is compiled anew. */
  readonly overrides: readonly string[];
  /**
   * Workgroups: [linear count, second dimension]. `n` is the rows that the verb works on, `o` its
   * params and overrides (for tiles and kernels for a few rows `tokens` and `rows` too, the size
   * of one: tiles.ts, few.ts), `part` the rows and groups of the weight part. The linear count is
   * folded into x and y where it is too large for x.
   */
  readonly grid: (n: number, o: Params, part: PartShape) => readonly [number, number];
  /**
   * Bytes of matrices that it reads for n rows, again in each pass over them; those of experts as
   * if tokens went to all parts alike.
   */
  readonly weights?: (n: number, o: Params, work: Work) => number;
  /** The rest of what it costs; only asked for in a profile. */
  readonly cost: (n: number, o: Params, work: Work, batch: Batch) => Cost;
}

/** The grid of so many invocations in workgroups of 64. */
export const per64 = (invocations: number) => [Math.ceil(invocations / 64), 1] as const;
