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

/**
 * The whole file. It is put together as text, because an object in memory would order numbers
 * first, and could not hold every name.
 */
function file(m: Metadata, { tokens }: Vocabulary, rules: Json & { readonly model: Json }): string {
  const { model, ...rest } = rules;
  const front = JSON.stringify({ version: "1.0", added_tokens: addedTokens(tokens), post_processor: null, ...rest });
  const head = JSON.stringify({ type: "BPE", ...model });
  const vocab = `{${vocabEntries(tokens).join(",")}}`;
  return `${front.slice(0, -1)},"model":${head.slice(0, -1)},"vocab":${vocab},"merges":${mergesOf(m)}}}`;
}

function addedTokens(tokens: readonly Token[]): unknown[] {
  return tokens.flatMap(({ text, kind }, id) => {
    if (kind === "normal" || kind === "unused" || kind === "byte") return [];
    return [{ id, content: text, special: kind !== "user defined", normalized: false }];
  });
}

/** Added tokens are entries too, unless an ordinary token has the same text. */
function vocabEntries(tokens: readonly Token[]): string[] {
  const ordinary = new Set(tokens.filter(({ kind }) => kind === "normal").map(({ text }) => text));
  return tokens.flatMap(({ text, kind }, id) =>
    kind === "unused" || (kind !== "normal" && ordinary.has(text)) ? [] : [`${JSON.stringify(text)}:${id}`],
  );
}

function mergesOf(m: Metadata): string {
  const merges = m.texts(MERGES);
  if (merges.length >= MAX_MERGES) throw m.error(MERGES, `expected fewer than ${MAX_MERGES}, found ${merges.length}`);
  const pairs = merges.map((merge, rank) => {
    const cut = merge.indexOf(" ", 1); // the left one may itself begin with a space
    if (cut < 0)
      throw m.error(MERGES, `merge ${rank}: expected two tokens with a space between, found ${shown(merge)}`);
    return JSON.stringify([merge.slice(0, cut), merge.slice(cut + 1)]);
  });
  return `[${pairs.join(",")}]`;
}
