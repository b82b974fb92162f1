// Writes the tokenizer.model (SentencePiece's ModelProto) that a GGUF vocabulary was made of.

import type { Metadata } from "./metadata.ts";
import type { TokenKind, Vocabulary } from "./vocabulary.ts";

/** Numbers of sentencepiece_model.proto. */
const KINDS: Readonly<Record<TokenKind, number>> = {
  normal: 1,
  unknown: 2,
  control: 3,
  "user defined": 4,
  unused: 5,
  byte: 6,
};
const BPE = 2;

/**
 * Scores of the tokens, or null if they cannot say which merge goes first: a file made of a
 * tokenizer.json alone gives every token the same.
 * @throws WeightsError for scores of another number than the tokens, or that are no numbers
 */
export function readScores(m: Metadata, { tokens }: Vocabulary): ArrayLike<number> | null {
  const key = "tokenizer.ggml.scores";
  if (!m.has(key)) return null;
  const scores = m.numbers(key);
  if (scores.length !== tokens.length)
    throw m.error(key, `expected ${tokens.length}, one for each token, found ${scores.length}`);
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const [id, { kind }] of tokens.entries()) {
    const score = scores[id]!;
    if (!Number.isFinite(score)) throw m.error(key, `token ${id}: expected a number, found ${score}`);
    if (kind !== "normal") continue;
    least = Math.min(least, score);
    most = Math.max(most, score);
  }
  return least < most ? scores : null;
}

/** The bytes of the file. */
export function sentencePieceFile(m: Metadata, vocabulary: Vocabulary, scores: ArrayLike<number>): Uint8Array {
  const { tokens, bosId, eosId } = vocabulary;
  const bytes = tokens.reduce((sum, { kind }) => sum + (kind === "byte" ? 1 : 0), 0);
  const file = new ProtobufWriter();
  for (const [id, { text, kind }] of tokens.entries()) {
    const piece = new ProtobufWriter();
    piece.text(1, text);
    piece.float(2, scores[id]!);
    piece.integer(3, KINDS[kind]);
    file.bytes(1, piece.finish());
  }
  const trainer = new ProtobufWriter();
  trainer.integer(3, BPE);
  trainer.integer(35, bytes === 256 ? 1 : 0);
  if (bosId !== null) trainer.integer(41, bosId);
  if (eosId !== null) trainer.integer(42, eosId);
  file.bytes(2, trainer.finish());
  const normalizer = new ProtobufWriter();
  normalizer.text(1, "identity");
  normalizer.integer(3, m.flag("tokenizer.ggml.add_space_prefix", true) ? 1 : 0);
  normalizer.integer(4, m.flag("tokenizer.ggml.remove_extra_whitespaces", false) ? 1 : 0);
  normalizer.integer(5, 1);
  file.bytes(3, normalizer.finish());
  return file.finish();
}

/** One protobuf message (protobuf.dev, "Encoding"). */
class ProtobufWriter {
  #buffer = new Uint8Array(64);
  #length = 0;

  integer(field: number, value: number): void {
    this.#varint(field * 8);
    this.#varint(value);
  }

  float(field: number, value: number): void {
    this.#varint(field * 8 + 5);
    this.#grow(4);
    new DataView(this.#buffer.buffer).setFloat32(this.#length, value, true);
    this.#length += 4;
  }

  text(field: number, value: string): void {
    this.bytes(field, new TextEncoder().encode(value));
  }

  bytes(field: number, value: Uint8Array): void {
    this.#varint(field * 8 + 2);
    this.#varint(value.length);
    this.#grow(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  finish(): Uint8Array {
    return this.#buffer.subarray(0, this.#length);
  }

  #varint(value: number): void {
    this.#grow(5);
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#buffer[this.#length++] = (rest % 128) + 128;
    this.#buffer[this.#length++] = rest;
  }

  #grow(bytes: number): void {
    if (this.#length + bytes <= this.#buffer.length) return;
    const larger = new Uint8Array(Math.max(2 * this.#buffer.length, this.#length + bytes));
    larger.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = larger;
  }
}
