// The vocabulary of our GGUF files: one character for each id, so that a peer that takes only text
// can be given ids.

/** The first id with a character: before it are control tokens and bytes. */
export const FIRST_WORD = 259;
/** A plane of characters that no text uses. */
const PRIVATE = 0xf0000;

/**
 * The character of an id. A text of them is tokenized to exactly these ids: no two of them merge.
 */
export function word(id: number): string {
  return String.fromCodePoint(PRIVATE + id);
}
