// The prompt as part of its answer: its text, and the log probabilities of its tokens.

import type { ChatOptions } from "./chat_api.ts";
import type { ChatEvent } from "./events.ts";
import type { Model } from "./model_api.ts";
import { logProbabilities } from "./sampler.ts";
import { pieceOf } from "./text.ts";
import { TokenTexts } from "./token_texts.ts";

/**
 * The prompt's text; token by token where `logprobs` is set. The first token has
 * no probability: NaN.
 * @throws RequestError as model.logits() does
 */
export async function* echoed(
  model: Model,
  ids: readonly number[],
  { logprobs: count, signal }: ChatOptions,
): AsyncGenerator<ChatEvent> {
  const { tokenizer } = model;
  if (count === undefined) {
    yield { type: "text", text: tokenizer.decode(ids) };
    return;
  }
  const V = model.architecture.vocab;
  const logits = await model.logits(ids, signal);
  const stream = tokenizer.stream();
  const tokens = new TokenTexts();
  for (const [t, id] of ids.entries()) {
    const found = t === 0 ? null : logProbabilities(logits.subarray((t - 1) * V, t * V), id, count);
    const decoded = stream.push(id);
    tokens.push(
      {
        id,
        ...pieceOf(tokenizer, id),
        logprob: found?.logprob ?? Number.NaN,
        top: found?.top.map((top) => ({ ...top, ...pieceOf(tokenizer, top.id) })) ?? [],
      },
      decoded,
    );
    const text = decoded + (t === ids.length - 1 ? stream.end() : "");
    yield { type: "text", text, logprobs: tokens.rest() };
  }
}
