// Binds the kernels for few rows: products of packed weights with single rows of activations.

import type { Buffer } from "../device/device.ts";
import type { Call } from "../dispatch/commands.ts";
import type { StepEncoder } from "../dispatch/encoder.ts";
import type { Variant } from "../dispatch/shader.ts";
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
  files: Pick<Variant, "kv" | "activation" | "biases"> = {},
): Call[] {
  const { arithmetic, reduce, threads, teams, atOnce, D, eps } = input;
  const team = threads / teams;
  const places = { AT_ONCE: atOnce, SIDES: sidesOf(values.K ?? 1, w.groups, input) };
  const overrides = {
    THREADS: threads,
    TEAM: team,
    ...places,
    NORM: input.norm ? 1 : 0,
    BIAS: Number(w.biased),
    ...values,
  };
  return w.parts.map((part) =>
    encoder.call(name, {
      variant: { weights: w.format.name, arithmetic, reduce, ...files },
      params: { D, eps, ...values },
      overrides,
      buffers: { ...part.buffers, x: input.x, norm: input.norm ?? input.x, ...buffers },
      part,
    }),
  );
}

/**
 * Experts that a team of expert_down_vec takes side by side, so that the busiest invocation asks
 * for weights as seldom as can be: ten experts keep two sides busy for five turns, four for three
 * of which the last is half idle. The more sides, the less is repeated; a side has eight
 * invocations at least.
 */
export function sidesOf(
  K: number,
  groups: number,
  { threads, teams, atOnce }: Pick<MatvecVariant, "threads" | "teams" | "atOnce">,
): number {
  const team = threads / teams;
  let [best, least] = [1, Number.POSITIVE_INFINITY];
  for (let sides = 1; sides <= Math.min(K, Math.max(team / 8, 1)); sides *= 2) {
    const units = Math.ceil((groups * 4 * sides) / team); // of an expert, for one invocation
    const turns = Math.ceil(K / sides) * Math.ceil(units / atOnce);
    if (turns <= least) [best, least] = [sides, turns];
  }
  return best;
}
