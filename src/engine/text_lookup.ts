// Drafts the tokens that follow a text from an earlier place like its end: by equal tokens
// (prompt_lookup.ts), or by equal bytes (byte_lookup.ts) where more of them are equal.

import { ByteLookup } from "./byte_lookup.ts";
import { PromptLookup } from "./prompt_lookup.ts";
import type { Spelling } from "./spelling.ts";

/** Equal bytes that say as much as an equal token. */
const BYTES = 5;

/** An earlier place like the end of a text. */
export interface TextMatch {
  /** Tokens that spell the rest of the one in which the place lies; none between two of them. */
  readonly rest: readonly number[];
  /** Index of the token that followed then. */
  readonly at: number;
  /** How much before the place is equal, in tokens. */
  readonly length: number;
  /** How many tokens before it are the same ones. */
  readonly tokens: number;
  /** Whether it is near where a copy parted from its source. */
  readonly near: boolean;
}

/** One text. */
export class TextLookup {
  readonly #tokens: PromptLookup;
  readonly #bytes: ByteLookup | null;

  /** @param spelling null: the tokens have no text */
  constructor(vocab: number, spelling: Spelling | null) {
    this.#tokens = new PromptLookup(vocab);
    this.#bytes = spelling && new ByteLookup(spelling);
  }

  /** In tokens. */
  get length(): number {
    return this.#tokens.length;
  }

  push(id: number): void {
    this.#tokens.push(id);
    this.#bytes?.push(id);
  }

  find(): TextMatch | null {
    const found = this.#tokens.find();
    const place = this.#bytes?.find() ?? null;
    const length = place === null ? 0 : place.near ? 1 : Math.floor(place.length / BYTES);
    if (found !== null && found.length >= length) return { ...found, rest: [], tokens: found.length, near: false };
    if (place === null) return null;
    const at = this.#bytes!.tokenAt(place.at);
    const rest = this.#bytes!.rest(place.at);
    const tokens = rest.length > 0 ? 0 : this.#tokens.equal(at);
    return { rest, at, length: Math.max(length, tokens), tokens, near: place.near };
  }

  /** The token that is expected `ahead` tokens behind the end of the text, from a match. */
  after({ rest, at }: TextMatch, ahead: number): number {
    return rest[ahead] ?? this.#tokens.after(at, ahead - rest.length);
  }
}
