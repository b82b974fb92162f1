// Tokens by their bytes, for a tokenizer of any kind.

import { spellBytes } from "../tokenizer/byte_alphabet.ts";
import { SPACE_MARK } from "../tokenizer/characters.ts";
import type { Tokenizer } from "../tokenizer/types.ts";

export interface Spelling {
  /** Bytes that a token adds in the middle of a text; read-only. */
  bytes(id: number): Uint8Array;
  /** A token that adds these bytes, or null. */
  id(bytes: Uint8Array): number | null;
}

type Pieces = Pick<Tokenizer, "tokenBytes" | "pieceToId" | "isSpecial">;

/** @param vocab V of the model, which may be less than the tokenizer's */
export function spellingOf(tokenizer: Pieces, vocab: number): Spelling {
  return {
    bytes: (id) => tokenizer.tokenBytes(id),
    id(bytes) {
      const same = (id: number): boolean => {
        const own = tokenizer.tokenBytes(id);
        return !tokenizer.isSpecial(id) && own.length === bytes.length && own.every((byte, i) => byte === bytes[i]);
      };
      for (const piece of piecesOf(bytes)) {
        const id = tokenizer.pieceToId(piece);
        if (id !== null && id < vocab && same(id)) return id;
      }
      return null;
    },
  };
}

/** How a tokenizer's file may spell bytes: as text, in GPT-2's alphabet, or as a byte's number. */
function* piecesOf(bytes: Uint8Array): Generator<string> {
  yield new TextDecoder().decode(bytes).replaceAll(" ", SPACE_MARK);
  yield spellBytes(bytes);
  if (bytes.length === 1) yield `<0x${bytes[0]!.toString(16).toUpperCase().padStart(2, "0")}>`;
}
