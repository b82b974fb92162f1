// Looks for earlier places like the end of a text by its bytes: a text may be copied in other
// tokens than it was written in, "deep" as "d", "e", "ep". Where a copy parts from its source, the
// place is kept for a while, and shorter matches near it count.

import type { Spelling } from "./spelling.ts";

/** Bytes by which places are found: other matches have as many at least. */
const KEY = 6;
/** By age, a byte is shifted out of the hash of a key after KEY more of them. */
const SHIFT = 5;
const HASH_BITS = SHIFT * KEY;
const BUCKET_BITS = 14;
/** Longest match that is told from longer ones. */
const LONGEST = 160;
/** Earlier places of one key that are compared, the latest first. */
const PLACES = 16;
/** Bytes of a match from which on the end of a text counts as a copy. */
const COPIED = 20;
/** Bytes before and behind the place where a copy parted in which it may go on. */
const NEAR = { before: 16, behind: 256 } as const;
/** Bytes that must be equal there: at least these, and the last token. */
const RETURN = 3;
/** Tokens after which a copy that parted is given up. */
const PATIENCE = 48;

/** An earlier place like the end of a text. */
export interface BytePlace {
  /** The first byte behind it. */
  readonly at: number;
  /** Bytes before it that are those at the end of the text. */
  readonly length: number;
  /** Whether it was found because it is near where a copy parted from its source. */
  readonly near: boolean;
}

/** The bytes of one text. */
export class ByteLookup {
  readonly #spelling: Spelling;
  #bytes = new Uint8Array(1 << 12);
  #end = 0;
  /** By token: its first byte. */
  readonly #starts: number[] = [];
  /** Of the last KEY bytes. */
  #hash = 0;
  /** By bucket of hashes: the last place behind such a key; 0: none. */
  readonly #last = new Int32Array(1 << BUCKET_BITS);
  /** By place: the place before it in its bucket. */
  #before = new Int32Array(1 << 12);
  /** Where the source of what is being copied goes on; -1: nothing is. */
  #source = -1;
  /** Where it parted from the last one, and how many tokens ago. */
  #parted = { at: -1, tokens: 0 };

  constructor(spelling: Spelling) {
    this.#spelling = spelling;
  }

  push(id: number): void {
    const bytes = this.#spelling.bytes(id);
    this.#starts.push(this.#end);
    this.#follow(bytes);
    this.#reserve(this.#end + bytes.length);
    for (const byte of bytes) {
      if (this.#end >= KEY) {
        const bucket = bucketOf(this.#hash);
        this.#before[this.#end] = this.#last[bucket]!;
        this.#last[bucket] = this.#end;
      }
      this.#hash = ((this.#hash << SHIFT) ^ byte) & ((1 << HASH_BITS) - 1);
      this.#bytes[this.#end++] = byte;
    }
  }

  /**
   * The longest match, the latest of equal ones; else the place of a copy that went on near where
   * it had parted from its source.
   */
  find(): BytePlace | null {
    const found = this.#longest() ?? this.#near();
    if (found !== null && (found.near || found.length >= COPIED)) this.#source = found.at;
    return found;
  }

  /** The first token that begins at a place or behind it. */
  tokenAt(place: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#starts[middle]! < place) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * Tokens that spell what a token has from a place within it on; none where it begins there. Each
   * is a byte if there is a token for it, else as long as there is one: a model that was made to
   * leave a word of its own for the copy's goes on byte by byte in two of three cases
   * (models/tales, held to a text by a constraint).
   */
  rest(place: number): number[] {
    const next = this.tokenAt(place);
    const end = this.#starts[next] ?? this.#end;
    const ids: number[] = [];
    for (let from = place; from < end; ) {
      const lengths = [1, ...Array.from({ length: end - from - 1 }, (_, i) => end - from - i)];
      const length = lengths.find((length) => this.#piece(from, length) !== null);
      if (length === undefined) break;
      ids.push(this.#piece(from, length)!);
      from += length;
    }
    return ids;
  }

  #piece(from: number, length: number): number | null {
    return this.#spelling.id(this.#bytes.subarray(from, from + length));
  }

  /** Whether a token that comes next goes on with the copy. */
  #follow(bytes: Uint8Array): void {
    const source = this.#source;
    this.#parted.tokens++;
    if (source < 0) return;
    for (let i = 0; i < bytes.length; i++) {
      if (source + i < this.#end && this.#bytes[source + i] === bytes[i]) continue;
      this.#parted = { at: source, tokens: 0 };
      this.#source = -1;
      return;
    }
    this.#source += bytes.length;
  }

  #longest(): BytePlace | null {
    const last = this.#starts[this.#starts.length - 1]!;
    let best: BytePlace | null = null;
    let at = this.#end < KEY ? 0 : this.#last[bucketOf(this.#hash)]!;
    for (let places = 0; at > 0 && places < PLACES; places++) {
      // Within the last token nothing is known of what follows.
      const length = at > last ? 0 : this.#equal(at, LONGEST);
      if (length >= KEY && length > (best?.length ?? 0)) best = { at, length, near: false };
      at = this.#before[at]!;
    }
    return best;
  }

  #near(): BytePlace | null {
    const last = this.#starts[this.#starts.length - 1]!;
    const source = this.#source;
    if (source >= 0) return source > last ? null : { at: source, length: this.#equal(source, LONGEST), near: true };
    const { at: parted, tokens } = this.#parted;
    if (parted < 0 || tokens > PATIENCE) return null;
    const least = Math.max(RETURN, this.#end - last);
    const to = Math.min(parted + NEAR.behind, last);
    let best: BytePlace | null = null;
    for (let at = Math.max(least, parted - NEAR.before); at <= to; at++) {
      const length = this.#equal(at, LONGEST);
      if (length >= least && length > (best?.length ?? 0)) best = { at, length, near: true };
    }
    return best;
  }

  /** How many bytes before a place are those at the end of the text, `most` at most. */
  #equal(at: number, most: number): number {
    const bytes = this.#bytes;
    const limit = Math.min(most, at);
    let length = 0;
    while (length < limit && bytes[at - 1 - length] === bytes[this.#end - 1 - length]) length++;
    return length;
  }

  #reserve(bytes: number): void {
    if (bytes <= this.#bytes.length) return;
    const size = Math.max(bytes, 2 * this.#bytes.length);
    const [held, before] = [this.#bytes, this.#before];
    this.#bytes = new Uint8Array(size);
    this.#bytes.set(held);
    this.#before = new Int32Array(size);
    this.#before.set(before);
  }
}

function bucketOf(hash: number): number {
  return Math.imul(hash, 0x9e3779b1) >>> (32 - BUCKET_BITS);
}
