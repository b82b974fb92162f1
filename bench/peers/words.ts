// The vocabulary of our GGUF files: a character an id, so that a peer that takes text only can be given ids.

/** The first id that a text can name: before it are control tokens and bytes. */
export const FIRST_WORD = 259;
/** A plane of characters that no text uses. */
const PRIVATE = 0xf0000;

/** The word of an id. A text of such words is cut into the very ids it was made of: no two of them merge. */
export function word(id: number): string {
  return String.fromCodePoint(PRIVATE + id);
}
