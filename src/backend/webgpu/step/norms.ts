// Norms that were left to the kernels that read them, and are computed after all.

import type { StepEncoder } from "../dispatch/encoder.ts";
import type { Plans } from "../dispatch/plans.ts";
import type { StepBatch } from "./batch.ts";
import type { GpuTensor, Scratch } from "./scratch.ts";

export interface NormsTools {
  readonly encoder: StepEncoder;
  readonly plans: Plans;
  readonly scratch: Scratch;
  readonly step: StepBatch;
}

export class Norms {
  readonly #tools: NormsTools;
  readonly #made = new Map<GpuTensor, GpuTensor>();

  constructor(tools: NormsTools) {
    this.#tools = tools;
  }

  /** Forgets the tensors of the step before. */
  begin(): void {
    this.#made.clear();
  }

  /** The tensor itself, or what it is the norm of normed by a dispatch of its own, once. */
  computed(x: GpuTensor): GpuTensor {
    const { encoder, plans, scratch, step } = this.#tools;
    if (!x.norm) return x;
    const known = this.#made.get(x);
    if (known) return scratch.own(known);
    const { of, weights, eps } = x.norm;
    const [n, D] = of.shape;
    const y = this.place(x);
    const vectors = of.stride / 4;
    plans.run(`rms_norm ${weights.id} ${of.buffer.id} ${y.buffer.id} ${eps}`, n, () => [
      encoder.call("rms_norm", {
        params: { D, vectors, eps },
        overrides: { THREADS: vectors > 256 ? 256 : 64 },
        buffers: { count: step.counts[of.rows], x: of.buffer, w: weights, y: y.buffer },
      }),
    ]);
    return y;
  }

  /** The tensor that computed() gives for x from now on: the caller writes it. */
  place(x: GpuTensor): GpuTensor {
    const y = this.#tools.scratch.tensor("rmsNorm", ...x.shape, x.rows);
    this.#made.set(x, y);
    return y;
  }
}
