// Perplexity of models/tales on held-out text, by the protocol of its reference.json.

import type { Model } from "../../src/engine/model.ts";

const TOKENS = 20_000;
const PIECE = 511;

/**
 * Mean of -log softmax(logits)[token] over all tokens of the first `windows` pieces, as a perplexity. The protocol has
 * 39 pieces: the first 20,000 ids of the text without BOS, cut into pieces of 511, each scored after a BOS of its own.
 */
export async function perplexity(model: Model, text: string, windows = Math.floor(TOKENS / PIECE)): Promise<number> {
  const ids = model.tokenizer.encode(text, { addBos: false }).slice(0, TOKENS);
  const V = model.config.vocab_size;
  let nll = 0;
  for (let w = 0; w < windows; w++) {
    const piece = ids.slice(w * PIECE, (w + 1) * PIECE);
    const logits = await model.logits([1, ...piece.slice(0, -1)]);
    for (const [t, id] of piece.entries()) {
      const row = logits.subarray(t * V, (t + 1) * V);
      let max = Number.NEGATIVE_INFINITY;
      for (let i = 0; i < V; i++) if (row[i]! > max) max = row[i]!;
      let sum = 0;
      for (let i = 0; i < V; i++) sum += Math.exp(row[i]! - max);
      nll += max + Math.log(sum) - row[id]!;
    }
  }
  return Math.exp(nll / (windows * PIECE));
}
