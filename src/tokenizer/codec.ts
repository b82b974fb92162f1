// Makes a Tokenizer from its description: text -> sections -> words -> ids, and ids ->
// bytes -> text.

import { RequestError } from "../errors.ts";
import { AddedSplitter } from "./added.ts";
import { Bpe } from "./bpe.ts";
import { spelledBytes } from "./byte_alphabet.ts";
import { REPLACEMENT, SPACE_MARK } from "./characters.ts";
import type {
  AddedToken,
  DecodeOptions,
  EncodeOptions,
  StreamOptions,
  Tokenizer,
  TokenizerSpec,
  TokenStream,
} from "./types.ts";
import { Utf8Decoder } from "./utf8.ts";

const NOTHING = new Uint8Array(0);
const SPACE = 0x20;
/** Most bytes of a UTF-8 character that is not complete. */
const OPEN_BYTES = 3;

export function createTokenizer(spec: TokenizerSpec): Tokenizer {
  return new BpeTokenizer(spec);
}

class BpeTokenizer implements Tokenizer {
  readonly vocabSize: number;
  readonly bosId: number | null;
  readonly eosIds: readonly number[];
  readonly addBos: boolean;
  readonly #spec: TokenizerSpec;
  readonly #bpe: Bpe;
  /**
   * Added tokens that are matched before normalization: all of them, and those that are
   * not control tokens.
   */
  readonly #all: AddedSplitter;
  readonly #plain: AddedSplitter;
  /** The same for tokens that are matched after normalization. */
  readonly #allNormalized: AddedSplitter;
  readonly #plainNormalized: AddedSplitter;
  readonly #addedById: ReadonlyMap<number, AddedToken>;
  readonly #idByPiece: ReadonlyMap<string, number>;
  readonly #byteById = new Map<number, number>();
  readonly #bytes = new Map<number, Uint8Array>();

  constructor(spec: TokenizerSpec) {
    this.#spec = spec;
    this.vocabSize = spec.pieces.length;
    this.bosId = spec.bosId;
    this.eosIds = spec.eosIds;
    this.addBos = spec.addBos && spec.bosId !== null;
    this.#bpe = new Bpe(spec);
    const early = spec.added.filter((token) => !token.normalized);
    const late = spec.added.filter((token) => token.normalized);
    this.#all = new AddedSplitter(early);
    this.#plain = new AddedSplitter(early.filter((token) => !token.special));
    this.#allNormalized = new AddedSplitter(late);
    this.#plainNormalized = new AddedSplitter(late.filter((token) => !token.special));
    this.#addedById = new Map(spec.added.map((token) => [token.id, token]));
    const idByPiece = new Map<string, number>();
    for (const [id, piece] of spec.pieces.entries()) if (piece !== undefined) idByPiece.set(piece, id);
    for (const token of spec.added) idByPiece.set(token.content, token.id);
    this.#idByPiece = idByPiece;
    for (const [byte, id] of spec.byteIds?.entries() ?? []) this.#byteById.set(id, byte);
  }

  encode(text: string, options: EncodeOptions = {}): number[] {
    const out: number[] = [];
    if ((options.addBos ?? this.addBos) && this.bosId !== null) out.push(this.bosId);
    const [early, late] = options.specialTokens
      ? [this.#all, this.#allNormalized]
      : [this.#plain, this.#plainNormalized];
    for (const section of early.split(text.replace(/\p{Surrogate}/gu, REPLACEMENT))) {
      if ("token" in section) {
        out.push(section.token.id);
        continue;
      }
      const first = section.start === 0 && this.#spec.losesStart?.(section.text) !== true;
      for (const part of late.split(this.#spec.normalize(section.text, first))) {
        if ("token" in part) {
          out.push(part.token.id);
          continue;
        }
        const plain = options.seal === undefined ? part.text : part.text.replaceAll(options.seal, "");
        if (plain === "") continue;
        for (const word of this.#spec.words(plain, first && part.start === 0)) this.#bpe.encode(word, out);
      }
    }
    return out;
  }

  decode(ids: readonly number[], options: DecodeOptions = {}): string {
    const stream = this.stream(options);
    let text = "";
    for (const id of ids) text += stream.push(id);
    return text + stream.end();
  }

  stream(options: StreamOptions = {}): TokenStream {
    const utf8 = new Utf8Decoder(this.#spec.spelling === "text" ? "each byte" : "sequence");
    const skip = options.skipSpecialTokens ?? true;
    let atStart = this.#spec.stripSpace;
    const push = (id: number): string => {
      checkId(id);
      if (this.isSpecial(id)) {
        const broken = utf8.end(); // a control token ends an incomplete character
        if (skip) return broken;
        atStart = false;
        return broken + this.tokenText(id);
      }
      let bytes = this.tokenBytes(id);
      if (atStart && bytes.length > 0) {
        atStart = false;
        if (bytes[0] === SPACE && !this.#byteById.has(id)) bytes = bytes.subarray(1);
      }
      return utf8.push(bytes);
    };
    const prompt = options.prompt ?? [];
    for (const id of prompt) checkId(id);
    // Of a prompt only its beginning counts, and its last bytes, which may begin a character.
    const tail = this.#tail(prompt);
    for (let i = 0; i < tail && atStart; i++) push(prompt[i]!);
    utf8.end();
    for (let i = tail; i < prompt.length; i++) push(prompt[i]!);
    return { push, end: () => utf8.end() };
  }

  /** Where the last three bytes of a text begin, or those after its last control token. */
  #tail(ids: readonly number[]): number {
    let at = ids.length;
    for (let bytes = 0; at > 0 && bytes < OPEN_BYTES; at--) {
      const id = ids[at - 1]!;
      if (this.isSpecial(id)) break;
      bytes += this.tokenBytes(id).length;
    }
    return at;
  }

  idToPiece(id: number): string | null {
    return this.#spec.pieces[id] ?? null;
  }

  pieceToId(piece: string): number | null {
    return this.#idByPiece.get(piece) ?? null;
  }

  tokenBytes(id: number): Uint8Array {
    let bytes = this.#bytes.get(id);
    if (bytes === undefined) {
      bytes = this.#computeBytes(id);
      if (bytes.length > 0) this.#bytes.set(id, bytes);
    }
    return bytes;
  }

  tokenText(id: number): string {
    if (this.isSpecial(id)) return this.idToPiece(id) ?? "";
    const utf8 = new Utf8Decoder("sequence");
    return utf8.push(this.tokenBytes(id)) + utf8.end();
  }

  isSpecial(id: number): boolean {
    return this.#addedById.get(id)?.special ?? false;
  }

  #computeBytes(id: number): Uint8Array {
    const byte = this.#byteById.get(id);
    if (byte !== undefined) return Uint8Array.of(byte);
    const piece = this.#spec.pieces[id];
    if (piece === undefined || this.isSpecial(id)) return NOTHING;
    if (this.#spec.spelling === "text") return new TextEncoder().encode(piece.replaceAll(SPACE_MARK, " "));
    return this.#addedById.has(id) ? new TextEncoder().encode(piece) : spelledBytes(piece);
  }
}

function checkId(id: number): void {
  if (Number.isInteger(id) && id >= 0) return;
  throw new RequestError(`token ids: expected whole numbers from 0, found ${String(id)}`);
}
