// The sampling fields that pages have controls for: their ranges, and what holds where a request
// leaves them out.

import type { SamplingOptions } from "./api.ts";

/** The ranges of the fields, and what each means to the engine. */
export const RANGES = {
  temperature: { min: 0, max: 100, option: "temperature", off: 0 },
  top_p: { min: 0, max: 1, option: "topP", off: 1 },
  top_k: { min: -1, max: 2 ** 31 - 1, option: "topK", off: 0 },
  min_p: { min: 0, max: 1, option: "minP", off: 0 },
  repetition_penalty: { min: 0.01, max: 100, option: "repeatPenalty", off: 1 },
  frequency_penalty: { min: -100, max: 100, option: "frequencyPenalty", off: 0 },
  presence_penalty: { min: -100, max: 100, option: "presencePenalty", off: 0 },
} as const;

/** The range of a field. */
export interface SamplingRule {
  /** As requests of OpenAI's API have it. */
  readonly name: keyof typeof RANGES | "seed" | "max_tokens";
  readonly min: number;
  readonly max: number;
  /** Null where the engine chooses: a random seed, as many tokens as the context has room for. */
  readonly default: number | null;
  readonly integer: boolean;
}

/**
 * The rules of a model.
 * @param sampling its defaults; null: it is not loaded, and they are not known
 * @param context its positions, if they are known
 */
export function samplingRules(sampling: SamplingOptions | null, context: number | null): SamplingRule[] {
  const names = Object.keys(RANGES) as (keyof typeof RANGES)[];
  const ranged = names.map((name): SamplingRule => {
    const { min, max, option, off } = RANGES[name];
    const usual = sampling === null ? null : (sampling[option] ?? off);
    return { name, min, max, default: usual, integer: name === "top_k" };
  });
  return [
    ...ranged,
    { name: "seed", min: 0, max: Number.MAX_SAFE_INTEGER, default: null, integer: true },
    { name: "max_tokens", min: 1, max: context ?? 2 ** 31 - 1, default: null, integer: true },
  ];
}
