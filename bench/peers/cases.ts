// The cases to compare with each peer: models, lengths, thread counts.

import type { SideName } from "./types.ts";

export type ModelName = "tales" | "8x7b";

export const MODELS: Readonly<Record<ModelName, string>> = {
  tales: "models/tales",
  // Four layers of true width: the last layer is computed for one row only, so fewer layers would
  // distort prompts.
  "8x7b": "synthetic:mixtral-8x7b?layers=4&seed=1",
};

/** One row of the table, measured with each thread count on both sides, in rounds. */
export interface Case {
  /** For example "tales/prefill 128". */
  readonly name: string;
  readonly model: ModelName;
  /** The compared figure; the others are in the result too. */
  readonly quantity: "prefillTps" | "decodeTps";
  readonly promptTokens: number;
  readonly decodeTokens: number;
  readonly repeats: number;
  readonly threads: readonly number[];
  /** Thread counts measured on our side only, to show the scaling. */
  readonly alone: readonly number[];
}

export interface CaseOptions {
  /** The largest number of threads. */
  readonly threads: number;
  /** Two short measurements for each model, to test that everything starts. */
  readonly quick: boolean;
}

/**
 * The length of the "2k" prompt: 2048, or the largest multiple of 128 that leaves room to decode.
 */
export function longPrompt(context: number, decodeTokens: number): number {
  return Math.min(2048, Math.floor((context - decodeTokens) / 128) * 128);
}

function modelCases(model: ModelName, context: number, options: CaseOptions): Case[] {
  const small = model === "tales";
  const decodeTokens = options.quick ? 4 : small ? 64 : 24;
  // A small model may be faster on one thread, so each side's better count is compared. A large one
  // never is.
  const threads = small ? [...new Set([1, options.threads])] : [options.threads];
  const common = { model, repeats: options.quick || !small ? 1 : 5, threads };
  const prefill = (promptTokens: number, alone: readonly number[] = []): Case => ({
    ...common,
    name: `${model}/prefill ${promptTokens}`,
    quantity: "prefillTps",
    promptTokens,
    decodeTokens: 1,
    alone: alone.filter((count) => !threads.includes(count)),
  });
  const decode = (at: string, promptTokens: number): Case => ({
    ...common,
    name: `${model}/decode at ${at}`,
    quantity: "decodeTps",
    promptTokens,
    decodeTokens,
    alone: [],
  });
  if (options.quick) return [prefill(32, [1]), decode("0", 8)];
  const long = longPrompt(context, decodeTokens);
  return [
    prefill(128, [1]),
    prefill(512),
    decode("0", 8),
    decode(long === 2048 ? "2k" : `${long} of ${context}`, long),
  ];
}

/** Against llama.cpp in processes. `contexts`: positions that each model has at most. */
export function processCases(contexts: Readonly<Record<ModelName, number>>, options: CaseOptions): Case[] {
  return (["tales", "8x7b"] as const).flatMap((model) => modelCases(model, contexts[model], options));
}

/** Against wllama in a page: tales only, because a large model does not fit a tab's heap. */
export function pageCases({ threads, quick }: CaseOptions): Case[] {
  const common = { model: "tales", repeats: quick ? 1 : 5, threads: [...new Set([1, threads])], alone: [] } as const;
  const prompt = quick ? 32 : 128;
  return [
    { ...common, name: `tales/prefill ${prompt}`, quantity: "prefillTps", promptTokens: prompt, decodeTokens: 1 },
    { ...common, name: "tales/decode at 0", quantity: "decodeTps", promptTokens: 8, decodeTokens: quick ? 4 : 64 },
  ];
}

/** The sides to measure a case on with this many threads. */
export function sidesOf({ threads }: Case, count: number): readonly SideName[] {
  return threads.includes(count) ? ["ours", "peer"] : ["ours"];
}
