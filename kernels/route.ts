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
  if (rule.score === "sparsemixer") {
    for (let t = from; t < to; t++) {
      const own = logits.subarray(t * E, (t + 1) * E);
      const chosen = ids.subarray(t * K, (t + 1) * K);
      best(own, 0, E, chosen, 0, K);
      mix(own, rule.jitter, chosen, weights.subarray(t * K, (t + 1) * K));
    }
    return;
  }
  if (rule.groups || choosesByScores(rule, bias !== null))
    for (let t = from; t < to; t++) best(worthOf(logits.subarray(t * E, (t + 1) * E), rule, bias), 0, E, ids, t * K, K);
  else bestOf(logits, E, ids, K, from, to);
  share(logits, E, rule, bias !== null, ids, K, weights, from, to);
}

// A prompt has thousands of rows, which make a loop over them hot. So what most models need is two
// short functions with such a loop each, over indices, without views and iterators: an engine
// compiles them in a tenth of the time of one for everything.

/** best() of rows [from, to). */
function bestOf(logits: Float32Array, E: number, ids: Uint32Array, K: number, from: number, to: number): void {
  for (let t = from; t < to; t++) best(logits, t * E, E, ids, t * K, K);
}

/**
 * The numbers of the K largest of `count` values from `at` on, the largest first, to `to` in ids.
 */
function best(values: Float32Array, at: number, count: number, ids: Uint32Array, to: number, K: number): void {
  // Insertion into a sorted list of K: a later expert passes an earlier one only if strictly
  // greater.
  for (let e = 0; e < count; e++) {
    let place = Math.min(e, K);
    while (place > 0 && !(values[at + ids[to + place - 1]!]! >= values[at + e]!)) place--;
    if (place === K) continue;
    for (let i = Math.min(e, K - 1); i > place; i--) ids[to + i] = ids[to + i - 1]!;
    ids[to + place] = e;
  }
}

/** A logit's score, of softmax without its denominator. */
function scoreOf(softmax: boolean, logit: number, top: number): number {
  return softmax ? Math.exp(logit - top) : 1 / (1 + Math.exp(-logit));
}

/** The largest of E logits from `at` on. */
function largest(logits: Float32Array, at: number, E: number): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let e = at; e < at + E; e++) top = Math.max(top, logits[e]!);
  return top;
}

/** Softmax's denominator. */
function sumOf(logits: Float32Array, at: number, E: number, top: number): number {
  let all = 0;
  for (let e = at; e < at + E; e++) all += scoreOf(true, logits[e]!, top);
  return all;
}

/** Weights of the K experts that were chosen for each of rows [from, to). */
function share(
  logits: Float32Array,
  E: number,
  rule: ScoreRule,
  biased: boolean,
  ids: Uint32Array,
  K: number,
  weights: Float32Array,
  from: number,
  to: number,
): void {
  const { normalize, added, least, factor } = rule;
  const softmax = rule.score === "softmax";
  // softmax's denominator; it cancels where weights are divided by their sum and nothing else
  const whole = softmax && (!normalize || added > 0 || least > 0 || choosesByScores(rule, biased));
  for (let t = from; t < to; t++) {
    const at = t * E;
    const top = softmax ? largest(logits, at, E) : 0;
    const all = whole ? sumOf(logits, at, E, top) : 1;
    let total = 1;
    if (normalize) {
      total = added;
      for (let k = t * K; k < (t + 1) * K; k++) total += scoreOf(softmax, logits[at + ids[k]!]!, top) / all;
      total = Math.max(total, least);
    }
    for (let k = t * K; k < (t + 1) * K; k++)
      weights[k] = (scoreOf(softmax, logits[at + ids[k]!]!, top) / all / total) * factor;
  }
}

/** What a row's experts are chosen by, where that is not their logits. */
function worthOf(logits: Float32Array, rule: ScoreRule, bias: Float32Array | null): Float32Array {
  const { score, groups } = rule;
  let values = logits;
  if (choosesByScores(rule, bias !== null)) {
    const softmax = score === "softmax";
    const top = softmax ? largest(logits, 0, logits.length) : 0;
    const all = softmax ? sumOf(logits, 0, logits.length, top) : 1;
    values = logits.map((logit, e) => Math.fround(scoreOf(softmax, logit, top) / all) + (bias ? bias[e]! : 0));
  }
  return groups ? onlyGroups(values, groups) : values;
}

/** The values of the best groups' experts; those of others are the least of all. */
function onlyGroups(values: Float32Array, { count, kept, by }: NonNullable<ScoreRule["groups"]>): Float32Array {
  const size = values.length / count;
  const two = new Uint32Array(Math.min(by === "two" ? 2 : 1, size));
  const worth = Float32Array.from({ length: count }, (_, g) => {
    const own = values.subarray(g * size, (g + 1) * size);
    best(own, 0, own.length, two, 0, two.length);
    return two.reduce((sum, e) => sum + own[e]!, 0);
  });
  const groups = new Uint32Array(kept);
  best(worth, 0, count, groups, 0, kept);
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
