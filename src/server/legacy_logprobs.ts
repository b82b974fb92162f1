// Log probabilities in the shape of the legacy completions API: four arrays with an entry
// for each token.

import type { TokenLogprob, TopLogprob } from "../engine/api.ts";
import { finite, spelledBytes } from "./openai_shapes.ts";

/**
 * The log probabilities of one answer, or of a piece of it. `text_offset` counts characters from
 * the beginning of the answer's text (with echo, of the prompt). The first token of a prompt has no
 * probability: null.
 */
export function legacyLogprobs(tokens: readonly TokenLogprob[]): object {
  return {
    tokens: tokens.map(nameOf),
    token_logprobs: tokens.map(({ logprob }) => (Number.isNaN(logprob) ? null : finite(logprob))),
    top_logprobs: tokens.map((token) => (Number.isNaN(token.logprob) ? null : topOf(token))),
    text_offset: tokens.map(({ offset }) => offset),
  };
}

/** The token's text; for a part of a character its bytes, as OpenAI writes them. */
function nameOf(token: TopLogprob): string {
  const bytes = spelledBytes(token);
  return bytes === null ? token.text : `bytes:${bytes}`;
}

/**
 * The most likely tokens and the token itself, whatever its rank, each under a distinct name. Of
 * tokens with the same text, the chosen one (else the likelier one) has the plain name; the others
 * are "token_id:" with their id, as vLLM writes tokens.
 */
function topOf(token: TokenLogprob): Record<string, number> {
  const all = [...token.top.filter(({ id }) => id !== token.id), token].sort((a, b) => b.logprob - a.logprob);
  const plain = new Map<string, number>([[nameOf(token), token.id]]);
  for (const one of all) if (!plain.has(nameOf(one))) plain.set(nameOf(one), one.id);
  const named = all.map((one): [string, number] => {
    const name = nameOf(one);
    return [plain.get(name) === one.id ? name : `token_id:${one.id}`, finite(one.logprob)];
  });
  return Object.fromEntries(named);
}
