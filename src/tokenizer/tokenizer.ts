// Opens the tokenizer of a folder: tokenizer.json, else tokenizer.model, else a tiktoken encoding named by a config.

import { WeightsError } from "../errors.ts";
import { type Files, readBytes } from "../weights/files.ts";
import { createTokenizer } from "./codec.ts";
import { endsOfText } from "./end_of_text.ts";
import { type FolderConfig, MAX_FILE, readFolderConfig, readJsonObject } from "./folder_config.ts";
import { parseSentencePiece, sentencePieceSpec } from "./sentencepiece.ts";
import { namedEncoding, tiktokenSpec } from "./tiktoken.ts";
import { tokenizerJsonSpec } from "./tokenizer_json.ts";
import type { Tokenizer, TokenizerSpec } from "./types.ts";

export type { DecodeOptions, EncodeOptions, StreamOptions, Tokenizer, TokenStream } from "./types.ts";

/** Characters of all added tokens together: 2^21 ids would still fit at two each, and the tree of them in memory. */
const MAX_ADDED_TEXT = 2 ** 22;

/**
 * @param vocabSize ids that the model has (config.json's vocab_size), where the tokenizer is to feed one
 * @throws WeightsError if the folder has no tokenizer, or one that is malformed, not supported, or not for this model
 */
export async function openTokenizer(files: Files, vocabSize?: number): Promise<Tokenizer> {
  const tokenizer = await findTokenizer(files, vocabSize);
  if (tokenizer !== null) return tokenizer;
  throw new WeightsError(
    `${files.label}: expected tokenizer.json, tokenizer.model or the name of a tiktoken encoding in tokenizer_config.json, found none; copy the model's tokenizer files into the folder`,
  );
}

/** The same, or null for a folder without one: weights alone still run on token ids. */
export async function findTokenizer(files: Files, vocabSize?: number): Promise<Tokenizer | null> {
  try {
    const config = await readFolderConfig(files);
    const spec = await readSpec(files, config);
    if (spec === null) return null;
    const characters = spec.added.reduce((sum, token) => sum + token.match.length, 0);
    if (characters > MAX_ADDED_TEXT) {
      throw new WeightsError(
        `${files.label}: added tokens of the tokenizer: expected at most ${MAX_ADDED_TEXT} characters in all, found ${characters}`,
      );
    }
    const fit = vocabSize === undefined ? spec : fitted(spec, vocabSize, files.label);
    return createTokenizer({ ...fit, eosIds: endsOfText(spec, config) });
  } catch (error) {
    // JSON.parse accepts any depth of nesting; what walks the result recursively does not.
    if (!(error instanceof RangeError)) throw error;
    throw new WeightsError(`${files.label}: the tokenizer's files are nested too deeply: ${error.message}`, {
      cause: error,
    });
  }
}

async function readSpec(files: Files, config: FolderConfig): Promise<TokenizerSpec | null> {
  const json = await readJsonObject(files, "tokenizer.json");
  if (json !== null) return tokenizerJsonSpec(json, config, `${files.label}/tokenizer.json`);
  const model = await readBytes(files, "tokenizer.model", MAX_FILE);
  if (model !== null) {
    const where = `${files.label}/tokenizer.model`;
    return sentencePieceSpec(parseSentencePiece(model, where), config, where);
  }
  const modelConfig = (await readJsonObject(files, "config.json")) ?? {};
  const encoding = namedEncoding([config.raw, modelConfig], await files.list());
  return encoding === null ? null : await tiktokenSpec(encoding, config, files.label);
}

/**
 * A tokenizer for a model of `vocabSize` ids. The model may have more ids than the tokenizer (vocabularies are padded), and of
 * the tokenizer's only added tokens may lie beyond the model's: plain ones are then spelled as text, and control tokens
 * come from nothing but a template that writes them.
 * @throws WeightsError where other texts would become ids that the model lacks
 */
function fitted(spec: TokenizerSpec, vocabSize: number, where: string): TokenizerSpec {
  let highest = spec.addBos ? (spec.bosId ?? -1) : -1;
  for (const id of spec.ordinary.values()) highest = Math.max(highest, id);
  for (const id of spec.byteIds ?? []) highest = Math.max(highest, id);
  if (highest >= vocabSize) {
    throw new WeightsError(
      `${where}: texts may become token ${highest} by the tokenizer, and config.json's vocab_size is ${vocabSize}: expected ids below that; are the tokenizer's files those of this model?`,
    );
  }
  return { ...spec, added: spec.added.filter(({ id, special }) => special || id < vocabSize) };
}
