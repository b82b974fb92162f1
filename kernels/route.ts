// The router: the K experts with the largest scores, softmax(logits) or sigmoid(logits), and those
// scores, which may be made to sum to 1.

/** How experts are chosen and weighed (Router in src/backend/ops.ts). */
export interface Rule {
  readonly normalize: boolean;
  /** Null: softmax. `bias` [E] is added to the sigmoids to choose by. */
  readonly sigmoid: { readonly bias: Float32Array | null } | null;
}

/** What a sum of scores is at least: without any, weights are 0 and not NaN. */
const LEAST = 1e-20;

/**
 * Rows [from, to): logits [T, E] -> ids [T, K] and weights [T, K], the largest first; equal ones:
 * lowest id first. Softmax with `normalize` is softmax over the chosen logits.
 */
export function route(
  logits: Float32Array,
  E: number,
  K: number,
  { normalize, sigmoid }: Rule,
  ids: Uint32Array,
  weights: Float32Array,
  from: number,
  to: number,
): void {
  const scoreOf = (logit: number, max: number) => (sigmoid ? 1 / (1 + Math.exp(-logit)) : Math.exp(logit - max));
  for (let t = from; t < to; t++) {
    const own = logits.subarray(t * E, (t + 1) * E);
    const bias = sigmoid?.bias;
    const chosenBy = bias ? own.map((logit, e) => Math.fround(scoreOf(logit, 0)) + bias[e]!) : own;
    // Insertion into a sorted list of K: a later expert passes an earlier one only
    // if strictly greater.
    const first = t * K;
    for (let e = 0; e < E; e++) {
      let at = Math.min(e, K);
      while (at > 0 && !(chosenBy[ids[first + at - 1]!]! >= chosenBy[e]!)) at--;
      if (at === K) continue;
      ids.copyWithin(first + at + 1, first + at, first + Math.min(e, K - 1));
      ids[first + at] = e;
    }
    const max = own[ids[first]!]!;
    let sum = sigmoid && !normalize ? 1 : 0;
    if (normalize) for (let k = 0; k < K; k++) sum += scoreOf(own[ids[first + k]!]!, max);
    else if (!sigmoid) for (let e = 0; e < E; e++) sum += scoreOf(own[e]!, max);
    sum = Math.max(sum, LEAST);
    for (let k = 0; k < K; k++) weights[first + k] = scoreOf(own[ids[first + k]!]!, max) / sum;
  }
}
