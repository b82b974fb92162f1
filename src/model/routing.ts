// Rules of routers, from the fields of config.json that several families share.

import { type ScoreRule, SIGMOID } from "../tensor/route_rule.ts";
import type { Fields } from "./config.ts";

/** The defaults of fields whose families differ. */
export interface GroupDefaults {
  readonly groups: number;
  readonly kept: number;
  readonly factor: number;
}

/**
 * DeepSeek-V3's rule, also GLM's: sigmoids, of the groups with the best two (n_group, topk_group),
 * renormalised (norm_topk_prob), times routed_scaling_factor: transformers'
 * route_tokens_to_experts().
 * @param experts of a layer
 */
export function groupedSigmoid(c: Fields, experts: number, defaults: GroupDefaults): ScoreRule {
  const groups = c.size("n_group", { most: experts, otherwise: defaults.groups });
  if (experts % groups !== 0) c.fail("n_group", `a divisor of the number of experts, ${experts}`);
  const kept = c.size("topk_group", { most: groups, otherwise: defaults.kept });
  const normalize = c.flag("norm_topk_prob", true);
  const factor = c.positive("routed_scaling_factor", defaults.factor);
  const by = groups > 1 ? ({ count: groups, kept, by: "two" } as const) : null;
  return { ...SIGMOID, groups: by, normalize, added: 1e-20, least: 0, factor };
}
