// Reads the small JSON files beside a tokenizer: BOS, EOS, added tokens and options.

import { WeightsError } from "../errors.ts";
import { type Files, readJson } from "../weights/files.ts";
import type { AddedToken } from "./types.ts";

/** Far above any published file: tokenizer.json of 260,000 pieces is 35 MB. */
export const MAX_FILE = 256 * 2 ** 20;
/** Far above any published vocabulary. It bounds arrays that are indexed by id. */
export const MAX_VOCAB = 2 ** 21;
/**
 * Most characters of an added token; published ones stay below 100. Each becomes a node of a tree.
 */
const MAX_ADDED = 4096;

export type JsonObject = { readonly [key: string]: unknown };

export interface FolderConfig {
  readonly bosToken: string | null;
  readonly eosToken: string | null;
  /** Every token that a file names as the end of a text, a turn or a message. */
  readonly endTokens: readonly string[];
  readonly addBos: boolean | null;
  /**
   * Whether every section after a control token gets the leading space again, as in
   * the first releases.
   */
  readonly legacy: boolean | null;
  readonly added: readonly AddedToken[];
  /**
   * The contents of tokenizer_config.json, for names of tiktoken encodings; empty if there is no
   * such file.
   */
  readonly raw: JsonObject;
  /** The contents of special_tokens_map.json; empty if there is no such file. */
  readonly map: JsonObject;
}

/**
 * Reads tokenizer_config.json, special_tokens_map.json and added_tokens.json; each may be missing.
 */
export async function readFolderConfig(files: Files): Promise<FolderConfig> {
  const raw = (await readJsonObject(files, "tokenizer_config.json")) ?? {};
  const map = (await readJsonObject(files, "special_tokens_map.json")) ?? {};
  const addedFile = (await readJsonObject(files, "added_tokens.json")) ?? {};
  const where = `${files.label}/tokenizer_config.json`;
  const added = new Map<number, AddedToken>();
  for (const [content, id] of Object.entries(addedFile)) {
    const token = addedToken({ id, content, special: true }, `${files.label}/added_tokens.json`);
    added.set(token.id, token);
  }
  for (const [id, token] of Object.entries(asObject(raw.added_tokens_decoder))) {
    const read = addedToken({ ...asObject(token), id: Number(id) }, where);
    added.set(read.id, read);
  }
  return {
    bosToken: tokenName(raw.bos_token) ?? tokenName(map.bos_token),
    eosToken: tokenName(raw.eos_token) ?? tokenName(map.eos_token),
    endTokens: [raw, map].flatMap((file) =>
      ["eos_token", "eot_token", "eom_token"].flatMap((key) => tokenName(file[key]) ?? []),
    ),
    addBos: typeof raw.add_bos_token === "boolean" ? raw.add_bos_token : null,
    legacy: typeof raw.legacy === "boolean" ? raw.legacy : null,
    added: [...added.values()],
    raw,
    map,
  };
}

/** An added token as tokenizer.json and added_tokens_decoder describe it. @throws WeightsError */
export function addedToken(value: unknown, where: string): AddedToken {
  const { id, content, special, normalized, lstrip, rstrip, single_word } = asObject(value);
  if (typeof content !== "string" || !isId(id)) {
    throw new WeightsError(
      `${where}: added tokens: expected an id below ${MAX_VOCAB} and a content, found ${shown({ id, content })}`,
    );
  }
  if (content.length > MAX_ADDED) {
    throw new WeightsError(
      `${where}: added token ${shown(id)}: expected at most ${MAX_ADDED} characters, found ${content.length}`,
    );
  }
  if (single_word === true) {
    throw new WeightsError(`${where}: added token ${shown(content)}: "single_word" is not supported`);
  }
  return {
    id,
    content,
    match: content,
    special: special === true,
    normalized: typeof normalized === "boolean" ? normalized : special !== true,
    lstrip: lstrip === true,
    rstrip: rstrip === true,
  };
}

export function isId(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value < MAX_VOCAB;
}

/** The object in a JSON file, or null if there is no such file. @throws WeightsError */
export async function readJsonObject(files: Files, name: string): Promise<JsonObject | null> {
  const value = await readJson(files, name, MAX_FILE);
  if (value === undefined) return null;
  if (!isObject(value)) throw new WeightsError(`${files.label}/${name}: expected a JSON object, found ${shown(value)}`);
  return value;
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value if it is an object, else an empty object. */
export function asObject(value: unknown): JsonObject {
  return isObject(value) ? value : {};
}

/** A value for a message, shortened. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

/** The name of a token that is given as a string or as an object with `content`. */
export function tokenName(value: unknown): string | null {
  const name = typeof value === "string" ? value : asObject(value).content;
  return typeof name === "string" && name !== "" ? name : null;
}
