// The options of choosing tokens and ending a text, shared by the commands that generate.

import type { Command } from "commander";
import type { GenerateOptions } from "../engine/api.ts";
import { RequestError } from "../errors.ts";
import { collectTexts, integer, number, orMinusOne } from "./values.ts";

/** Each option, its help and its parser, by its name in SamplingOptions. */
const SAMPLING = {
  temperature: ["--temperature <number>", "0 always takes the most likely token", number(0, 1e6)],
  topK: [
    "--top-k <count>",
    "sample from the k most likely tokens; 0 or -1: from all",
    orMinusOne(integer(0, 2 ** 31), 0),
  ],
  topP: ["--top-p <number>", "sample from the most likely tokens that together reach p", number(0, 1)],
  minP: ["--min-p <number>", "drop tokens less than p times as likely as the most likely", number(0, 1)],
  repeatPenalty: ["--repeat-penalty <number>", "penalize tokens seen before; 1 is off", number(1e-6, 1e6)],
  frequencyPenalty: [
    "--frequency-penalty <number>",
    "subtract this for each time a token was generated",
    number(-1e6, 1e6),
  ],
  presencePenalty: ["--presence-penalty <number>", "subtract this from tokens generated before", number(-1e6, 1e6)],
  seed: ["--seed <integer>", "same seed, same tokens; default, or -1: random, and reported", orMinusOne(integer(0))],
} as const satisfies Record<string, readonly [string, string, (text: string) => number]>;

type SamplingName = keyof typeof SAMPLING;

/** The parsed options. An option that was not given has no key. */
export type Sampling = Pick<GenerateOptions, SamplingName>;

export const SAMPLING_NAMES = Object.keys(SAMPLING) as readonly SamplingName[];

/** Names of all options that are added. */
export const GENERATION_NAMES = [...SAMPLING_NAMES, "stop"] as const;
export type GenerationFlags = Pick<GenerateOptions, (typeof GENERATION_NAMES)[number]>;

/** Adds the sampling options, the length limit and stop texts. */
export function addSamplingOptions(command: Command): Command {
  for (const [flags, description, parse] of Object.values(SAMPLING)) command.option(flags, description, parse);
  command
    .option(
      "-n, --max-tokens <count>",
      "at most this many new tokens; default, or -1: as many as fit the context",
      orMinusOne(integer(1)),
    )
    .option("--stop <text>", "end before this text; may be given several times", collectTexts);
  // -1 means the engine's default.
  return command.hook("preAction", (_, action) => {
    for (const name of ["seed", "maxTokens"])
      if (action.getOptionValue(name) === -1) action.setOptionValue(name, undefined);
  });
}

/**
 * Checks sampling options from a file as if they were options.
 * @throws RequestError that names the entry
 */
export function checkSampling(value: unknown, where: string): Sampling {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw new RequestError(`${where}: expected an object of sampling options`);
  const checked: { -readonly [name in SamplingName]?: number } = {};
  for (const name of SAMPLING_NAMES) {
    const found: unknown = Object.hasOwn(value, name) ? (value as Record<string, unknown>)[name] : undefined;
    if (found === undefined) continue;
    if (typeof found !== "number")
      throw new RequestError(`${where}.${name}: expected a number, found ${found === null ? "null" : typeof found}`);
    try {
      const value = SAMPLING[name][2](String(found));
      if (name !== "seed" || value !== -1) checked[name] = value;
    } catch (error) {
      throw new RequestError(`${where}.${name}: found ${found}. ${(error as Error).message}`);
    }
  }
  return checked;
}
