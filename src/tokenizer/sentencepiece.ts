// Reads tokenizer.model (SentencePiece's ModelProto), and makes the tokenizer that it describes.

import { WeightsError } from "../errors.ts";
import { SPACE_MARK } from "./characters.ts";
import { type FolderConfig, MAX_VOCAB } from "./folder_config.ts";
import { mergesOfVocabulary } from "./merges.ts";
import { type Field, ProtobufError, readFields } from "./protobuf.ts";
import type { AddedToken, TokenizerSpec } from "./types.ts";

/** Most characters of an ordinary piece; published vocabularies stay below 100. */
const MAX_PIECE = 256;
/**
 * Most of the sum of squared lengths of pieces, which bounds the search for merges; published
 * vocabularies stay below 2^25.
 */
const MAX_SQUARES = 2 ** 28;

const KINDS = ["", "normal", "unknown", "control", "user defined", "unused", "byte"] as const;
type Kind = Exclude<(typeof KINDS)[number], "">;

interface Piece {
  readonly text: string;
  readonly score: number;
  readonly kind: Kind;
}

/**
 * The fields of ModelProto that decide how text is encoded (sentencepiece_model.proto),
 * with its defaults.
 */
export interface SentencePieceModel {
  readonly pieces: readonly Piece[];
  readonly modelType: number;
  readonly byteFallback: boolean;
  readonly bosId: number;
  readonly eosId: number;
  readonly suffixSpace: boolean;
  readonly normalizer: string;
  readonly charsmapBytes: number;
  readonly dummyPrefix: boolean;
  readonly removeExtraSpaces: boolean;
  readonly escapeSpaces: boolean;
}

/** @throws WeightsError naming the byte, for a file that is not a ModelProto */
export function parseSentencePiece(bytes: Uint8Array, where: string): SentencePieceModel {
  try {
    return readModel(bytes);
  } catch (error) {
    if (!(error instanceof ProtobufError)) throw error;
    throw new WeightsError(
      `${where}: byte ${error.at}: expected a SentencePiece model, found ${error.message}; is the file complete?`,
      { cause: error },
    );
  }
}

function readModel(bytes: Uint8Array): SentencePieceModel {
  const pieces: Piece[] = [];
  let trainer = new Map<number, Field>();
  let normalizer = new Map<number, Field>();
  for (const field of readFields(bytes)) {
    if (field.number > 3) continue; // self-test data, denormalizer, extensions
    if (field.type !== "bytes") throw new ProtobufError(`field ${field.number} of type ${field.type}`, field.at);
    if (field.number === 1) pieces.push(readPiece(field.value, field.at));
    else if (field.number === 2) trainer = lastFields(field.value, field.at);
    else normalizer = lastFields(field.value, field.at);
    if (pieces.length > MAX_VOCAB) throw new ProtobufError(`more than ${MAX_VOCAB} pieces`, field.at);
  }
  return {
    pieces,
    modelType: integer(trainer, 3, 1),
    byteFallback: integer(trainer, 35, 0) !== 0,
    bosId: integer(trainer, 41, 1),
    eosId: integer(trainer, 42, 2),
    suffixSpace: integer(trainer, 24, 0) !== 0,
    normalizer: text(normalizer, 1),
    charsmapBytes: bytesOf(normalizer, 2).length,
    dummyPrefix: integer(normalizer, 3, 1) !== 0,
    removeExtraSpaces: integer(normalizer, 4, 1) !== 0,
    escapeSpaces: integer(normalizer, 5, 1) !== 0,
  };
}

function readPiece(bytes: Uint8Array, at: number): Piece {
  const fields = lastFields(bytes, at);
  const score = fields.get(2);
  const kind = KINDS[integer(fields, 3, 1)];
  if (!kind) throw new ProtobufError(`a piece of unknown type ${integer(fields, 3, 1)}`, at);
  const piece = { text: text(fields, 1), score: score?.type === "fixed32" ? score.value.getFloat32(0, true) : 0, kind };
  if (piece.text === "") throw new ProtobufError("an empty piece", at);
  if (Number.isNaN(piece.score)) throw new ProtobufError(`the piece "${piece.text}" with score NaN`, at);
  return piece;
}

/** The last value of each field, which counts for fields that are not repeated. */
function lastFields(bytes: Uint8Array, at: number): Map<number, Field> {
  const fields = new Map<number, Field>();
  for (const field of readFields(bytes, at)) fields.set(field.number, field);
  return fields;
}

function integer(fields: ReadonlyMap<number, Field>, number: number, otherwise: number): number {
  const field = fields.get(number);
  if (field === undefined) return otherwise;
  if (field.type !== "varint") throw new ProtobufError(`field ${number} of type ${field.type}`, field.at);
  return field.value >= 2 ** 63 ? -1 : field.value; // negative numbers are sign-extended to 64 bits
}

function bytesOf(fields: ReadonlyMap<number, Field>, number: number): Uint8Array {
  const field = fields.get(number);
  if (field === undefined) return new Uint8Array(0);
  if (field.type !== "bytes") throw new ProtobufError(`field ${number} of type ${field.type}`, field.at);
  return field.value;
}

function text(fields: ReadonlyMap<number, Field>, number: number): string {
  const bytes = bytesOf(fields, number);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new ProtobufError("text that is not UTF-8", fields.get(number)?.at ?? 0);
  }
}

/**
 * The tokenizer of a SentencePiece BPE model, equal to SentencePiece itself: SPACE_MARK for
 * spaces, one in front of the text, and merges by the score of their result, the leftmost first
 * of equal ones.
 * @throws WeightsError for a model of another type or with a normalizer, naming it
 */
export function sentencePieceSpec(model: SentencePieceModel, config: FolderConfig, where: string): TokenizerSpec {
  refuse(model, where);
  const pieces: (string | undefined)[] = model.pieces.map((piece) => piece.text);
  const ordinary = new Map<string, number>();
  const added = new Map<number, AddedToken>();
  const byteIds = new Int32Array(256).fill(-1);
  for (const [id, { text, kind }] of model.pieces.entries()) {
    if (kind === "normal") {
      if (text.length > MAX_PIECE) {
        throw new WeightsError(`${where}: piece ${id}: expected at most ${MAX_PIECE} characters, found ${text.length}`);
      }
      if (ordinary.has(text))
        throw new WeightsError(`${where}: pieces ${ordinary.get(text)} and ${id} are both "${text}"`);
      ordinary.set(text, id);
    } else if (kind === "unused") {
      pieces[id] = undefined;
    } else if (kind === "byte") {
      const byte = /^<0x([0-9A-F]{2})>$/.exec(text);
      if (!byte) throw new WeightsError(`${where}: piece ${id}: expected a byte such as <0x0A>, found "${text}"`);
      byteIds[Number.parseInt(byte[1]!, 16)] = id;
    } else {
      // SentencePiece matches user-defined pieces in normalized text; transformers matches control
      // pieces in the raw text.
      const special = kind !== "user defined";
      const match = special ? text : text.replaceAll(" ", SPACE_MARK);
      added.set(id, { id, content: text, match, special, normalized: !special, lstrip: false, rstrip: false });
    }
  }
  refuseUnused(model, ordinary, where);
  for (const token of config.added) {
    // A user-defined piece that is listed is matched in the raw text, like every added token.
    const kind = model.pieces[token.id]?.kind;
    if (kind !== undefined && kind !== "user defined") continue;
    added.set(token.id, { ...token, normalized: false });
    pieces[token.id] = token.content;
  }
  const hasBytes = byteIds.every((id) => id >= 0);
  if (model.byteFallback && !hasBytes) {
    throw new WeightsError(
      `${where}: expected the 256 byte pieces that byte_fallback needs, found ${byteIds.filter((id) => id >= 0).length}`,
    );
  }
  const rank = ranks(model.pieces);
  const unkId = model.pieces.findIndex((piece) => piece.kind === "unknown");
  const everySection = config.legacy ?? true;
  const idOf = (name: string | null, otherwise: number): number | null => {
    const token = [...added.values()].find((one) => one.content === name);
    return token?.id ?? (model.pieces[otherwise]?.kind === "control" ? otherwise : null);
  };
  const eosId = idOf(config.eosToken, model.eosId);
  return {
    pieces,
    added: [...added.values()],
    ordinary,
    merges: mergesOfVocabulary(ordinary, (id) => rank[id]!),
    spelling: "text",
    byteIds: model.byteFallback ? byteIds : null,
    unkId: unkId < 0 ? null : unkId,
    fuseUnk: true,
    wholeWords: false,
    normalize: (section, first) =>
      (model.dummyPrefix && (first || everySection) ? SPACE_MARK : "") + section.replaceAll(" ", SPACE_MARK),
    words: (normalized) => [normalized],
    stripSpace: model.dummyPrefix,
    bosId: idOf(config.bosToken, model.bosId),
    eosIds: eosId === null ? [] : [eosId],
    addBos: config.addBos ?? true,
  };
}

/** Rejects features of SentencePiece that this file does not support. */
function refuse(model: SentencePieceModel, where: string): void {
  const types: Readonly<Record<number, string>> = { 1: "unigram", 3: "word", 4: "char" };
  const found = (what: string, remedy = "a tokenizer.json beside it would be read instead") => {
    throw new WeightsError(`${where}: ${what}; ${remedy}`);
  };
  if (model.pieces.length === 0) found("expected pieces, found none", "is this a SentencePiece model?");
  if (model.modelType !== 2) {
    found(`expected a BPE model, found model_type ${model.modelType} (${types[model.modelType] ?? "unknown"})`);
  }
  if (model.charsmapBytes > 0 || (model.normalizer !== "identity" && model.normalizer !== "")) {
    found(`expected the normalizer "identity", found "${model.normalizer}"`);
  }
  if (model.removeExtraSpaces) found("remove_extra_whitespaces is not supported");
  if (!model.escapeSpaces) found("escape_whitespaces = false is not supported");
  if (model.suffixSpace) found("treat_whitespace_as_suffix is not supported");
  const merged = model.pieces.filter(({ kind }) => kind === "normal" || kind === "unused");
  const squares = merged.reduce((sum, { text }) => sum + text.length ** 2, 0);
  if (squares > MAX_SQUARES) found("its pieces are longer in all than any vocabulary's", "is the file intact?");
}

/**
 * SentencePiece merges into unused pieces too, and cuts them again afterwards. Those that only
 * fill a vocabulary up cannot be reached: they are just not there.
 */
function refuseUnused(model: SentencePieceModel, ordinary: ReadonlyMap<string, number>, where: string): void {
  const unused = new Set(model.pieces.filter((piece) => piece.kind === "unused").map(({ text }) => text));
  const known = (text: string): boolean => ordinary.has(text) || unused.has(text);
  for (const [id, { text, kind }] of model.pieces.entries()) {
    if (kind !== "unused") continue;
    let reached = text.length === (text.codePointAt(0)! > 0xffff ? 2 : 1);
    for (let cut = 1; cut < text.length && !reached; cut++)
      reached = known(text.slice(0, cut)) && known(text.slice(cut));
    if (!reached) continue;
    throw new WeightsError(
      `${where}: piece ${id}: pieces of type UNUSED that text can become are not supported; a tokenizer.json beside it would be read instead`,
    );
  }
}

/** The rank of each id's score, best first. Equal scores have equal ranks. */
function ranks(pieces: readonly Piece[]): Int32Array {
  const scores = [...new Set(pieces.map((piece) => piece.score))].sort((a, b) => b - a);
  const rankOf = new Map(scores.map((score, rank) => [score, rank]));
  return Int32Array.from(pieces, (piece) => rankOf.get(piece.score)!);
}
