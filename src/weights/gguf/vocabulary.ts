// The tokens of a GGUF file: checks the arrays under tokenizer.ggml. and says what each token is.

import type { Metadata } from "./metadata.ts";

/** Far above any published vocabulary. */
const MAX_TOKENS = 2 ** 21;
/** Most characters of a token; the longest published ones are runs of some hundred spaces. */
const MAX_TOKEN = 4096;

/** Keys of tokens that end a turn or a message, beside EOS. */
const END_IDS = ["eot_token_id", "eom_token_id"] as const;
/** Keys of tokens that templates and programs write, and text never becomes. */
const CONTROL_IDS = ["bos_token_id", "eos_token_id", ...END_IDS] as const;

/** What a token is, in the order of the file's numbers, which begin at 1. */
const KINDS = ["normal", "unknown", "control", "user defined", "unused", "byte"] as const;
export type TokenKind = (typeof KINDS)[number];

export interface Token {
  readonly text: string;
  readonly kind: TokenKind;
}

export interface Vocabulary {
  /** By id. A byte is spelled <0x0A>; an unused token may have any text. */
  readonly tokens: readonly Token[];
  readonly bosId: number | null;
  readonly eosId: number | null;
  readonly unkId: number | null;
  readonly padId: number | null;
  /** Ends of a turn and of a message. */
  readonly eotId: number | null;
  readonly eomId: number | null;
}

const prefix = "tokenizer.ggml";

/** Ids that a file without such keys has. */
export interface DefaultIds {
  readonly bos: number | null;
  readonly eos: number | null;
  readonly unk: number | null;
}

/**
 * @throws WeightsError naming the key, for arrays that do not belong together, ids beyond the
 * vocabulary, and tokens that no vocabulary has
 */
export function readVocabulary(m: Metadata, defaults: DefaultIds): Vocabulary {
  const key = `${prefix}.tokens`;
  const texts = m.texts(key);
  if (texts.length === 0 || texts.length > MAX_TOKENS)
    throw m.error(key, `expected 1 to ${MAX_TOKENS} tokens, found ${texts.length}`);
  const long = texts.findIndex((text) => text.length > MAX_TOKEN);
  if (long >= 0)
    throw m.error(key, `token ${long}: expected at most ${MAX_TOKEN} characters, found ${texts[long]!.length}`);
  const kinds = readKinds(m, texts);
  const id = (name: string): number | null => readId(m, name, texts.length);
  const chosen = (name: string, otherwise: number | null): number | null => {
    if (m.has(`${prefix}.${name}`)) return id(name);
    return otherwise !== null && otherwise < texts.length && isSpecial(kinds[otherwise]!) ? otherwise : null;
  };
  // Files of 2023 lack kinds; later ones call a control token normal at times.
  for (const name of CONTROL_IDS) {
    const named = id(name);
    if (named !== null && kinds[named] !== "unknown" && kinds[named] !== "byte") kinds[named] = "control";
  }
  const unkId = chosen("unknown_token_id", defaults.unk);
  if (unkId !== null && kinds[unkId] !== "byte" && !kinds.includes("unknown")) kinds[unkId] = "unknown";
  return {
    tokens: texts.map((text, at) => readToken(m, at, text, kinds[at]!)),
    bosId: chosen("bos_token_id", defaults.bos),
    eosId: chosen("eos_token_id", defaults.eos),
    unkId,
    padId: id("padding_token_id"),
    eotId: id("eot_token_id"),
    eomId: id("eom_token_id"),
  };
}

/** Ids that end a text, a turn or a message, as far as the file names them; -1 is none. */
export function endIds(m: Metadata): readonly number[] {
  const keys = ["eos_token_id", ...END_IDS].map((name) => `${prefix}.${name}`).filter((key) => m.has(key));
  return [...new Set(keys.map((key) => m.integer(key)))].filter((id) => id >= 0 && id < MAX_TOKENS);
}

function isSpecial(kind: TokenKind): boolean {
  return kind === "control" || kind === "unknown";
}

/** Each token's kind; without tokenizer.ggml.token_type it is guessed from bytes and names. */
function readKinds(m: Metadata, texts: readonly string[]): TokenKind[] {
  const key = `${prefix}.token_type`;
  if (!m.has(key)) return texts.map(guessedKind);
  const numbers = m.numbers(key);
  if (numbers.length !== texts.length)
    throw m.error(key, `expected ${texts.length}, one for each token, found ${numbers.length}`);
  return texts.map((_, id) => {
    const kind = KINDS[numbers[id]! - 1];
    // 0 stands for "undefined" in llama.cpp, which then takes the token as it is
    if (kind === undefined && numbers[id] !== 0)
      throw m.error(key, `token ${id}: expected a number from 1 to ${KINDS.length}, found ${numbers[id]}`);
    return kind ?? "normal";
  });
}

function guessedKind(text: string): TokenKind {
  if (/^<0x[0-9A-F]{2}>$/.test(text)) return "byte";
  if (text === "<unk>") return "unknown";
  return text === "<s>" || text === "</s>" ? "control" : "normal";
}

function readToken(m: Metadata, id: number, text: string, kind: TokenKind): Token {
  if (kind === "byte") {
    if (!/^<0x[0-9A-Fa-f]{2}>$/.test(text))
      throw m.error(`${prefix}.tokens`, `token ${id}: expected a byte such as <0x0A>, found ${shown(text)}`);
    return { text: `<0x${text.slice(3, 5).toUpperCase()}>`, kind };
  }
  // no text can become a token without one
  return text === "" ? { text: `[EMPTY${id}]`, kind: "unused" } : { text, kind };
}

/** The id under a key, or null: the key is missing, or -1 as some writers say "none". */
function readId(m: Metadata, name: string, count: number): number | null {
  const key = `${prefix}.${name}`;
  if (!m.has(key)) return null;
  const id = m.integer(key);
  if (id === -1 || id === 2 ** 32 - 1) return null;
  if (id >= 0 && id < count) return id;
  throw m.error(key, `expected an id below ${count}, the number of tokens, found ${id}`);
}

/** A text for a message, shortened. */
export function shown(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}...` : text);
}
