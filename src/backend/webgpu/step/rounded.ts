// Rows of activations rounded for kernels that multiply in f16 or int8.

import type { Buffer } from "../device/device.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import type { Plans } from "../dispatch/plans.ts";
import { ROUNDED } from "../tuning/tiles.ts";
import type { RowKind, StepBatch } from "./batch.ts";
import { type Norm, padded, type Scratch } from "./scratch.ts";

/** What rounding needs of the backend. */
export interface RoundingContext {
  readonly encoder: StepEncoder;
  readonly plans: Plans;
  readonly scratch: Scratch;
  readonly step: StepBatch;
}

/** n x each rows of D columns. */
export interface Rows {
  readonly x: Buffer;
  readonly n: number;
  readonly D: number;
  readonly rows: RowKind;
  readonly each: number;
  /** They are normed first. */
  readonly norm?: Norm | undefined;
}

/** Encodes quantize.wgsl or to_f16.wgsl over rows; `name` of the scratch that they go to. */
export function rounded(
  { plans, scratch, step, encoder }: RoundingContext,
  to: "f16" | "int8",
  name: string,
  { x, n, D, rows, each, norm }: Rows,
): Buffer {
  const groups = padded(D) / 32;
  const { kernel } = ROUNDED[to];
  const y = roundedPlace({ scratch }, to, name, { n, D, rows, each });
  plans.run(`${kernel} ${x.id} ${norm?.weights.id} ${norm?.eps} ${y.id}`, n * each, () => [
    encoder.call(kernel, {
      params: { D, eps: norm?.eps ?? 0, groups, each },
      overrides: { THREADS: 64, NORM: norm ? 1 : 0 },
      buffers: { count: step.counts[rows], x, norm: norm?.weights ?? x, y },
    }),
  ]);
  return y;
}

/** The scratch that rounded() writes. */
export function roundedPlace(
  { scratch }: Pick<RoundingContext, "scratch">,
  to: "f16" | "int8",
  name: string,
  { n, D, rows, each }: Omit<Rows, "x" | "norm">,
): Buffer {
  return scratch.storage(name, n, ROUNDED[to].words(padded(D) / 32), rows, each);
}
