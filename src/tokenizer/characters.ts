// Characters beyond ASCII that have a meaning for tokenizers, made from their code points.
//
// Minifiers turn escapes into the characters themselves, and a page without a declared encoding
// reads those wrongly.

/** Stands for a space in SentencePiece's vocabularies: U+2581. */
export const SPACE_MARK = String.fromCharCode(0x2581);

/** Stands for bytes that are not a character: U+FFFD. */
export const REPLACEMENT = String.fromCharCode(0xfffd);
