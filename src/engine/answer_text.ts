// The text of an answer: what each token adds to it, up to a stop text, with log probabilities.

import type { Piece } from "./api.ts";
import { createStopFilter, type StopFilter } from "./stop.ts";
import type { TextCodec } from "./text.ts";
import { TokenTexts, tokenLogprob } from "./token_texts.ts";

export interface AnswerOptions {
  readonly stops: readonly string[];
  /** Before so many tokens a stop text does not end the answer. */
  readonly minTokens: number;
  /** How many of the likeliest tokens are reported beside each; null: none, nor its own. */
  readonly wantLogprobs: number | null;
}

/** What a token adds, and the stop text that it completes. */
type Part = Pick<Piece, "text" | "ids" | "logprobs"> & { readonly stop: string | null };

export class AnswerText {
  readonly #codec: TextCodec;
  readonly #options: AnswerOptions;
  readonly #decoder: ReturnType<TextCodec["stream"]>;
  readonly #filter: StopFilter;
  readonly #tokens: TokenTexts | null;
  #count = 0;

  /** @param prompt which the text follows */
  constructor(codec: TextCodec, prompt: readonly number[], options: AnswerOptions) {
    this.#codec = codec;
    this.#options = options;
    this.#decoder = codec.stream(prompt);
    this.#filter = createStopFilter(options.stops);
    this.#tokens = options.wantLogprobs === null ? null : new TokenTexts();
  }

  /** @param logits [V] that it was chosen from, if the host chose it */
  push(id: number, logits: Float32Array | null): Part {
    const tokens = this.#tokens;
    const decoded = this.#decoder.push(id);
    const found = this.#logprob(id, logits);
    if (found) tokens?.push(found, decoded);
    const early = this.#count++ < this.#options.minTokens;
    const { text, stop } = early ? { text: decoded, stop: null } : this.#filter.push(decoded);
    return { text, ids: [id], ...(tokens && { logprobs: tokens.release(text.length) }), stop };
  }

  /** A token that ends the answer and is no part of its text. */
  end(id: number, logits: Float32Array | null): Piece {
    const found = this.#logprob(id, logits);
    // An end token has no bytes; one of the caller's stopIds may have some.
    if (found?.bytes.length === 0) this.#tokens?.push(found, "");
    return { text: "", ids: [id] };
  }

  /** What is left; `cut`: a stop text has ended the answer. */
  rest(cut: boolean): Part {
    const tokens = this.#tokens;
    // The detokenizer's last text may complete a stop text after all.
    const { text, stop } = cut ? { text: "", stop: null } : this.#filter.push(this.#decoder.end());
    const whole = cut || stop !== null ? text : text + this.#filter.flush();
    const logprobs = cut || stop !== null ? tokens?.release(whole.length) : tokens?.rest();
    return { text: whole, ids: [], ...(logprobs && { logprobs }), stop };
  }

  #logprob(id: number, logits: Float32Array | null) {
    const { wantLogprobs } = this.#options;
    return wantLogprobs === null || !logits ? null : tokenLogprob(this.#codec, logits, id, wantLogprobs);
  }
}
