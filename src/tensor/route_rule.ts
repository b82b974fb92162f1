// Rules by which a router chooses experts and weighs them.

/** Experts by scores of their logits. */
export interface ScoreRule {
  readonly score: "softmax" | "sigmoid";
  /**
   * The E experts are `count` groups of neighbours; only those of the `kept` best are chosen from.
   * A group is as good as its best expert ("max"), or as the sum of its best two ("two").
   */
  readonly groups: { readonly count: number; readonly kept: number; readonly by: "max" | "two" } | null;
  /** Whether the chosen scores are divided by their sum: max(sum + added, least). */
  readonly normalize: boolean;
  readonly added: number;
  readonly least: number;
  /** Weights are multiplied by it at last. */
  readonly factor: number;
}

/**
 * Two experts (Liu et al., GRIN, arXiv 2409.12136): expert i = argmax s weighs softmax(s)_i over
 * the experts with (s_i - s_e) / max(|s_e|, s_i) <= 2 jitter; the second likewise without the
 * first.
 */
export interface SparseMixer {
  readonly score: "sparsemixer";
  readonly jitter: number;
}

/** How experts are chosen and weighed (Router in src/backend/ops.ts). */
export type RouteRule = ScoreRule | SparseMixer;

/** Softmax over the chosen logits: the usual rule, from which others differ in a few fields. */
export const SOFTMAX: ScoreRule = {
  score: "softmax",
  groups: null,
  normalize: true,
  added: 0,
  least: 0,
  factor: 1,
};

/** Sigmoids over their sum; without any score, weights are 0 and not NaN. */
export const SIGMOID: ScoreRule = { ...SOFTMAX, score: "sigmoid", least: 1e-20 };

/** What is wrong with a rule for k of E experts; null: nothing. */
export function wrongRule(rule: RouteRule, E: number, k: number): string | null {
  if (!(k >= 1 && k <= E)) return `${k} experts a token of ${E}`;
  if (rule.score === "sparsemixer") return k === 2 ? null : `sparsemixer chooses 2 experts a token, not ${k}`;
  if (!rule.groups) return null;
  const { count, kept } = rule.groups;
  if (E % count !== 0) return `${E} experts are not ${count} equal groups`;
  if (kept > count || kept * (E / count) < k)
    return `${k} experts a token from ${kept} of ${count} groups of ${E / count}`;
  return null;
}
