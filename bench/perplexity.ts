// Perplexity of a model on a text, by the protocol of models/tales/reference.json,
// window by window.

import type { Model } from "../src/engine/model.ts";

const TOKENS = 20_000;
const PIECE = 511;
/** Windows of the whole protocol. */
export const WINDOWS: number = Math.floor(TOKENS / PIECE);

/**
 * Mean of -log softmax(logits)[token] of each of the first `windows` windows: the first 20,000 ids
 * of the text without BOS, cut into pieces of 511, each scored after a BOS of its own. Perplexity
 * is exp of their mean.
 */
export async function windowNll(
  model: Model,
  text: string,
  windows = WINDOWS,
  onWindow: (nll: readonly number[]) => void = () => {},
): Promise<number[]> {
  const ids = model.tokenizer.encode(text, { addBos: false });
  const V = model.architecture.vocab;
  const result: number[] = [];
  for (let w = 0; w < windows; w++) {
    const piece = ids.slice(w * PIECE, (w + 1) * PIECE);
    const logits = await model.logits([1, ...piece.slice(0, -1)]);
    let nll = 0;
    for (const [t, id] of piece.entries()) {
      const row = logits.subarray(t * V, (t + 1) * V);
      let max = Number.NEGATIVE_INFINITY;
      for (let i = 0; i < V; i++) if (row[i]! > max) max = row[i]!;
      let sum = 0;
      for (let i = 0; i < V; i++) sum += Math.exp(row[i]! - max);
      nll += max + Math.log(sum) - row[id]!;
    }
    result.push(nll / PIECE);
    onWindow(result);
  }
  return result;
}

/** exp of the mean. */
export function perplexityOf(nll: readonly number[]): number {
  return Math.exp(nll.reduce((sum, x) => sum + x, 0) / nll.length);
}
