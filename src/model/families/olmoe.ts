// OLMoE: q and k are normed over all heads together before RoPE, and q, k and v may be cut; softmax
// over all experts, top k, as a rule not renormalised.
//
// Semantics and defaults are those of transformers' modeling_olmoe.py.

import { SOFTMAX } from "../../tensor/route_rule.ts";
import { closingFields, commonFields, expertFields, headFields } from "../config.ts";
import type { Family, LayerArchitecture } from "../family.ts";
import { readRope } from "../rope.ts";
import { mlpSources } from "../sources.ts";

export const olmoe: Family = {
  types: ["olmoe"],

  architecture(c) {
    const { depth, ...common } = commonFields(c);
    const intermediate = c.size("intermediate_size");
    const shape = headFields(c, common.hidden);
    const experts = expertFields(c, "num_experts", "num_local_experts");
    const biases = c.flag("attention_bias", false) ? (["qkv", "o"] as const) : [];
    const normalize = c.flag("norm_topk_prob", false);
    const clip = c.has("clip_qkv") ? c.positive("clip_qkv") : c.keep("clip_qkv", null);
    const eps = c.positive("rms_norm_eps", 1e-5);
    const rope = readRope(c, shape.headDim, 1e4);
    const layer: LayerArchitecture = {
      attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window: null, rope, ...(clip !== null && { clip }) },
      qkNorm: "whole",
      experts: { ...experts, intermediate, rule: { ...SOFTMAX, normalize }, biased: false },
      dense: null,
      shared: null,
    };
    return { ...common, ...closingFields(c), eps, biases, layers: Array<LayerArchitecture>(depth).fill(layer) };
  },

  sources: mlpSources,
};
