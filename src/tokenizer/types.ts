// The interface of a tokenizer, and the description from which each one is made, whatever its file.

import type { Merges } from "./merges.ts";

/** How to encode a text. */
export interface EncodeOptions {
  /** Put BOS in front. Default: as the folder's tokenizer does (`addBos`). */
  readonly addBos?: boolean;
  /**
   * Whether "</s>", "[INST]" and the like in the text become control tokens. Default false: they
   * are plain text.
   */
  readonly specialTokens?: boolean;
  /**
   * A character that is dropped after control tokens were matched: inside the spelling of one, it
   * keeps it text.
   */
  readonly seal?: string;
}

/** How to decode ids. */
export interface DecodeOptions {
  /** Leave control tokens and <unk> out of the text. Default true. */
  readonly skipSpecialTokens?: boolean;
}

/** How to decode ids one by one. */
export interface StreamOptions extends DecodeOptions {
  /**
   * Tokens before the first one pushed: the text continues theirs, so its first space is kept.
   * Default none.
   */
  readonly prompt?: readonly number[];
}

/** A detokenizer that takes one token at a time. Text that it has returned is final. */
export interface TokenStream {
  /**
   * Adds a token and returns the text that is now final. A character that is split across tokens
   * waits for its end.
   */
  push(id: number): string;
  /** The text still held: U+FFFD for bytes that never became a character. */
  end(): string;
}

/** From text to ids and back. */
export interface Tokenizer {
  /** Ids are 0..vocabSize-1, added tokens included; a few of them may be unused. */
  readonly vocabSize: number;
  /** The token that begins a text; null: there is none. */
  readonly bosId: number | null;
  /**
   * Tokens that end a text according to the tokenizer's own files. generation_config.json
   * may name more.
   */
  readonly eosIds: readonly number[];
  /** Whether encode() puts BOS in front by default. */
  readonly addBos: boolean;
  /**
   * Text to ids. Lone surrogates are read as U+FFFD. Any string has an encoding; the empty one has
   * no ids but BOS.
   */
  encode(text: string, options?: EncodeOptions): number[];
  /**
   * Ids to text: the bytes of all tokens read as UTF-8, without the space that encoding puts in
   * front. Bytes that are not UTF-8 become U+FFFD. An id without a piece (in a padded vocabulary)
   * adds nothing.
   * @throws RequestError for ids that are not whole numbers from 0
   */
  decode(ids: readonly number[], options?: DecodeOptions): string;
  /** Decodes ids one by one. */
  stream(options?: StreamOptions): TokenStream;
  /**
   * The piece as the tokenizer's file spells it ("▁the", "<0x0A>", "</s>"), or null for
   * an unused id.
   */
  idToPiece(id: number): string | null;
  /** The id of a piece or of an added token, spelled as in the tokenizer's file, or null. */
  pieceToId(piece: string): number | null;
  /**
   * Bytes that a token adds in the middle of a text: none for control tokens, perhaps a part of a
   * character. Read-only.
   */
  tokenBytes(id: number): Uint8Array;
  /** Readable text of the token alone, with its leading space; control tokens by name. */
  tokenText(id: number): string;
  /** Whether the token is a control token or <unk>, which are not part of any text. */
  isSpecial(id: number): boolean;
}

/** A token that is matched in the text before it is encoded. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** The text to match: the content, or its normalized form. */
  readonly match: string;
  /** A control token: matched only with `specialTokens`, and left out of decoded text. */
  readonly special: boolean;
  /** Matched after normalization rather than before. */
  readonly normalized: boolean;
  /** Whether it includes white space on its left, and on its right. */
  readonly lstrip: boolean;
  readonly rstrip: boolean;
}

/** The complete description of a byte-pair tokenizer. */
export interface TokenizerSpec {
  /** Pieces by id, added tokens included; undefined for unused ids. */
  readonly pieces: readonly (string | undefined)[];
  readonly added: readonly AddedToken[];
  /** Ids of the pieces that text may become: no control tokens, no byte tokens. */
  readonly ordinary: ReadonlyMap<string, number>;
  readonly merges: Merges;
  /**
   * How pieces spell bytes: "text" (with "▁" for a space) or GPT-2's alphabet of
   * 256 printable characters.
   */
  readonly spelling: "text" | "bytes";
  /** Ids of <0x00>..<0xFF> for characters without a piece; null without byte fallback. */
  readonly byteIds: Int32Array | null;
  readonly unkId: number | null;
  /** Whether consecutive unknown characters become one <unk>. */
  readonly fuseUnk: boolean;
  /** Whether a word that is a piece is used as such, without merging. */
  readonly wholeWords: boolean;
  /**
   * `section`: text between added tokens; `first`: whether it opens the text. Never called with "".
   */
  readonly normalize: (section: string, first: boolean) => string;
  /**
   * Whether normalizing a section removes its beginning: the rest then does not count as the start
   * of the text.
   */
  readonly losesStart?: (section: string) => boolean;
  /** Cuts normalized text into words, which merges do not cross. */
  readonly words: (text: string, first: boolean) => readonly string[];
  /** Whether encoding puts a space in front, so that decoding removes one. */
  readonly stripSpace: boolean;
  readonly bosId: number | null;
  readonly eosIds: readonly number[];
  readonly addBos: boolean;
}
