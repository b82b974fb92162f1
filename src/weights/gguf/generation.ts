// Writes the generation_config.json of a GGUF file: which tokens end a text, and how its publisher
// samples.

import type { Metadata } from "./metadata.ts";
import { endIds } from "./vocabulary.ts";

/** Names in generation_config.json and after "general.sampling.". */
const SAMPLING = [
  ["temperature", "temp"],
  ["top_k", "top_k"],
  ["top_p", "top_p"],
  ["min_p", "min_p"],
  ["repetition_penalty", "penalty_repeat"],
] as const;

/** @throws WeightsError for values of another type */
export function generationConfig(m: Metadata): Readonly<Record<string, unknown>> {
  const ends = endIds(m);
  const sampling = SAMPLING.flatMap(([name, suffix]) => {
    const key = `general.sampling.${suffix}`;
    return m.has(key) ? [[name, shortest(m.float(key))] as const] : [];
  });
  const samples = sampling.some(([name]) => name !== "repetition_penalty") && m.float("general.sampling.temp", 1) > 0;
  return {
    ...(ends.length > 0 && { eos_token_id: ends }),
    ...(sampling.length > 0 && { do_sample: samples, ...Object.fromEntries(sampling) }),
  };
}

/** The shortest decimal of a number that was rounded to f32: 0.95 for 0.949999988. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === Math.fround(value)) return rounded;
  }
  return value;
}
