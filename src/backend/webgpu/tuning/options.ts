// What tuning is told: what the weights are for, and how long it may take.

import type { Attention, KvPrecision, Matrix, Router } from "../../ops.ts";

/** What a model does with its weights, as far as kernels follow from it. */
export interface TunedLayer {
  readonly qkv: readonly Matrix[];
  /** Null: the layer has a recurrence. */
  readonly attention: Attention | null;
  /** Null in a dense layer. */
  readonly router: Router | null;
}

export interface TuneOptions {
  /** Absent: matrices and experts are timed, but no projections and no routers. */
  readonly layers?: readonly TunedLayer[];
  /** Precision of the KV cache that projections append to. Default f16. */
  readonly kv?: KvPrecision;
  /**
   * Whether products of several rows are timed too. Default: not on software adapters, for which
   * the answer is known, and where it takes long.
   */
  readonly everything?: boolean;
  /** Milliseconds that it may take. Default: 20,000 on a GPU, 5000 on a software adapter. */
  readonly budget?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Called after each problem. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
}
