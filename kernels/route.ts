// The router: the K most likely experts of softmax(logits), and their probabilities, which may be
// made to sum to 1.

/**
 * Rows [from, to): logits [T, E] -> ids [T, K] and weights [T, K], most likely first; equal logits:
 * lowest id first. With `normalize` the weights are divided by their sum: that is softmax over the
 * chosen logits.
 */
export function route(
  logits: Float32Array,
  E: number,
  K: number,
  normalize: boolean,
  ids: Uint32Array,
  weights: Float32Array,
  from: number,
  to: number,
): void {
  for (let t = from; t < to; t++) {
    // Insertion into a sorted list of K: a later expert passes an earlier one only if strictly
    // greater.
    const slots = t * K;
    for (let e = 0; e < E; e++) {
      const logit = logits[t * E + e]!;
      let at = Math.min(e, K);
      while (at > 0 && !(logits[t * E + ids[slots + at - 1]!]! >= logit)) at--;
      if (at === K) continue;
      ids.copyWithin(slots + at + 1, slots + at, slots + Math.min(e, K - 1));
      ids[slots + at] = e;
    }
    const max = logits[t * E + ids[slots]!]!;
    let sum = 0;
    if (normalize) for (let k = 0; k < K; k++) sum += Math.exp(logits[t * E + ids[slots + k]!]! - max);
    else for (let e = 0; e < E; e++) sum += Math.exp(logits[t * E + e]! - max);
    for (let k = 0; k < K; k++) weights[slots + k] = Math.exp(logits[t * E + ids[slots + k]!]! - max) / sum;
  }
}
