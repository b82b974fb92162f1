// Binds the kernels for few rows: products of packed weights with single rows of activations.

import type { Buffer } from "../device/device.ts";
import type { Call } from "../dispatch/commands.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import type { KernelName } from "../dispatch/table.ts";
import type { PackedWeights } from "../weights/space.ts";
import type { MatvecVariant } from "./tuning.ts";

/** What a matrix-vector kernel reads besides the weights, and its variant. */
export interface MatvecInput extends MatvecVariant {
  readonly x: Buffer;
  /** Weights of a norm to apply to x on the way. */
  readonly norm: Buffer | null;
  /** Columns that the norm's mean is over. */
  readonly D: number;
  readonly eps: number;
  /** Tells apart what else a plan depends on. */
  readonly key: string;
}

/** One of the kernels for few rows, over all parts of its weights. */
export function matvecCalls(
  encoder: StepEncoder,
  name: KernelName,
  w: PackedWeights,
  input: MatvecInput,
  values: Readonly<Record<string, number>>,
  buffers: Readonly<Record<string, Buffer>>,
  kv?: "f32" | "f16",
): Call[] {
  const { arithmetic, reduce, threads, teams, D, eps } = input;
  return w.parts.map((part) =>
    encoder.call(name, {
      variant: { weights: w.format.name, arithmetic, reduce, ...(kv && { kv }) },
      params: { D, eps, ...values },
      overrides: { THREADS: threads, TEAM: threads / teams, NORM: input.norm ? 1 : 0, ...values },
      buffers: { ...part.buffers, x: input.x, norm: input.norm ?? input.x, ...buffers },
      part,
    }),
  );
}
