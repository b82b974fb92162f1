// Rules of routers, from the fields of config.json that several families share.

import { type ScoreRule, SIGMOID, SOFTMAX } from "../tensor/route_rule.ts";
import type { Fields } from "./config.ts";

/** The defaults of fields whose families differ. */
export interface GroupDefaults {
  readonly groups: number;
  readonly kept: number;
  readonly factor: number;
  /** Whether weights are renormalised; absent: yes. */
  readonly normalize?: boolean;
}

/**
 * DeepSeek-V3's rule, also GLM's: sigmoids, of the groups with the best two (n_group, topk_group),
 * renormalised (norm_topk_prob), times routed_scaling_factor: transformers'
 * route_tokens_to_experts().
 * @param experts of a layer
 */
export function groupedSigmoid(c: Fields, experts: number, defaults: GroupDefaults): ScoreRule {
  const groups = groupFields(c, experts, defaults, "two");
  const normalize = c.flag("norm_topk_prob", defaults.normalize ?? true);
  const factor = c.positive("routed_scaling_factor", defaults.factor);
  return { ...SIGMOID, groups, normalize, added: 1e-20, least: 0, factor };
}

/**
 * DeepSeek-V2's rule: softmax over all, of the groups with the best expert where topk_method says
 * so, times routed_scaling_factor and not renormalised (transformers' DeepseekV2TopkRouter).
 */
export function groupedSoftmax(c: Fields, experts: number): ScoreRule {
  c.only("topk_method", ["greedy", "group_limited_greedy"]);
  c.only("norm_topk_prob", [false, null], "false (weights are not renormalised)");
  const grouped = c.raw("topk_method") === "group_limited_greedy";
  const groups = grouped ? groupFields(c, experts, { groups: 1, kept: 1, factor: 1 }, "max") : null;
  return { ...SOFTMAX, groups, normalize: false, factor: c.positive("routed_scaling_factor", 1) };
}

function groupFields(c: Fields, experts: number, defaults: GroupDefaults, by: "max" | "two"): ScoreRule["groups"] {
  const count = c.size("n_group", { most: experts, otherwise: defaults.groups });
  if (experts % count !== 0) c.fail("n_group", `a divisor of the number of experts, ${experts}`);
  const kept = c.size("topk_group", { most: count, otherwise: defaults.kept });
  return count > 1 ? { count, kept, by } : null;
}
