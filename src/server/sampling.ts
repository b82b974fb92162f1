// How the next token is chosen, as requests say it: OpenAI's names, Mistral's, and what local servers have added.

import type { GenerateOptions } from "../engine/api.ts";
import { type Fields, wrong } from "./fields.ts";

/** More than any context; what is beyond the context's end is cut by the engine. */
const MOST_TOKENS = 2 ** 31 - 1;
const MOST_STOPS = 64;
const LONGEST_STOP = 4096;
const MOST_IDS = 1_000_000;
const MOST_WORDS = 1024;
const LONGEST_WORD = 256;
/** What llama.cpp's `false` is as a bias: so unlikely that it never comes. */
const NEVER = -1e9;

/** Drops keys whose value is undefined, which exact optional properties do not allow. */
export function defined<T extends object>(from: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(from).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** How tokens are chosen, and what ends an answer beside its length. `stopName`: the field of stop texts. */
export function samplingOf(body: Fields, stopName = "stop"): GenerateOptions {
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
    stop: all(body, [stopName, "stop_strings", "stop_words"], stops),
    ignoreEos: body.boolean("ignore_eos"),
    stopIds: all(body, ["stop_token_ids", "eos_token_id"], ids),
    minTokens: body.integer("min_tokens", 0, MOST_TOKENS),
    allowedIds: ids(body, "allowed_token_ids"),
    badWords: badWords(body),
  });
}

/** What several fields list, undefined where none of them lists anything. */
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

/** One token id or a list. An empty list, which vLLM's clients send for none, is none. */
function ids(body: Fields, name: string): readonly number[] | undefined {
  const one = body.raw(name);
  const given = typeof one === "number" ? [one] : body.array(name, MOST_IDS);
  return given === undefined || given.length === 0 ? undefined : idsOf(given, body.path(name));
}

/** Token ids; which of them exist is the engine's to say. */
export function idsOf(values: readonly unknown[], path: string): readonly number[] {
  const bad = values.findIndex((id) => !Number.isSafeInteger(id) || (id as number) < 0);
  if (bad >= 0) throw wrong(`${path}[${bad}]`, "expected a token id", values[bad]);
  return values as readonly number[];
}

/** As with stop texts, an empty word forbids nothing. */
function badWords(body: Fields): readonly string[] | undefined {
  const words = body.array("bad_words", MOST_WORDS)?.map((word, i) => {
    if (typeof word === "string" && word.length <= LONGEST_WORD) return word;
    throw wrong(`${body.path("bad_words")}[${i}]`, `expected a text of at most ${LONGEST_WORD} characters`, word);
  });
  const some = words?.filter((word) => word.trim() !== "");
  return some?.length ? some : undefined;
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
function topK(body: Fields): number | undefined {
  const value = body.integer("top_k", -1, 2 ** 31 - 1);
  return value === -1 ? 0 : value;
}

/** One text or a list of texts that end the answer. Front ends send the empty lines of their forms along: they end nothing. */
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
 * Any integer of 64 bits, signed or not, as the nearest number that JSON.parse() makes of it. The engine's seeds have 53 bits:
 * the rest is taken modulo 2^53. -1 is any seed, as it is to local servers.
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

/** Token id -> bias, as an object or as llama.cpp's list of pairs, where false forbids the token. */
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
