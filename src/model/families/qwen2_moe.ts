// Qwen1.5-MoE and Qwen2-MoE: biases of q, k and v; softmax over all experts, top k, as a rule not
// renormalised; beside them a shared expert with a gate.
//
// Semantics and defaults are those of transformers' modeling_qwen2_moe.py.

import { SOFTMAX } from "../../tensor/route_rule.ts";
import { closingFields, commonFields, expertFields, type Fields, headFields } from "../config.ts";
import type { Family, LayerArchitecture } from "../family.ts";
import { windowed, withDense, withWindows } from "../layer_kinds.ts";
import { readRope } from "../rope.ts";
import { mlpSources } from "../sources.ts";

export const qwen2Moe: Family = {
  types: ["qwen2_moe"],

  architecture(c) {
    const { depth, ...common } = commonFields(c);
    const intermediate = c.size("moe_intermediate_size");
    const shape = headFields(c, common.hidden);
    const experts = expertFields(c, "num_experts", "num_local_experts");
    const shared = c.size("shared_expert_intermediate_size", { otherwise: 5632 });
    const biases = c.flag("qkv_bias", true) ? (["qkv"] as const) : [];
    const normalize = c.flag("norm_topk_prob", false);
    const eps = c.positive("rms_norm_eps", 1e-6);
    const rope = readRope(c, shape.headDim, 1e4);
    const sparse: LayerArchitecture = {
      attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window: null, rope },
      qkNorm: null,
      experts: { ...experts, intermediate, rule: { ...SOFTMAX, normalize }, biased: false },
      dense: null,
      shared: { intermediate: shared, gated: true },
    };
    const layers = windows(c, depth, withDense(c, Array<LayerArchitecture>(depth).fill(sparse)));
    return { ...common, ...closingFields(c), eps, biases, layers };
  },

  sources: mlpSources,
};

/** With use_sliding_window: every other one of the first max_window_layers, or layer_types. */
function windows(c: Fields, depth: number, layers: readonly LayerArchitecture[]): readonly LayerArchitecture[] {
  const used = c.flag("use_sliding_window", false);
  const most = used ? c.indexTo("max_window_layers", Number.MAX_SAFE_INTEGER, 28) : 0;
  const has = windowed(c, depth, (i) => i % 2 === 0 && i < most);
  if (!has.includes(true)) return layers;
  if (!used) c.fail("layer_types", "full_attention only, because use_sliding_window is not true");
  return withWindows(layers, c.size("sliding_window", { otherwise: 4096 }), has);
}
