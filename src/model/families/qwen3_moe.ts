// Qwen3-MoE: q and k are normed head by head before RoPE; softmax over all experts, top k,
// renormalised if norm_topk_prob.
//
// Semantics and defaults are those of transformers' modeling_qwen3_moe.py. head_dim is a field of
// its own, not D / H.

import { SOFTMAX } from "../../tensor/route_rule.ts";
import { closingFields, commonFields, expertFields, headFields } from "../config.ts";
import type { Family, LayerArchitecture } from "../family.ts";
import { withDense } from "../layer_kinds.ts";
import { readRope } from "../rope.ts";
import { mlpSources } from "../sources.ts";

export const qwen3Moe: Family = {
  types: ["qwen3_moe"],

  architecture(c) {
    const { depth, ...common } = commonFields(c);
    const intermediate = c.size("moe_intermediate_size");
    const shape = headFields(c, common.hidden);
    const experts = expertFields(c, "num_experts", "num_local_experts");
    const biases = c.flag("attention_bias", false) ? (["qkv", "o"] as const) : [];
    const normalize = c.flag("norm_topk_prob", false);
    const eps = c.positive("rms_norm_eps", 1e-6);
    const rope = readRope(c, shape.headDim, 1e4);
    // of all layers; without the switch the number means nothing
    const window = c.flag("use_sliding_window", false) ? c.size("sliding_window", { otherwise: 4096 }) : null;
    const sparse: LayerArchitecture = {
      attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window, rope },
      qkNorm: "head",
      experts: { ...experts, intermediate, rule: { ...SOFTMAX, normalize }, biased: false },
      dense: null,
      shared: null,
    };
    const layers = withDense(c, Array<LayerArchitecture>(depth).fill(sparse));
    return { ...common, ...closingFields(c), eps, biases, layers };
  },

  sources: mlpSources,
};
