// Relates text to its tokens: where each token begins in the answer, and which ones remain when a
// stop string cuts it.

import type { TokenLogprob } from "./api.ts";
import { logProbabilities } from "./sampler.ts";
import type { TextCodec } from "./text.ts";

/** Holds the log probabilities of tokens back until the stop filter lets their text through. */
export class TokenTexts {
  readonly #held: { readonly token: TokenLogprob; readonly start: number }[] = [];
  /** The text so far in UTF-16 units and in characters, and the units that were let through. */
  #units = 0;
  #characters = 0;
  #through = 0;

  /**
   * @param decoded the detokenizer's text for the token: all of it, or none while a character is
   * incomplete
   */
  push(token: Omit<TokenLogprob, "offset">, decoded: string): void {
    // The detokenizer leaves out a space at the start of a text.
    const shown = token.text === ` ${decoded}` ? withoutSpace(token) : token;
    const whole = shown.bytes.length > 0 && isText(shown.bytes);
    const units = whole ? decoded.length - shown.text.length : 0;
    const offset = this.#characters + Math.max(0, whole ? characters(decoded) - characters(shown.text) : 0);
    this.#held.push({ token: { ...shown, offset }, start: this.#units + Math.max(0, units) });
    this.#units += decoded.length;
    this.#characters += characters(decoded);
  }

  /**
   * Lets the next `length` units of the text through; returns the tokens that have a part in them.
   */
  release(length: number): TokenLogprob[] {
    this.#through += length;
    const cut = this.#held.findIndex(({ start }) => start >= this.#through);
    return this.#held.splice(0, cut < 0 ? this.#held.length : cut).map(({ token }) => token);
  }

  /**
   * The remaining tokens, when the text has ended and was not cut; among them tokens without text.
   */
  rest(): TokenLogprob[] {
    return this.#held.splice(0).map(({ token }) => token);
  }
}

/** A token that was chosen from logits [V], with the `top` most likely ones. */
export function tokenLogprob(
  text: TextCodec,
  logits: Float32Array,
  id: number,
  top: number,
): Omit<TokenLogprob, "offset"> {
  const found = logProbabilities(logits, id, top);
  return {
    id,
    ...text.piece(id),
    logprob: found.logprob,
    top: found.top.map((t) => ({ ...t, ...text.piece(t.id) })),
  };
}

/** A token (and its alternatives) whose leading space was left out of the text. */
export function withoutSpace<T extends Omit<TokenLogprob, "offset">>(token: T): T {
  const trimmed = <U extends { readonly text: string; readonly bytes: readonly number[] }>(one: U): U =>
    one.bytes[0] === 0x20 ? { ...one, text: one.text.slice(1), bytes: one.bytes.slice(1) } : one;
  return { ...trimmed(token), top: token.top.map(trimmed) };
}

/** Whether the bytes are whole characters. */
export function isText(bytes: readonly number[]): boolean {
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(Uint8Array.from(bytes));
    return true;
  } catch {
    return false;
  }
}

function characters(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}
