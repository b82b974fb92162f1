// The small files of the folder that a GGUF file was made of (tokenizer, chat templates, settings
// of generation), made from its metadata when they are read.

import { WeightsError } from "../../errors.ts";
import { isPlainName } from "../files.ts";
import { generationConfig } from "./generation.ts";
import type { Metadata } from "./metadata.ts";
import { NO_NAME, PRE_TOKENIZERS, type PreTokenizer } from "./pre_tokenizers.ts";
import { readScores, sentencePieceFile } from "./sentencepiece_file.ts";
import { byteLevelFile, spaceMarkFile } from "./tokenizer_json_file.ts";
import { type DefaultIds, readVocabulary, type Vocabulary } from "./vocabulary.ts";

/** Names of files ("additional_chat_templates/x.jinja"), and what makes each one's bytes. */
export type SmallFiles = ReadonlyMap<string, () => Uint8Array>;

const MODEL = "tokenizer.ggml.model";
const PRE = "tokenizer.ggml.pre";
const WHOLE = "tokenizer.huggingface.json";
const MERGES = "tokenizer.ggml.merges";
const ADD_BOS = "tokenizer.ggml.add_bos_token";
const TEMPLATE = "tokenizer.chat_template";
/** It ends an answer in vocabularies whose EOS is another token, too. */
const SENTENCE_END = "</s>";
/** What to do about a vocabulary that cannot be used. */
const REMEDY = "use the tokenizer of the original model: --tokenizer <folder>, or the option tokenizer of open()";

/**
 * The files that this metadata stands for. Little is looked at before a file is read; one that
 * cannot be made throws a WeightsError then.
 */
export function smallFiles(m: Metadata): SmallFiles {
  const files = new Map<string, () => Uint8Array>();
  const add = (name: string, make: () => string | Uint8Array): void => {
    files.set(name, () => {
      const made = make();
      return typeof made === "string" ? new TextEncoder().encode(made) : made;
    });
  };
  const vocabulary = lazily(() => vocabularyOf(m));
  const read = lazily(() => readTokenizer(m, vocabulary));
  const name = tokenizerName(m, read);
  if (name !== null) {
    add(name, read);
    add("tokenizer_config.json", () => JSON.stringify(tokenizerConfig(m, vocabulary)));
  }
  add("generation_config.json", () => JSON.stringify(generationConfig(m)));
  for (const [name, key] of templates(m)) add(name, () => m.text(key));
  return files;
}

/**
 * A sentence for the user about a vocabulary that cannot be used, or may be read otherwise than it
 * was meant; null if there is nothing to say.
 */
export function tokenizerNote(m: Metadata): string | null {
  try {
    const read = lazily(() => readTokenizer(m, () => vocabularyOf(m)));
    if (tokenizerName(m, read) === null) return null;
    read();
    return wordsNote(m);
  } catch (error) {
    if (!(error instanceof WeightsError)) throw error;
    return error.message;
  }
}

/** The same for a vocabulary that can be used, or was not looked at. */
export function wordsNote(m: Metadata): string | null {
  if (m.has(WHOLE) || m.text(MODEL, "none") !== "gpt2" || m.text(PRE, NO_NAME) !== NO_NAME) return null;
  return `${PRE} is ${m.has(PRE) ? `"${NO_NAME}"` : "missing"}: words are cut by rules that fit few models; ${REMEDY}`;
}

function lazily<T>(make: () => T): () => T {
  let made: { readonly value: T } | null = null;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** Which file the vocabulary is written as, or null without one. */
function tokenizerName(m: Metadata, read: () => string | Uint8Array): "tokenizer.json" | "tokenizer.model" | null {
  if (m.has(WHOLE)) return "tokenizer.json";
  const model = m.text(MODEL, "none");
  if (model === "none") return null;
  if (model !== "llama") return "tokenizer.json";
  if (!m.has(MERGES)) return "tokenizer.model";
  try {
    return typeof read() === "string" ? "tokenizer.json" : "tokenizer.model";
  } catch {
    return "tokenizer.json"; // fails again when it is read
  }
}

/** Ids that llama.cpp assumes for a SentencePiece vocabulary. */
const LLAMA_IDS: DefaultIds = { bos: 1, eos: 2, unk: 0 };
const NO_IDS: DefaultIds = { bos: null, eos: null, unk: null };

function vocabularyOf(m: Metadata): Vocabulary {
  return readVocabulary(m, m.text(MODEL, "none") === "llama" ? LLAMA_IDS : NO_IDS);
}

/** The tokenizer's file: text for tokenizer.json, bytes for tokenizer.model. */
function readTokenizer(m: Metadata, vocabulary: () => Vocabulary): string | Uint8Array {
  if (m.has(WHOLE)) return m.text(WHOLE);
  const model = m.text(MODEL);
  if (model === "gpt2") return byteLevelFile(m, vocabulary(), preTokenizer(m));
  if (model !== "llama")
    throw m.error(
      MODEL,
      `tokenizers of type "${model.slice(0, 80)}" are not supported (supported: llama, gpt2); ${REMEDY}`,
    );
  const scores = readScores(m, vocabulary());
  if (scores !== null) return sentencePieceFile(m, vocabulary(), scores);
  if (m.has(MERGES)) return spaceMarkFile(m, vocabulary());
  throw m.error(
    "tokenizer.ggml.scores",
    `expected scores that say which tokens are merged first, found ${m.has("tokenizer.ggml.scores") ? "the same for all" : "none"}, and no ${MERGES}: the file was converted without the vocabulary's order; ${REMEDY}`,
  );
}

function preTokenizer(m: Metadata): PreTokenizer {
  const name = m.text(PRE, NO_NAME);
  const found = PRE_TOKENIZERS.get(name);
  if (found !== undefined) return found;
  const names = [...PRE_TOKENIZERS.keys()].join(", ");
  throw m.error(PRE, `"${name.slice(0, 80)}" is not known: expected one of ${names}; ${REMEDY}`);
}

/** tokenizer_config.json: which tokens have a meaning, by their texts. */
function tokenizerConfig(m: Metadata, vocabulary: () => Vocabulary): Readonly<Record<string, unknown>> {
  if (!m.has("tokenizer.ggml.tokens")) return {};
  const model = m.text(MODEL, "none");
  const assumed = model === "llama" || (model === "gpt2" && PRE_TOKENIZERS.get(m.text(PRE, NO_NAME))?.addBos === true);
  const { tokens, bosId, eosId, eotId, eomId, unkId, padId } = vocabulary();
  const text = (id: number | null): string | undefined => (id === null ? undefined : tokens[id]!.text);
  const end = tokens.findIndex((token) => token.text === SENTENCE_END && token.kind === "control");
  const sentenceEnd = end < 0 || end === eosId ? null : end;
  const userDefined = tokens.flatMap(({ text, kind }, id) =>
    kind === "user defined" ? [[id, { content: text, special: false, normalized: false }] as const] : [],
  );
  return {
    bos_token: text(bosId),
    eos_token: text(eosId),
    eot_token: text(eotId ?? sentenceEnd),
    eom_token: text(eomId),
    unk_token: text(unkId),
    pad_token: text(padId),
    // a whole tokenizer.json says so itself
    add_bos_token: m.has(WHOLE) && !m.has(ADD_BOS) ? undefined : m.flag(ADD_BOS, assumed),
    add_eos_token: m.flag("tokenizer.ggml.add_eos_token", false),
    added_tokens_decoder: Object.fromEntries(userDefined),
  };
}

/** Names of template files and the keys that hold them. */
function templates(m: Metadata): (readonly [string, string])[] {
  const found: (readonly [string, string])[] = [];
  if (m.has(TEMPLATE)) found.push(["chat_template.jinja", TEMPLATE]);
  for (const key of m.keys()) {
    if (!key.startsWith(`${TEMPLATE}.`)) continue;
    const name = key.slice(TEMPLATE.length + 1);
    if (isPlainName(name)) found.push([`additional_chat_templates/${name}.jinja`, key]);
  }
  return found;
}
