// The kernels for a few rows: each weight is read and unpacked once for all of them.

import type { Buffer } from "../device/device.ts";
import type { Call } from "../dispatch/commands.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import type { Variant } from "../dispatch/shader.ts";
import type { PackedWeights } from "../weights/space.ts";

/**
 * Rows of weights that a team makes, and of activations at most:
 * kernels/lib/matrix/few_shape_*.wgsl.
 */
export const FEW = {
  "8x4": { rows: 8, tokens: 4 },
  "4x16": { rows: 4, tokens: 16 },
  /** On GPUs of few registers. */
  "4x4": { rows: 4, tokens: 4 },
  /** By an invocation each, all columns of them: what "8x4" and "4x16" are on software adapters. */
  alone: { rows: 8, tokens: 8 },
} as const;

/** Shapes that forms name (rows.ts). */
export type FewShape = Exclude<keyof typeof FEW, "alone">;

/** A variant of those kernels. Floats are multiplied in f32: f16 would save no instruction. */
export interface FewVariant {
  readonly shape: keyof typeof FEW;
  readonly arithmetic: "f32" | "int8";
  readonly reduce: "tree" | "subgroups";
  /** Invocations of a workgroup, and teams that they are divided into: powers of two. */
  readonly threads: number;
  readonly teams: number;
}

/** What is used of a shape; `alone` as forms say (rows.ts). */
export function usualFew(shape: FewShape, groups: number, int8: boolean, alone: boolean): Omit<FewVariant, "reduce"> {
  const arithmetic = int8 ? "int8" : "f32";
  // As many invocations as workgroup memory has room for.
  if (alone) return { shape: "alone", arithmetic, threads: 16, teams: 16 };
  // Eight steps an invocation (few_float.wgsl, few_int8.wgsl), as the sums of a team take as long
  // as some of them; less than half of 64 would not be whole subgroups.
  const team = groups * (int8 ? 2 : 4) > 8 * 32 ? 64 : 32;
  return { shape, arithmetic, threads: 64, teams: 64 / team };
}

/** One of the kernels for a few rows, over all parts of its weights. */
export function fewCalls(
  encoder: StepEncoder,
  name: "matmul_few" | "qkv_few" | "expert_up_few" | "expert_down_few" | "heads",
  { shape, arithmetic, reduce, threads, teams }: FewVariant,
  w: PackedWeights,
  values: Readonly<Record<string, number>>,
  buffers: Readonly<Record<string, Buffer>>,
  files: Pick<Variant, "kv" | "activation" | "biases"> = {},
): Call[] {
  // Those of expert_up_few, whose workgroups make whole groups of int8: of 32 outputs, 64 rows.
  const TURNS = arithmetic === "int8" ? Math.max(1, 64 / (teams * FEW[shape].rows)) : 1;
  return w.parts.map((part) =>
    encoder.call(name, {
      variant: { weights: w.format.name, arithmetic, reduce, few: shape, ...files },
      params: { ...values, ...FEW[shape] },
      overrides: { THREADS: threads, TEAM: threads / teams, TURNS, BIAS: Number(w.biased), ...values },
      buffers: { ...part.buffers, ...buffers },
      part,
    }),
  );
}
