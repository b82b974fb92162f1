// One expert's part of its layer's rule, for experts that the host computes.

import { SILU } from "../tensor/activation.ts";
import type { HostRule } from "./experts.ts";
import type { ExpertRule, Vector } from "./ops.ts";

const PLAIN: HostRule = { gating: SILU, down: null };

/** An expert's part of its layer's rule. @param values of a vector */
export function ruleOf(
  rule: ExpertRule | undefined,
  expert: number,
  F: number,
  D: number,
  values: (of: Vector) => Float32Array,
): HostRule {
  if (!rule) return PLAIN;
  const { activation, limit, biases } = rule;
  const bias = biases && values(biases.up).subarray(expert * 2 * F, (expert + 1) * 2 * F);
  const down = biases && values(biases.down).subarray(expert * D, (expert + 1) * D);
  return { gating: { activation, limit, bias }, down };
}
