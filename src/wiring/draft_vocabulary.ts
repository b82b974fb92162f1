// Whether a draft model's tokens are those of the model that it drafts for.

import { RequestError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/types.ts";

/** A vocabulary; `tokenizer` null: only its size is known. */
export interface Vocabulary {
  readonly label: string;
  readonly vocab: number;
  readonly tokenizer: Tokenizer | null;
}

/** @throws RequestError naming the first token that differs */
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
    const [expected, found] = [pieceOf(own, id), pieceOf(other, id)];
    if (expected !== found) throw differ(`token ${id} is ${told(found)}, expected ${told(expected)}`);
  }
}

/** Null: an unused id, or one behind the vocabulary's end. */
function pieceOf(tokenizer: Tokenizer, id: number): string | null {
  return id < tokenizer.vocabSize ? tokenizer.idToPiece(id) : null;
}

function told(piece: string | null): string {
  return piece === null ? "unused" : JSON.stringify(piece);
}
