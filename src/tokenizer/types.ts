// What a tokenizer is to the rest of the engine, and the plain description that every source of one is turned into.

import type { Merges } from "./merges.ts";

export interface EncodeOptions {
  /** Put BOS in front. Default: what the folder's tokenizer does (`addBos`). */
  readonly addBos?: boolean;
  /** Let "</s>", "[INST]" and the like in the text become control tokens. Default false: they are plain text. */
  readonly specialTokens?: boolean;
  /** A character that is left out once control tokens have been looked for: inside what spells one, it keeps it text. */
  readonly seal?: string;
}

export interface DecodeOptions {
  /** Leave control tokens and <unk> out of the text. Default true. */
  readonly skipSpecialTokens?: boolean;
}

export interface StreamOptions extends DecodeOptions {
  /** Tokens before the first one pushed: the text goes on from theirs, its first space included. Default none. */
  readonly prompt?: readonly number[];
}

/** A detokenizer that is fed one token at a time. What it has returned is never taken back by what follows. */
export interface TokenStream {
  /** Adds a token and returns the text that has become certain; a character split across tokens waits for its end. */
  push(id: number): string;
  /** The text still held: U+FFFD for bytes that never became a character. */
  end(): string;
}

export interface Tokenizer {
  /** Ids are 0..vocabSize-1, added tokens included; a few of them may be unused. */
  readonly vocabSize: number;
  readonly bosId: number | null;
  /** Tokens that end a text according to the tokenizer's own files (generation_config.json may name more). */
  readonly eosIds: readonly number[];
  /** Whether encode() puts BOS in front when it is not told. */
  readonly addBos: boolean;
  /**
   * Text to ids. Lone surrogates are read as U+FFFD; any string has an encoding, and the empty one has no ids but BOS.
   */
  encode(text: string, options?: EncodeOptions): number[];
  /**
   * Ids to text: the bytes of all tokens read as UTF-8, without the one space that encoding puts in front. Bytes that
   * are no UTF-8 become U+FFFD. An id without a piece (a padded vocabulary) adds nothing.
   * @throws RequestError for what is not a whole number from 0.
   */
  decode(ids: readonly number[], options?: DecodeOptions): string;
  stream(options?: StreamOptions): TokenStream;
  /** The piece as the tokenizer's file spells it ("▁the", "<0x0A>", "</s>"), or null for an unused id. */
  idToPiece(id: number): string | null;
  /** The id of a piece or of an added token, spelled as in the tokenizer's file, or null. */
  pieceToId(piece: string): number | null;
  /** Bytes that a token adds to a text in its middle: none for control tokens. May be half a character. Not to be changed. */
  tokenBytes(id: number): Uint8Array;
  /** The token alone as text for people, its leading space kept, control tokens by name. */
  tokenText(id: number): string;
  /** Whether the token is a control token or <unk>: no part of any text. */
  isSpecial(id: number): boolean;
}

/** A token matched in the text before anything else is done with it. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** What is looked for: the content, or its normalized form. */
  readonly match: string;
  /** Control token: matched only when asked for, left out of decoded text. */
  readonly special: boolean;
  /** Matched after normalization rather than before. */
  readonly normalized: boolean;
  /** Swallow white space on the left and on the right. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

/** Everything that makes one byte-pair tokenizer, whatever file it came from. */
export interface TokenizerSpec {
  /** Id -> piece; undefined where the id is unused. Added tokens included. */
  readonly pieces: readonly (string | undefined)[];
  readonly added: readonly AddedToken[];
  /** Piece -> id of what text may become: no control tokens, no byte tokens. */
  readonly ordinary: ReadonlyMap<string, number>;
  readonly merges: Merges;
  /** How pieces spell bytes: "text" (with "▁" for a space) or GPT-2's alphabet of 256 printable characters. */
  readonly spelling: "text" | "bytes";
  /** Ids of <0x00>..<0xFF> for characters without a piece; null without byte fallback. */
  readonly byteIds: Int32Array | null;
  readonly unkId: number | null;
  /** Unknown characters in a row are one <unk>. */
  readonly fuseUnk: boolean;
  /** A word that is a piece as a whole is not built from merges. */
  readonly wholeWords: boolean;
  /** `section`: text between added tokens; `first`: whether it opens the text. Never called with "". */
  readonly normalize: (section: string, first: boolean) => string;
  /** Whether normalizing a section takes its beginning away: what is left does not count as the text's first then. */
  readonly losesStart?: (section: string) => boolean;
  /** Cuts normalized text into words, which merges do not cross. */
  readonly words: (text: string, first: boolean) => readonly string[];
  /** Encoding puts a space in front, so decoding removes one. */
  readonly stripSpace: boolean;
  readonly bosId: number | null;
  readonly eosIds: readonly number[];
  readonly addBos: boolean;
}
