// How the next token is chosen, as requests say it: OpenAI's names, Mistral's, and what local servers have added.

import type { GenerateOptions } from "../engine/api.ts";
import { type Fields, wrong } from "./fields.ts";

/** More than any context; what is beyond the context's end is cut by the engine. */
const MOST_TOKENS = 2 ** 31 - 1;
const MOST_STOPS = 64;
const LONGEST_STOP = 4096;

/** Drops keys whose value is undefined, which exact optional properties do not allow. */
export function defined<T extends object>(from: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(from).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** The sampling fields of OpenAI's endpoints. */
export function openaiSampling(body: Fields): GenerateOptions {
  return defined({
    temperature: body.number("temperature", 0, 100),
    topP: body.number("top_p", 0, 1),
    topK: topK(body),
    minP: body.number("min_p", 0, 1),
    repeatPenalty: body.number("repetition_penalty", 0.01, 100) ?? body.number("repeat_penalty", 0.01, 100),
    frequencyPenalty: body.number("frequency_penalty", -100, 100),
    presencePenalty: body.number("presence_penalty", -100, 100),
    logitBias: logitBias(body),
    seed: seed(body, "seed") ?? seed(body, "random_seed"),
    stop: stops(body, "stop"),
    ignoreEos: body.boolean("ignore_eos"),
  });
}

/**
 * The most tokens of an answer, by the first of `names` that is given, else `fallback`; undefined is what the context has room
 * for, as -1 is to local servers.
 */
export function maxTokensOf(
  body: Fields,
  names: readonly string[],
  min: number,
  fallback?: number,
): number | undefined {
  const name = names.find(body.has);
  if (name === undefined) return fallback;
  return body.raw(name) === -1 ? undefined : body.integer(name, min, MOST_TOKENS);
}

/** -1 means "off" to some servers, 0 to others. */
export function topK(body: Fields): number | undefined {
  const value = body.integer("top_k", -1, 2 ** 31 - 1);
  return value === -1 ? 0 : value;
}

/** One text or a list of texts that end the answer. Front ends send the empty lines of their forms along: they end nothing. */
export function stops(body: Fields, name: string): readonly string[] | undefined {
  const value = body.raw(name);
  const list = typeof value === "string" ? [value] : body.array(name, MOST_STOPS);
  return list?.flatMap((stop, i) => {
    if (stop === "" || stop === null) return [];
    if (typeof stop === "string" && stop.length <= LONGEST_STOP) return [stop];
    const path = typeof value === "string" ? body.path(name) : `${body.path(name)}[${i}]`;
    throw wrong(path, `expected a text of at most ${LONGEST_STOP} characters`, stop);
  });
}

/** Any integer that JSON carries exactly; the engine's seeds are not negative. -1 is any seed, as it is to local servers. */
function seed(body: Fields, name: string): number | undefined {
  const value = body.integer(name, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  if (value === undefined || value === -1) return undefined;
  return value < 0 ? value + 2 ** 53 : value;
}

/** The seed of the i-th answer of a request. */
export function seedOf(first: number | undefined, i: number): { seed?: number } {
  if (first === undefined) return {};
  const last = Number.MAX_SAFE_INTEGER;
  return { seed: first > last - i ? i - 1 - (last - first) : first + i };
}

function logitBias(body: Fields): Record<number, number> | undefined {
  const given = body.object("logit_bias");
  if (given === undefined) return undefined;
  const bias: Record<number, number> = {};
  for (const [id, value] of Object.entries(given.json)) {
    if (!/^\d{1,9}$/.test(id)) throw wrong(body.path("logit_bias"), "expected token ids as keys", id);
    if (typeof value !== "number" || !(value >= -100 && value <= 100)) {
      throw wrong(given.path(id), "expected a number from -100 to 100", value);
    }
    bias[Number(id)] = value;
  }
  return bias;
}
