// Writes the tokenizer.json that a GGUF vocabulary with merges was made of: of bytes ("gpt2"), or
// of characters with "▁" for spaces ("llama").

import type { Metadata } from "./metadata.ts";
import type { PreTokenizer } from "./pre_tokenizers.ts";
import { shown, type Token, type Vocabulary } from "./vocabulary.ts";

const MERGES = "tokenizer.ggml.merges";
/** Far above any published vocabulary; the reader's own limit. */
const MAX_MERGES = 2 ** 22;
/** "▁", as SentencePiece spells a space. */
const SPACE_MARK = String.fromCharCode(0x2581);

type Json = Readonly<Record<string, unknown>>;

/** A vocabulary of bytes, spelled in GPT-2's alphabet. @throws WeightsError for malformed merges */
export function byteLevelFile(m: Metadata, vocabulary: Vocabulary, words: PreTokenizer): string {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: false };
  const cuts = words.patterns.map((Regex) => {
    return { type: "Split", pattern: { Regex }, behavior: "Isolated", invert: false };
  });
  return file(m, vocabulary, {
    normalizer: words.normalForm ? { type: words.normalForm } : null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [...cuts, byteLevel] },
    decoder: byteLevel,
    model: { ignore_merges: words.wholeWords === true },
  });
}

/** A vocabulary of characters with byte tokens for the others. @throws WeightsError, as above */
export function spaceMarkFile(m: Metadata, vocabulary: Vocabulary): string {
  const prepends = m.flag("tokenizer.ggml.add_space_prefix", true);
  const [mark, space] = [{ String: SPACE_MARK }, { String: " " }];
  const marked = { type: "Replace", pattern: space, content: SPACE_MARK };
  const spaced = { type: "Replace", pattern: mark, content: " " };
  const whole = [{ type: "ByteFallback" }, { type: "Fuse" }];
  const strip = { type: "Strip", content: " ", start: 1, stop: 0 };
  const unknown = vocabulary.unkId === null ? null : vocabulary.tokens[vocabulary.unkId]!.text;
  return file(m, vocabulary, {
    normalizer: {
      type: "Sequence",
      normalizers: [...(prepends ? [{ type: "Prepend", prepend: SPACE_MARK }] : []), marked],
    },
    pre_tokenizer: null,
    decoder: { type: "Sequence", decoders: [spaced, ...whole, ...(prepends ? [strip] : [])] },
    model: { byte_fallback: true, fuse_unk: true, unk_token: unknown },
  });
}

/** The whole file. */
function file(m: Metadata, { tokens }: Vocabulary, rules: Json & { readonly model: Json }): string {
  return JSON.stringify({
    version: "1.0",
    added_tokens: addedTokens(tokens),
    post_processor: null,
    ...rules,
    model: { type: "BPE", ...rules.model, vocab: vocabOf(tokens), merges: mergesOf(m) },
  });
}

function addedTokens(tokens: readonly Token[]): unknown[] {
  return tokens.flatMap(({ text, kind }, id) => {
    if (kind === "normal" || kind === "unused" || kind === "byte") return [];
    return [{ id, content: text, special: kind !== "user defined", normalized: false }];
  });
}

/** Ids by text. Added tokens are entries too, unless an ordinary token has the same text. */
function vocabOf(tokens: readonly Token[]): Readonly<Record<string, number>> {
  const ids = new Map<string, number>();
  for (const [id, { text, kind }] of tokens.entries()) if (kind === "normal") ids.set(text, id);
  for (const [id, { text, kind }] of tokens.entries())
    if (kind !== "normal" && kind !== "unused" && !ids.has(text)) ids.set(text, id);
  return Object.fromEntries(ids); // not by assignment: a token may be "__proto__"
}

/** Each as the file has it, or as a pair where spaces are not only between its tokens. */
function mergesOf(m: Metadata): (string | readonly [string, string])[] {
  const merges = m.texts(MERGES);
  if (merges.length >= MAX_MERGES) throw m.error(MERGES, `expected fewer than ${MAX_MERGES}, found ${merges.length}`);
  return merges.map((merge, rank) => {
    const cut = merge.indexOf(" ", 1); // the left one may itself begin with a space
    if (cut < 0)
      throw m.error(MERGES, `merge ${rank}: expected two tokens with a space between, found ${shown(merge)}`);
    const plain = merge.lastIndexOf(" ") === cut && merge[0] !== " ";
    return plain ? merge : [merge.slice(0, cut), merge.slice(cut + 1)];
  });
}
