// Characters beyond ASCII that tokenizers give a meaning, by their numbers.
//
// Minifiers write a character as it is however the source spells it, and a page that does not tell its encoding reads another one.

/** Stands for a space in SentencePiece's vocabularies: U+2581. */
export const SPACE_MARK = String.fromCharCode(0x2581);

/** Stands for what is no character: U+FFFD. */
export const REPLACEMENT = String.fromCharCode(0xfffd);
