// Whether a draft model's tokens are those of the model that it drafts for: whether each id stands
// for the same bytes. Control tokens, which have none, may differ: models that were trained further
// give reserved ones other names. The large model judges every token, so its text is its own.

import { RequestError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/types.ts";

/** A vocabulary; `tokenizer` null: only its size is known. */
export interface Vocabulary {
  readonly label: string;
  readonly vocab: number;
  readonly tokenizer: Tokenizer | null;
}

const NO_BYTES = new Uint8Array(0);

/** @throws RequestError naming the first token whose bytes differ */
export function checkVocabulary(draft: Vocabulary, target: Vocabulary): void {
  const [own, other] = [target.tokenizer, draft.tokenizer];
  const differ = (what: string): RequestError =>
    new RequestError(
      `draft: ${draft.label} has another vocabulary than ${target.label}: ${what}; choose a draft model of the same family`,
    );
  if (!own || !other) {
    if (draft.vocab === target.vocab) return;
    throw differ(`${draft.vocab} tokens, expected ${target.vocab}`);
  }
  const size = Math.max(own.vocabSize, other.vocabSize);
  for (let id = 0; id < size; id++) {
    if (same(bytesOf(own, id), bytesOf(other, id))) continue;
    throw differ(`token ${id} is ${told(pieceOf(other, id))}, expected ${told(pieceOf(own, id))}`);
  }
}

/** Null: an unused id, or one behind the vocabulary's end. */
function pieceOf(tokenizer: Tokenizer, id: number): string | null {
  return id < tokenizer.vocabSize ? tokenizer.idToPiece(id) : null;
}

function bytesOf(tokenizer: Tokenizer, id: number): Uint8Array {
  return pieceOf(tokenizer, id) === null ? NO_BYTES : tokenizer.tokenBytes(id);
}

function same(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && one.every((byte, i) => byte === other[i]);
}

function told(piece: string | null): string {
  return piece === null ? "unused" : JSON.stringify(piece);
}
