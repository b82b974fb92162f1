// Opens the tokenizer of a folder: tokenizer.json, else tokenizer.model, else a tiktoken encoding named by a config.

import { WeightsError } from "../errors.ts";
import { type Files, readBytes } from "../weights/files.ts";
import { createTokenizer } from "./codec.ts";
import { MAX_FILE, readFolderConfig, readJsonObject } from "./folder_config.ts";
import { parseSentencePiece, sentencePieceSpec } from "./sentencepiece.ts";
import { namedEncoding, tiktokenSpec } from "./tiktoken.ts";
import { tokenizerJsonSpec } from "./tokenizer_json.ts";
import type { Tokenizer, TokenizerSpec } from "./types.ts";

export type { DecodeOptions, EncodeOptions, StreamOptions, Tokenizer, TokenStream } from "./types.ts";

/** Characters of all added tokens together: 2^21 ids would still fit at two each, and the tree of them in memory. */
const MAX_ADDED_TEXT = 2 ** 22;

/** @throws WeightsError if the folder has no tokenizer, or one that is malformed or not supported */
export async function openTokenizer(files: Files): Promise<Tokenizer> {
  const tokenizer = await findTokenizer(files);
  if (tokenizer !== null) return tokenizer;
  throw new WeightsError(
    `${files.label}: expected tokenizer.json, tokenizer.model or the name of a tiktoken encoding in tokenizer_config.json, found none; copy the model's tokenizer files into the folder`,
  );
}

/** The same, or null for a folder without one: weights alone still run on token ids. */
export async function findTokenizer(files: Files): Promise<Tokenizer | null> {
  try {
    const spec = await readSpec(files);
    if (spec === null) return null;
    const characters = spec.added.reduce((sum, token) => sum + token.match.length, 0);
    if (characters > MAX_ADDED_TEXT) {
      throw new WeightsError(
        `${files.label}: added tokens of the tokenizer: expected at most ${MAX_ADDED_TEXT} characters in all, found ${characters}`,
      );
    }
    return createTokenizer(spec);
  } catch (error) {
    // JSON.parse accepts any depth of nesting; what walks the result recursively does not.
    if (!(error instanceof RangeError)) throw error;
    throw new WeightsError(`${files.label}: the tokenizer's files are nested too deeply: ${error.message}`, {
      cause: error,
    });
  }
}

async function readSpec(files: Files): Promise<TokenizerSpec | null> {
  const config = await readFolderConfig(files);
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
 * Checks a tokenizer against the model it feeds. The model may have more ids (vocabularies are padded), not fewer.
 * @param vocabSize config.json's vocab_size; `where` names the folder or file in the message
 * @throws WeightsError
 */
export function checkVocab(tokenizer: Tokenizer, vocabSize: number, where: string): void {
  if (tokenizer.vocabSize <= vocabSize) return;
  throw new WeightsError(
    `${where}: the tokenizer has ${tokenizer.vocabSize} ids and config.json's vocab_size is ${vocabSize}: expected no more ids than that; are the tokenizer's files those of this model?`,
  );
}
