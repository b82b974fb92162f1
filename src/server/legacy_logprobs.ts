// Log probabilities in the shape of the legacy completions API: four arrays, one entry a token.

import type { TokenLogprob } from "../engine/api.ts";
import { finite } from "./openai_shapes.ts";

/** Shapes the log probabilities of one answer, piece after piece; offsets go on from one to the next. */
export class LegacyLogprobs {
  #offset = 0;

  /**
   * `text_offset` counts characters from the beginning of the answer's text (of the prompt, with echo). The first token
   * of a prompt has no probability: null. Of top tokens that read alike the likelier one is kept.
   */
  shape(tokens: readonly TokenLogprob[]): object {
    return {
      tokens: tokens.map(({ text }) => text),
      token_logprobs: tokens.map(({ logprob }) => (Number.isNaN(logprob) ? null : finite(logprob))),
      top_logprobs: tokens.map((token) => (Number.isNaN(token.logprob) ? null : topOf(token))),
      text_offset: tokens.map(({ text }) => {
        const at = this.#offset;
        this.#offset += [...text].length;
        return at;
      }),
    };
  }
}

/** The most likely tokens and, whatever its place, the token itself. */
function topOf(token: TokenLogprob): Record<string, number> {
  const top = new Map<string, number>();
  for (const { text, logprob } of [...token.top, token]) if (!top.has(text)) top.set(text, finite(logprob));
  return Object.fromEntries(top);
}
