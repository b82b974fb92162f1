// Reads tokenizer.json: its BPE vocabulary and merges. @huggingface/tokenizers runs its normalizer
// and pre-tokenizer.

import { Tokenizer as Library } from "@huggingface/tokenizers";
import { WeightsError } from "../errors.ts";
import { SPACE_MARK } from "./characters.ts";
import {
  addedToken,
  asObject,
  type FolderConfig,
  isId,
  isObject,
  type JsonObject,
  MAX_VOCAB,
  shown,
} from "./folder_config.ts";
import { MAX_RANK, type Merge, Merges } from "./merges.ts";
import type { AddedToken, TokenizerSpec } from "./types.ts";
import { isWhite, trimEnd, trimStart } from "./white_space.ts";

/**
 * Unicode's normal forms expand a character to at most 18. A normalizer that expands a text more
 * than this is stopped.
 */
const MAX_GROWTH = 64;

/**
 * The tokenizer that a tokenizer.json describes. Ids equal those of the reference
 * implementation (Rust `tokenizers`), with one intended difference: merges never turn text into
 * a control or byte token.
 * @throws WeightsError naming the part that is malformed or not supported
 */
export function tokenizerJsonSpec(json: JsonObject, config: FolderConfig, where: string): TokenizerSpec {
  const model = asObject(json.model);
  checkModel(model, where);
  const added = listOf(json.added_tokens, "added_tokens", where).map((token) => addedToken(token, where));
  const { pieces, ids } = readVocabulary(model, added, where);
  const byteIds = model.byte_fallback === true ? findBytes(ids) : null;
  const ordinary = new Map(ids);
  for (const token of added) if (token.special) ordinary.delete(token.content);
  if (byteIds !== null) for (const id of byteIds) ordinary.delete(pieces[id]!);
  const { spelling, stripSpace } = readDecoder(json.decoder, where);
  const { normalize, losesStart, words } = textRules(json, where);
  const template = templateStart(json.post_processor);
  const idOf = (name: string | null): number | null =>
    name === null ? null : (added.find((token) => token.content === name)?.id ?? ids.get(name) ?? null);
  const bosId = idOf(config.bosToken ?? template);
  const eosId = idOf(config.eosToken);
  return {
    pieces,
    added: added.map((token) => (token.normalized ? { ...token, match: normalize(token.content, false) } : token)),
    ordinary,
    merges: readMerges(model, ids, ordinary, where),
    spelling,
    byteIds,
    unkId: typeof model.unk_token === "string" ? idOf(model.unk_token) : null,
    fuseUnk: model.fuse_unk === true,
    wholeWords: model.ignore_merges === true,
    normalize,
    losesStart,
    words,
    stripSpace,
    bosId,
    eosIds: eosId === null ? [] : [eosId],
    addBos: config.addBos ?? template !== null,
  };
}

function checkModel(model: JsonObject, where: string): void {
  // old files have no type
  const type = model.type ?? (Array.isArray(model.merges) ? "BPE" : undefined);
  if (type !== "BPE") {
    throw new WeightsError(
      `${where}: model: expected type "BPE", found ${shown(type)}; other models are not supported`,
    );
  }
  for (const name of ["continuing_subword_prefix", "end_of_word_suffix"]) {
    if (model[name]) throw new WeightsError(`${where}: model.${name} ${shown(model[name])} is not supported`);
  }
}

function readVocabulary(model: JsonObject, added: readonly AddedToken[], where: string) {
  const pieces: (string | undefined)[] = [];
  const ids = new Map<string, number>();
  for (const [piece, id] of Object.entries(asObject(model.vocab))) {
    if (!isId(id)) {
      throw new WeightsError(
        `${where}: model.vocab[${shown(piece)}]: expected an id below ${MAX_VOCAB}, found ${shown(id)}`,
      );
    }
    if (pieces[id] !== undefined) {
      throw new WeightsError(`${where}: model.vocab: ${shown(pieces[id])} and ${shown(piece)} have the same id ${id}`);
    }
    pieces[id] = piece;
    ids.set(piece, id);
  }
  if (ids.size === 0) throw new WeightsError(`${where}: model.vocab: expected pieces and their ids, found none`);
  for (const token of added) pieces[token.id] = token.content;
  return { pieces, ids };
}

/**
 * Ids of <0x00>..<0xFF>, or null if one is missing: characters without a piece are
 * then unknown tokens.
 */
function findBytes(ids: ReadonlyMap<string, number>): Int32Array | null {
  const found = Int32Array.from({ length: 256 }, (_, byte) => {
    const name = `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;
    return ids.get(name) ?? -1;
  });
  return found.every((id) => id >= 0) ? found : null;
}

/** Reads `merges`, a list of "a b" or of ["a", "b"]. A pair's index is its rank. */
function readMerges(
  model: JsonObject,
  ids: ReadonlyMap<string, number>,
  ordinary: ReadonlyMap<string, number>,
  where: string,
): Merges {
  const list = listOf(model.merges, "model.merges", where);
  if (list.length >= MAX_RANK) {
    throw new WeightsError(`${where}: model.merges: expected fewer than ${MAX_RANK}, found ${list.length}`);
  }
  const merges: Merge[] = [];
  for (const [rank, entry] of list.entries()) {
    const pair: unknown[] = typeof entry === "string" ? entry.split(" ") : Array.isArray(entry) ? entry : [];
    const [a, b] = pair;
    if (pair.length !== 2 || typeof a !== "string" || typeof b !== "string") {
      throw new WeightsError(`${where}: model.merges[${rank}]: expected two pieces, found ${shown(entry)}`);
    }
    const left = ids.get(a);
    const right = ids.get(b);
    const joined = a + b; // once: each costs a new string and its hash
    const result = ordinary.get(joined);
    if (left === undefined || right === undefined || (result === undefined && !ids.has(joined))) {
      const missing = left === undefined ? a : right === undefined ? b : joined;
      throw new WeightsError(`${where}: model.merges[${rank}]: ${shown(missing)} is not in model.vocab`);
    }
    if (result !== undefined) merges.push({ left, right, rank, result });
  }
  return new Merges(merges);
}

/**
 * How pieces spell text, and whether decoding drops the first space, from the parts of the decoder.
 */
function readDecoder(decoder: unknown, where: string): { spelling: "text" | "bytes"; stripSpace: boolean } {
  let spelling: "text" | "bytes" = "text";
  let stripSpace = false;
  for (const part of flatten(decoder, "decoders")) {
    const replacesSpace = asObject(part.pattern).String === SPACE_MARK && part.content === " ";
    const stripsOne = part.content === " " && part.start === 1 && part.stop === 0;
    if (part.type === "ByteLevel") spelling = "bytes";
    else if (part.type === "Metaspace" && (part.replacement ?? SPACE_MARK) === SPACE_MARK)
      stripSpace = prependScheme(part) !== "never";
    else if (part.type === "Strip" && stripsOne) stripSpace = true;
    else if (part.type === "Strip" && part.start === 0 && part.stop === 0) continue;
    else if (part.type !== "ByteFallback" && part.type !== "Fuse" && !(part.type === "Replace" && replacesSpace)) {
      throw new WeightsError(
        `${where}: decoder ${shown(part)} is not supported (supported: ByteLevel, Metaspace, and SentencePiece's Replace, ByteFallback, Fuse, Strip)`,
      );
    }
  }
  return { spelling, stripSpace };
}

/**
 * One step of normalization. `takesStart`: it may remove the beginning of a text (see losesStart).
 */
interface Normalizer {
  readonly takesStart: boolean;
  readonly run: (text: string) => string;
}

function normalizerOf(part: JsonObject, where: string): Normalizer {
  if (part.type === "Strip") {
    const [left, right] = [part.strip_left === true, part.strip_right === true];
    const run = (text: string): string => {
      const rest = left ? trimStart(text) : text;
      return right ? trimEnd(rest) : rest;
    };
    return { takesStart: left, run };
  }
  checkPattern(part, "normalizer", where);
  const { normalizer } = makeLibrary({ normalizer: part, pre_tokenizer: null }, where);
  return { takesStart: false, run: (text) => normalizer?.normalize(text) ?? text };
}

/** The normalizer and the pre-tokenizer as functions. */
function textRules(
  json: JsonObject,
  where: string,
): Required<Pick<TokenizerSpec, "normalize" | "losesStart" | "words">> {
  const parts = flatten(json.pre_tokenizer, "pretokenizers").map((part) => readyForLibrary(part, where));
  const cutAtSpaces = parts.some((part) => part.type === "Metaspace" && part.split !== false);
  if (cutAtSpaces && parts.length > 1) {
    throw new WeightsError(
      `${where}: pre_tokenizer Metaspace with others in a row is not supported unless "split" is false`,
    );
  }
  const normalizers = flatten(json.normalizer, "normalizers").map((part) => normalizerOf(part, where));
  const takeStart = normalizers.some(({ takesStart }) => takesStart);
  /**
   * The text after each step. An empty text stays empty, even if a later step prepends something.
   */
  function* steps(section: string): Generator<{ before: string; after: string; takesStart: boolean }> {
    let before = section;
    for (const { run, takesStart } of normalizers) {
      if (before === "") return;
      const after = run(before);
      if (after.length > MAX_GROWTH * (section.length + MAX_GROWTH)) {
        throw new RangeError(`${section.length} characters became ${after.length}`);
      }
      yield { before, after, takesStart };
      before = after;
    }
  }
  const { pre_tokenizer } = makeLibrary(
    { normalizer: null, pre_tokenizer: parts.length === 0 ? null : { type: "Sequence", pretokenizers: parts } },
    where,
  );
  return {
    normalize: guarded(where, (section: string) => {
      let text = section;
      for (const { after } of steps(section)) text = after;
      return text;
    }),
    losesStart: guarded(where, (section: string) => {
      if (!takeStart) return false;
      for (const { before, takesStart } of steps(section)) if (takesStart && isWhite(before[0]!)) return true;
      return false;
    }),
    words: guarded(where, (text: string, first: boolean) => {
      const words: readonly string[] = pre_tokenizer
        ? pre_tokenizer.pre_tokenize(text, { section_index: first ? 0 : 1 })
        : [text];
      return cutAtSpaces ? words.flatMap((word) => word.split(/(?=\u2581)/u)) : words;
    }),
  };
}

/** Reports errors of the library as the file's fault: usable rules work on any text. */
function guarded<A extends unknown[], R>(where: string, rule: (...args: A) => R): (...args: A) => R {
  return (...args) => {
    try {
      return rule(...args);
    } catch (error) {
      throw new WeightsError(`${where}: normalizer or pre_tokenizer: ${(error as Error).message}`, { cause: error });
    }
  };
}

/**
 * Rejects unknown patterns. The library would skip the part silently, and words would
 * be cut differently.
 */
function checkPattern(part: JsonObject, name: string, where: string): void {
  if (part.type !== "Split" && part.type !== "Replace") return;
  const { String: plain, Regex: regex } = asObject(part.pattern);
  if (typeof (regex ?? plain) === "string") return;
  throw new WeightsError(
    `${where}: ${name} ${part.type}: expected a pattern { "String": ... } or { "Regex": ... }, found ${shown(part.pattern)}`,
  );
}

/** The library's tokenizer without a vocabulary: only its normalizer and pre-tokenizer are used. */
function makeLibrary(parts: JsonObject, where: string): Library {
  try {
    const model = { type: "BPE", vocab: {}, merges: [] };
    return new Library({ ...parts, model, added_tokens: [], post_processor: null, decoder: null }, {});
  } catch (error) {
    throw new WeightsError(`${where}: normalizer or pre_tokenizer: ${(error as Error).message}`, { cause: error });
  }
}

/** A pre-tokenizer, changed so that the library agrees with the reference implementation. */
function readyForLibrary(part: JsonObject, where: string): JsonObject {
  if (part.type === "Metaspace") {
    if ((part.replacement ?? SPACE_MARK) !== SPACE_MARK) {
      throw new WeightsError(
        `${where}: pre_tokenizer Metaspace: replacement ${shown(part.replacement)} is not supported`,
      );
    }
    // the library does not read add_prefix_space
    return { ...part, prepend_scheme: prependScheme(part) };
  }
  if (part.type === "Split") {
    const behavior = part.behavior;
    if (behavior !== "Isolated" && behavior !== "Removed") {
      throw new WeightsError(`${where}: pre_tokenizer Split: behavior ${shown(behavior)} is not supported`);
    }
    checkPattern(part, "pre_tokenizer", where);
    if (behavior === "Isolated") return { ...part, invert: false }; // the same cuts either way
  }
  return part;
}

/** Metaspace's rule for the first space, which older files have as add_prefix_space. */
function prependScheme(part: JsonObject): unknown {
  return part.prepend_scheme ?? (part.add_prefix_space === false ? "never" : "always");
}

/** The token that the post-processor's template puts in front of a text, or null. */
function templateStart(postProcessor: unknown): string | null {
  for (const part of flatten(postProcessor, "processors")) {
    if (part.type !== "TemplateProcessing" || !Array.isArray(part.single)) continue;
    const id = asObject(asObject(part.single[0]).SpecialToken).id;
    if (typeof id === "string") return id;
  }
  return null;
}

/**
 * The parts of a possibly nested "Sequence", in order. Depth is bounded by what JSON.parse accepts.
 */
function flatten(value: unknown, listName: string): JsonObject[] {
  if (!isObject(value)) return [];
  const inner = value[listName];
  return value.type === "Sequence" && Array.isArray(inner) ? inner.flatMap((one) => flatten(one, listName)) : [value];
}

function listOf(value: unknown, name: string, where: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value)) return value;
  throw new WeightsError(`${where}: ${name}: expected a list, found ${shown(value)}`);
}
