// Which token a piece of text came from: where each one begins in the answer, and which are left when a stop string cuts it.

import type { TokenLogprob } from "./api.ts";

/** Holds the log probabilities of tokens back until their text is let through, as the stop filter holds the text. */
export class TokenTexts {
  readonly #held: { readonly token: TokenLogprob; readonly start: number }[] = [];
  /** UTF-16 units and characters of the text so far, and units of it that were let through. */
  #units = 0;
  #characters = 0;
  #through = 0;

  /** @param decoded what the detokenizer gave for the token: all of its text, or none while a character is not whole */
  push(token: Omit<TokenLogprob, "offset">, decoded: string): void {
    // At the start of a text the detokenizer leaves out a space.
    const shown = token.text === ` ${decoded}` ? withoutSpace(token) : token;
    const whole = shown.bytes.length > 0 && isText(shown.bytes);
    const units = whole ? decoded.length - shown.text.length : 0;
    const offset = this.#characters + Math.max(0, whole ? characters(decoded) - characters(shown.text) : 0);
    this.#held.push({ token: { ...shown, offset }, start: this.#units + Math.max(0, units) });
    this.#units += decoded.length;
    this.#characters += characters(decoded);
  }

  /** The tokens of which something is in the next `length` units of the text, which are let through. */
  release(length: number): TokenLogprob[] {
    this.#through += length;
    const cut = this.#held.findIndex(({ start }) => start >= this.#through);
    return this.#held.splice(0, cut < 0 ? this.#held.length : cut).map(({ token }) => token);
  }

  /** Those that are left when the text has ended and nothing of it was cut away: among them tokens without a text of their own. */
  rest(): TokenLogprob[] {
    return this.#held.splice(0).map(({ token }) => token);
  }
}

/** The token where its leading space was left out of the text, and the tokens that could have stood there. */
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
