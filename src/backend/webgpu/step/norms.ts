// Norms of rows: RMS norms are left to the kernels that read them, and some computed after all.

import { RequestError } from "../../../errors.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import type { Plans } from "../dispatch/plans.ts";
import type { GpuVector } from "../weights/space.ts";
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

  /**
   * The RMS norm of x, not computed yet: kernels for few rows norm what they read, and whether a
   * dispatch of its own is needed shows when it is used.
   */
  later(x: GpuTensor, w: GpuVector, eps: number): GpuTensor {
    const of = this.computed(x);
    checkSize("rmsNorm", w, of);
    return { ...of, norm: { of, weights: w.buffer, eps } };
  }

  /** The layer norm of x. */
  layer(x: GpuTensor, w: GpuVector, bias: GpuVector, eps: number): GpuTensor {
    const { encoder, plans, scratch, step } = this.#tools;
    const of = this.computed(x);
    for (const vector of [w, bias]) checkSize("layerNorm", vector, of);
    const [n, D] = of.shape;
    const y = scratch.tensor("layerNorm", n, D, of.rows);
    const vectors = of.stride / 4;
    plans.run(`layer_norm ${w.buffer.id} ${of.buffer.id} ${y.buffer.id} ${eps}`, n, () => [
      encoder.call("layer_norm", {
        params: { D, vectors, eps },
        overrides: { THREADS: vectors > 256 ? 256 : 64 },
        buffers: { count: step.counts[of.rows], x: of.buffer, w: w.buffer, b: bias.buffer, y: y.buffer },
      }),
    ]);
    return y;
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

function checkSize(verb: string, w: GpuVector, { shape }: GpuTensor): void {
  if (w.size !== shape[1]) throw new RequestError(`${verb}: weights of ${w.size} for rows of ${shape[1]}`);
}
