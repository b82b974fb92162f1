// Binds the kernels for few rows: products of packed weights with single rows of activations.

import type { Buffer } from "../device/device.ts";
import type { Call, Recorder } from "../dispatch/recorder.ts";
import type { KernelName } from "../dispatch/table.ts";
import type { PackedWeights } from "../weights/space.ts";
import type { Form } from "./tuning.ts";

/** What a product for few rows reads besides the weights, and the form of its kernel. */
export interface Few extends Form {
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
  recorder: Recorder,
  name: KernelName,
  w: PackedWeights,
  few: Few,
  values: Readonly<Record<string, number>>,
  buffers: Readonly<Record<string, Buffer>>,
  kv?: "f32" | "f16",
): Call[] {
  const { arithmetic, reduce, threads, teams, D, eps } = few;
  return w.parts.map((part) =>
    recorder.call(name, {
      variant: { weights: w.format.name, arithmetic, reduce, ...(kv && { kv }) },
      params: { D, eps, ...values },
      overrides: { THREADS: threads, TEAM: threads / teams, NORM: few.norm ? 1 : 0, ...values },
      buffers: { ...part.buffers, x: few.x, norm: few.norm ?? few.x, ...buffers },
      part,
    }),
  );
}
