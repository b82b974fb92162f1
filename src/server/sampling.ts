// The sampling fields of requests: OpenAI's, Mistral's, and additions of local servers.

import type { GenerateOptions } from "../engine/api.ts";
import { RANGES } from "../engine/sampling_rules.ts";
import { type Fields, wrong } from "./fields.ts";

/** More than any context. The engine cuts answers at the end of the context. */
const MOST_TOKENS = 2 ** 31 - 1;
const MOST_STOPS = 64;
const LONGEST_STOP = 4096;
const MOST_IDS = 1_000_000;
const MOST_WORDS = 1024;
const LONGEST_WORD = 256;
/** The bias for llama.cpp's `false`: so low that the token never comes. */
const NEVER = -1e9;

/** Drops keys whose value is undefined, which exact optional properties do not allow. */
export function defined<T extends object>(from: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(from).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** The options of sampling and of ending an answer. `stopName`: the field with stop texts. */
export function samplingOf(body: Fields, stopName = "stop"): GenerateOptions {
  const ranged = (name: keyof typeof RANGES): number | undefined =>
    body.number(name, RANGES[name].min, RANGES[name].max);
  const { min, max } = RANGES.repetition_penalty;
  return defined({
    temperature: ranged("temperature"),
    topP: ranged("top_p"),
    topK: topK(body),
    minP: ranged("min_p"),
    repeatPenalty: ranged("repetition_penalty") ?? body.number("repeat_penalty", min, max),
    frequencyPenalty: ranged("frequency_penalty"),
    presencePenalty: ranged("presence_penalty"),
    logitBias: logitBias(body),
    seed: seed(body, "seed") ?? seed(body, "random_seed"),
    stop: all(body, [stopName, "stop_strings", "stop_words"], stops),
    ignoreEos: body.boolean("ignore_eos"),
    stopIds: all(body, ["stop_token_ids", "eos_token_id"], ids),
    minTokens: body.integer("min_tokens", 0, MOST_TOKENS),
    allowedIds: ids(body, "allowed_token_ids"),
    badWords: badWords(body),
  });
}

/** The joined lists of several fields; undefined where none is given. */
function all<T>(
  body: Fields,
  names: readonly string[],
  read: (body: Fields, name: string) => readonly T[] | undefined,
): readonly T[] | undefined {
  const lists = names.flatMap((name) => {
    const list = read(body, name);
    return list === undefined ? [] : [list];
  });
  return lists.length > 0 ? lists.flat() : undefined;
}

/** One token id or a list. vLLM's clients send an empty list for none. */
function ids(body: Fields, name: string): readonly number[] | undefined {
  const one = body.raw(name);
  const given = typeof one === "number" ? [one] : body.array(name, MOST_IDS);
  return given === undefined || given.length === 0 ? undefined : idsOf(given, body.path(name));
}

/** Token ids. The engine checks whether they exist. */
export function idsOf(values: readonly unknown[], path: string): readonly number[] {
  const bad = values.findIndex((id) => !Number.isSafeInteger(id) || (id as number) < 0);
  if (bad >= 0) throw wrong(`${path}[${bad}]`, "expected a token id", values[bad]);
  return values as readonly number[];
}

/** Words that must not be written. As with stop texts, empty ones are ignored. */
function badWords(body: Fields): readonly string[] | undefined {
  const words = body.array("bad_words", MOST_WORDS)?.map((word, i) => {
    if (typeof word === "string" && word.length <= LONGEST_WORD) return word;
    throw wrong(`${body.path("bad_words")}[${i}]`, `expected a text of at most ${LONGEST_WORD} characters`, word);
  });
  const some = words?.filter((word) => word.trim() !== "");
  return some?.length ? some : undefined;
}

/**
 * Most tokens of an answer, from the first of `names` that is given, else `fallback`. Undefined: as
 * many as the context has room for, which local servers write as -1.
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

/** Some servers write -1 for "off", others 0. */
function topK(body: Fields): number | undefined {
  const value = body.integer("top_k", RANGES.top_k.min, RANGES.top_k.max);
  return value === -1 ? 0 : value;
}

/**
 * One text or a list of texts that end the answer. Empty ones, which some front ends
 * send, are ignored.
 */
function stops(body: Fields, name: string): readonly string[] | undefined {
  const value = body.raw(name);
  const list = typeof value === "string" ? [value] : body.array(name, MOST_STOPS);
  return list?.flatMap((stop, i) => {
    if (stop === "" || stop === null) return [];
    if (typeof stop === "string" && stop.length <= LONGEST_STOP) return [stop];
    const path = typeof value === "string" ? body.path(name) : `${body.path(name)}[${i}]`;
    throw wrong(path, `expected a text of at most ${LONGEST_STOP} characters`, stop);
  });
}

/**
 * Any 64-bit integer, signed or not, rounded by JSON.parse(). The engine's seeds have 53 bits, so
 * it is taken modulo 2^53. -1 is a random seed, as at local servers.
 */
function seed(body: Fields, name: string): number | undefined {
  const value = body.number(name, -(2 ** 63), 2 ** 64);
  if (value === undefined || value === -1) return undefined;
  if (!Number.isInteger(value)) throw wrong(body.path(name), "expected an integer", value);
  const rest = value % 2 ** 53;
  return rest < 0 ? rest + 2 ** 53 : Math.abs(rest);
}

/** The seed of the i-th answer of a request. */
export function seedOf(first: number | undefined, i: number): { seed?: number } {
  if (first === undefined) return {};
  const last = Number.MAX_SAFE_INTEGER;
  return { seed: first > last - i ? i - 1 - (last - first) : first + i };
}

/**
 * Token id -> bias, as an object or as llama.cpp's list of pairs, where false forbids the token.
 */
function logitBias(body: Fields): Record<number, number> | undefined {
  const given = body.raw("logit_bias");
  const list = Array.isArray(given);
  const pairs = list ? body.array("logit_bias", MOST_IDS)! : Object.entries(body.object("logit_bias")?.json ?? {});
  if (given === undefined) return undefined;
  const bias: Record<number, number> = {};
  for (const [i, pair] of pairs.entries()) {
    const [id, value] = Array.isArray(pair) && pair.length === 2 ? pair : [];
    const path = body.path("logit_bias");
    if (!/^\d{1,9}$/.test(String(id)))
      throw wrong(path, `expected token ids as ${list ? "firsts" : "keys"}`, id ?? pair);
    if (value !== false && !(typeof value === "number" && value >= -100 && value <= 100)) {
      throw wrong(list ? `${path}[${i}][1]` : `${path}.${id}`, "expected a number from -100 to 100", value);
    }
    bias[Number(id)] = value === false ? NEVER : value;
  }
  return bias;
}
