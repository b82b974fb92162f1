// The router: the K experts with the largest scores, softmax(logits) or sigmoid(logits), and their
// weights, which need not sum to 1; or sparsemixer's two.

import type { RouteRule, ScoreRule } from "../src/tensor/route_rule.ts";

/** Whether experts are chosen by scores: the order of logits is another, or their sums are. */
export const choosesByScores = (rule: ScoreRule, biased: boolean): boolean => biased || rule.groups?.by === "two";

/**
 * Rows [from, to): logits [T, E] -> ids [T, K] and weights [T, K], best first; equal ones: lowest
 * id first, of groups too.
 * @param bias [E]: added to scores to choose by, not to weights; null: none
 */
export function route(
  logits: Float32Array,
  E: number,
  K: number,
  rule: RouteRule,
  bias: Float32Array | null,
  ids: Uint32Array,
  weights: Float32Array,
  from: number,
  to: number,
): void {
  for (let t = from; t < to; t++) {
    const own = logits.subarray(t * E, (t + 1) * E);
    const chosen = ids.subarray(t * K, (t + 1) * K);
    const shares = weights.subarray(t * K, (t + 1) * K);
    if (rule.score === "sparsemixer") {
      best(own, chosen);
      mix(own, rule.jitter, chosen, shares);
    } else byScores(own, rule, bias, chosen, shares);
  }
}

/** The experts with the largest values, the largest first. */
function best(values: Float32Array, ids: Uint32Array): void {
  const K = ids.length;
  // Insertion into a sorted list of K: a later expert passes an earlier one only if strictly
  // greater.
  for (let e = 0; e < values.length; e++) {
    let at = Math.min(e, K);
    while (at > 0 && !(values[ids[at - 1]!]! >= values[e]!)) at--;
    if (at === K) continue;
    for (let i = Math.min(e, K - 1); i > at; i--) ids[i] = ids[i - 1]!;
    ids[at] = e;
  }
}

function byScores(
  logits: Float32Array,
  rule: ScoreRule,
  bias: Float32Array | null,
  ids: Uint32Array,
  weights: Float32Array,
): void {
  const { score, groups, normalize, added, least, factor } = rule;
  const softmax = score === "softmax";
  let top = Number.NEGATIVE_INFINITY;
  if (softmax) for (let e = 0; e < logits.length; e++) top = Math.max(top, logits[e]!);
  const scoreOf = (logit: number): number => (softmax ? Math.exp(logit - top) : 1 / (1 + Math.exp(-logit)));
  const byScore = choosesByScores(rule, bias !== null);
  // softmax's denominator; it cancels where weights are divided by their sum and nothing else
  let all = 1;
  if (softmax && (byScore || !normalize || added > 0 || least > 0)) {
    all = 0;
    for (let e = 0; e < logits.length; e++) all += scoreOf(logits[e]!);
  }
  let values = logits;
  if (byScore) values = logits.map((logit, e) => Math.fround(scoreOf(logit) / all) + (bias ? bias[e]! : 0));
  best(groups ? onlyGroups(values, groups) : values, ids);
  let total = 1;
  if (normalize) {
    total = added;
    for (const e of ids) total += scoreOf(logits[e]!) / all;
    total = Math.max(total, least);
  }
  for (const [k, e] of ids.entries()) weights[k] = (scoreOf(logits[e]!) / all / total) * factor;
}

/** The values of the best groups' experts; those of others are the least of all. */
function onlyGroups(values: Float32Array, { count, kept, by }: NonNullable<ScoreRule["groups"]>): Float32Array {
  const size = values.length / count;
  const two = new Uint32Array(Math.min(by === "two" ? 2 : 1, size));
  const worth = Float32Array.from({ length: count }, (_, g) => {
    const own = values.subarray(g * size, (g + 1) * size);
    best(own, two);
    return two.reduce((sum, e) => sum + own[e]!, 0);
  });
  const groups = new Uint32Array(kept);
  best(worth, groups);
  return values.map((value, e) => (groups.includes(Math.floor(e / size)) ? value : Number.NEGATIVE_INFINITY));
}

/** Sparsemixer's weights of the two best. */
function mix(logits: Float32Array, jitter: number, ids: Uint32Array, weights: Float32Array): void {
  for (const [k, own] of ids.entries()) {
    const top = logits[own]!;
    let sum = 0;
    for (const [e, logit] of logits.entries()) {
      if (k === 1 && e === ids[0]) continue;
      if (!((top - logit) / Math.max(Math.abs(logit), top) > 2 * jitter)) sum += Math.exp(logit - top);
    }
    weights[k] = 1 / sum;
  }
}
