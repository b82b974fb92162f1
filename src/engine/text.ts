// Text to tokens and back, as a session needs it; also for a model without a tokenizer, which takes
// and gives ids only.

import { RequestError } from "../errors.ts";
import type { Tokenizer } from "../tokenizer/types.ts";

export interface TextCodec {
  /** Ids of a prompt, BOS first where the model has one. */
  encode(text: string): readonly number[];
  /** Ids of a text, without BOS. */
  plain(text: string): readonly number[];
  /** The id of a control token of this name, or null. */
  control(name: string): number | null;
  /**
   * A streaming detokenizer for tokens after `prompt`: push(id) gives text that is final,
   * end() the rest.
   */
  stream(prompt: readonly number[]): { push(id: number): string; end(): string };
  /** One token as text and as bytes, for lists of log probabilities. */
  piece(id: number): { readonly text: string; readonly bytes: readonly number[] };
}

export function textCodec(tokenizer: Tokenizer | null, label: string): TextCodec {
  if (tokenizer === null) {
    const none = (what: string): never => {
      throw new RequestError(`${label} has no tokenizer: give ${what} as token ids`);
    };
    return {
      encode: () => none("the prompt"),
      plain: () => none("words"),
      control: () => null,
      stream: () => ({ push: () => "", end: () => "" }),
      piece: () => ({ text: "", bytes: [] }),
    };
  }
  return {
    encode: (text) => tokenizer.encode(text, { addBos: tokenizer.bosId !== null }),
    plain: (text) => tokenizer.encode(text, { addBos: false }),
    control(name) {
      const id = tokenizer.pieceToId(name);
      return id !== null && tokenizer.isSpecial(id) ? id : null;
    },
    stream: (prompt) => tokenizer.stream({ prompt }),
    piece: (id) => pieceOf(tokenizer, id),
  };
}

export function pieceOf(tokenizer: Tokenizer, id: number): ReturnType<TextCodec["piece"]> {
  return { text: tokenizer.tokenText(id), bytes: [...tokenizer.tokenBytes(id)] };
}
