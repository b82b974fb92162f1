// Rows as they are: looked up in an embedding table, the output rows of a tensor, and sums.

import { RequestError } from "../../../errors.ts";
import type { Batch } from "../../ops.ts";
import type { Buffer } from "../device/device.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import type { Plans } from "../dispatch/plans.ts";
import type { GpuMatrix } from "../weights/space.ts";
import type { StepBatch } from "./batch.ts";
import type { GpuTensor, Scratch } from "./scratch.ts";

export interface LookupTools {
  readonly encoder: StepEncoder;
  readonly plans: Plans;
  readonly scratch: Scratch;
  readonly step: StepBatch;
}

/** Rows of a table for the batch's tokens [T, D]. @throws RequestError for an id that it lacks */
export function embedded({ encoder, plans, scratch, step }: LookupTools, w: GpuMatrix, { tokens }: Batch): GpuTensor {
  const stray = tokens.find((id) => id >= w.rows);
  if (stray !== undefined)
    throw new RequestError(`token id ${stray} is outside the vocabulary of ${w.rows} (${w.name})`);
  const y = scratch.tensor("embed", tokens.length, w.cols, "tokens");
  plans.run(`embed ${w.id} ${y.buffer.id}`, tokens.length, () =>
    w.parts.map((part) =>
      encoder.call("embed", {
        variant: { weights: w.format.name },
        buffers: { ...part.buffers, count: step.counts.tokens, step: step.words, y: y.buffer },
        part,
      }),
    ),
  );
  return y;
}

/** The batch's output rows of a tensor [R, D]. */
export function outputRows(
  { encoder, plans, scratch, step }: LookupTools,
  from: GpuTensor,
  { outputs: rows }: Batch,
): GpuTensor {
  const n = rows.length;
  const y = scratch.tensor("rows", n, from.shape[1], "outputs");
  const { counts, outputs } = step;
  plans.run(`rows ${from.buffer.id} ${y.buffer.id}`, n, () => [
    encoder.call("rows", {
      params: { vectors: y.stride / 4 },
      buffers: { count: counts.outputs, x: from.buffer, outputs, y: y.buffer },
    }),
  ]);
  return y;
}

/** x += rows of x's shape. */
export function addRows({ encoder, plans, step }: Omit<LookupTools, "scratch">, x: GpuTensor, y: Buffer): void {
  plans.run(`add ${x.buffer.id} ${y.id}`, x.shape[0], () => [
    encoder.call("add", {
      params: { vectors: x.stride / 4 },
      buffers: { count: step.counts[x.rows], x: x.buffer, y },
    }),
  ]);
}
