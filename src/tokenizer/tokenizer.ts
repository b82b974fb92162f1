// Opens the tokenizer of a folder: tokenizer.json, else tokenizer.model, else a tiktoken encoding
// named by a config.

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

/**
 * Most characters of all added tokens together: 2^21 ids of two characters fit, and their tree fits
 * in memory.
 */
const MAX_ADDED_TEXT = 2 ** 22;

/**
 * @param vocabSize the model's number of ids (config.json's vocab_size), if the tokenizer is for a
 * model
 * @throws WeightsError if the folder has no tokenizer, or one that is malformed, not supported, or
 * not for this model
 */
export async function openTokenizer(files: Files, vocabSize?: number): Promise<Tokenizer> {
  const tokenizer = await findTokenizer(files, vocabSize);
  if (tokenizer !== null) return tokenizer;
  throw new WeightsError(
    `${files.label}: expected tokenizer.json, tokenizer.model or the name of a tiktoken encoding in tokenizer_config.json, found none; copy the model's tokenizer files into the folder, or name another place (--tokenizer)`,
  );
}

/**
 * As openTokenizer(), but null for a folder without a tokenizer: its model still takes token ids.
 */
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
    // JSON.parse accepts any depth of nesting; recursive code that walks the result does not.
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
 * Fits a tokenizer to a model of `vocabSize` ids. The model may have more ids than the tokenizer
 * (vocabularies are padded). Of the tokenizer's ids only added tokens may be beyond the model's:
 * ordinary ones are then spelled as text; control tokens are kept, because only a template could
 * write them.
 * @throws WeightsError if ordinary text could become an id that the model lacks
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
