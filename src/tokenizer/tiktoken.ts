// OpenAI's encodings by name: vocabulary and splitting rule come from gpt-tokenizer, the rest is
// shared with other tokenizers.

import { WeightsError } from "../errors.ts";
import { spellBytes } from "./byte_alphabet.ts";
import type { FolderConfig, JsonObject } from "./folder_config.ts";
import { mergesOfVocabulary } from "./merges.ts";
import type { AddedToken, TokenizerSpec } from "./types.ts";

type Ranks = readonly (string | readonly number[] | undefined)[];
interface Encoding {
  readonly ranks: Ranks;
  readonly split: RegExp;
  /**
   * tiktoken's control tokens (openai_public.py). gpt-tokenizer adds others to the
   * first two encodings.
   */
  readonly special: ReadonlyMap<string, number>;
  readonly eos: string;
}

/** Each encoding is a module of several megabytes, loaded only if a checkpoint names it. */
const ENCODINGS: Readonly<Record<string, () => Promise<Encoding>>> = {
  cl100k_base: async () => {
    const ranks = (await import("gpt-tokenizer/esm/bpeRanks/cl100k_base")).default;
    const { Cl100KBase } = await import("gpt-tokenizer/esm/encodingParams/cl100k_base");
    const special = new Map([
      ["<|endoftext|>", 100257],
      ["<|fim_prefix|>", 100258],
      ["<|fim_middle|>", 100259],
      ["<|fim_suffix|>", 100260],
      ["<|endofprompt|>", 100276],
    ]);
    return { ranks, split: Cl100KBase(ranks).tokenSplitRegex, special, eos: "<|endoftext|>" };
  },
  o200k_base: async () => {
    const ranks = (await import("gpt-tokenizer/esm/bpeRanks/o200k_base")).default;
    const { O200KBase } = await import("gpt-tokenizer/esm/encodingParams/o200k_base");
    const special = new Map([
      ["<|endoftext|>", 199999],
      ["<|endofprompt|>", 200018],
    ]);
    return { ranks, split: O200KBase(ranks).tokenSplitRegex, special, eos: "<|endoftext|>" };
  },
  o200k_harmony: async () => {
    const ranks = (await import("gpt-tokenizer/esm/bpeRanks/o200k_base")).default;
    const { O200KHarmony } = await import("gpt-tokenizer/esm/encodingParams/o200k_harmony");
    const rules = O200KHarmony(ranks);
    const special = rules.specialTokensEncoder ?? new Map<string, number>();
    return { ranks, split: rules.tokenSplitRegex, special, eos: "<|return|>" };
  },
};

/**
 * Names of models that a tokenizer_config.json has instead of an encoding
 * (TiktokenTokenizerWrapper, as in DBRX).
 */
const ENCODING_OF_MODEL: Readonly<Record<string, string>> = {
  "gpt-3.5-turbo": "cl100k_base",
  "gpt-4": "cl100k_base",
  "gpt-4o": "o200k_base",
  "gpt-oss": "o200k_harmony",
};

/**
 * The encoding that a checkpoint without a tokenizer file names, or null: as
 * `tiktoken_encoding`, `encoding_name`, `encoding` or `model_name` in tokenizer_config.json or
 * config.json, or by a file <encoding>.tiktoken.
 */
export function namedEncoding(configs: readonly JsonObject[], files: readonly string[]): string | null {
  for (const config of configs) {
    for (const key of ["tiktoken_encoding", "encoding_name", "encoding"]) {
      const name = config[key];
      if (typeof name === "string" && name !== "") return name;
    }
  }
  for (const { model_name: name } of configs) {
    if (typeof name === "string" && Object.hasOwn(ENCODING_OF_MODEL, name)) return ENCODING_OF_MODEL[name]!;
  }
  const file = files.find((name) => name.endsWith(".tiktoken"));
  return file === undefined ? null : file.slice(0, -".tiktoken".length);
}

/** @throws WeightsError for an encoding that is not supported */
export async function tiktokenSpec(name: string, config: FolderConfig, where: string): Promise<TokenizerSpec> {
  const load = Object.hasOwn(ENCODINGS, name) ? ENCODINGS[name] : undefined;
  if (load === undefined) {
    throw new WeightsError(
      `${where}: tiktoken encoding "${name}" is not supported (supported: ${Object.keys(ENCODINGS).join(", ")})`,
    );
  }
  const { ranks, split: rule, special, eos } = await load();
  const utf8 = new TextEncoder();
  const pieces: (string | undefined)[] = [];
  const ordinary = new Map<string, number>();
  ranks.forEach((token, id) => {
    if (token === undefined) return;
    const piece = spellBytes(typeof token === "string" ? utf8.encode(token) : token);
    pieces[id] = piece;
    ordinary.set(piece, id);
  });
  const added: AddedToken[] = [];
  for (const [content, id] of special) {
    added.push({ id, content, match: content, special: true, normalized: false, lstrip: false, rstrip: false });
    pieces[id] ??= content;
  }
  // tiktoken's \s is Unicode's White_Space; JavaScript's includes U+FEFF and lacks U+0085.
  const source = rule.source.replaceAll("\\s", "\\p{White_Space}").replaceAll("\\S", "\\P{White_Space}");
  const split = new RegExp(source, "gu");
  const bosId = special.get(config.bosToken ?? "") ?? null;
  const eosId = special.get(config.eosToken ?? eos) ?? null;
  return {
    pieces,
    added,
    ordinary,
    merges: mergesOfVocabulary(ordinary, (id) => id),
    spelling: "bytes",
    byteIds: null,
    unkId: null,
    fuseUnk: false,
    wholeWords: true,
    normalize: (section) => section,
    words: (text) => (text.match(split) ?? []).map((word) => spellBytes(utf8.encode(word))),
    stripSpace: false,
    bosId,
    eosIds: eosId === null ? [] : [eosId],
    addBos: config.addBos ?? false,
  };
}
