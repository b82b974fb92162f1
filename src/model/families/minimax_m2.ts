// MiniMax-M2: q and k are normed over all heads together, a part of each head turns, and experts
// are chosen by sigmoid + bias and weighed by the sigmoids, renormalised.
//
// Semantics and defaults are those of transformers' modeling_minimax_m2.py.

import { SIGMOID } from "../../tensor/route_rule.ts";
import { closingFields, commonFields, expertFields, headFields } from "../config.ts";
import type { Family, LayerArchitecture } from "../family.ts";
import { readRope, turnedPart } from "../rope.ts";
import { routedExperts, usualSources } from "../sources.ts";

export const minimaxM2: Family = {
  types: ["minimax_m2"],

  architecture(c) {
    // These are constants of the code, whatever their names promise.
    c.only("use_qk_norm", [true]);
    c.only("qk_norm_type", ["per_layer"]);
    c.only("scoring_func", ["sigmoid"]);
    c.only("use_routing_bias", [true]);
    c.only("shared_intermediate_size", [0, null], "0 (shared experts are not implemented)");
    const { depth, ...common } = commonFields(c);
    const kinds = c.raw("attn_type_list") ?? [];
    if (!Array.isArray(kinds) || kinds.some((kind) => kind !== 1))
      c.fail("attn_type_list", "a list of 1 (linear attention is not implemented)");
    const intermediate = c.size("intermediate_size");
    const shape = headFields(c, common.hidden, 128);
    const experts = expertFields(c, "num_local_experts", "num_experts");
    const eps = c.positive("rms_norm_eps", 1e-6);
    // Published files have rotary_dim in place of the share.
    const turned = c.has("rotary_dim") ? c.size("rotary_dim", { most: shape.headDim }) : shape.headDim;
    if (turned % 2 !== 0) c.fail("rotary_dim", "an even number");
    const rope = readRope(c, turnedPart(c, shape.headDim, turned / shape.headDim), 5e6);
    const layer: LayerArchitecture = {
      attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window: null, rope },
      qkNorm: "whole",
      experts: { ...experts, intermediate, rule: SIGMOID, biased: true },
      dense: null,
      shared: null,
    };
    return { ...common, ...closingFields(c), eps, layers: Array<LayerArchitecture>(depth).fill(layer) };
  },

  /** transformers v5 writes `mlp` in place of `block_sparse_moe`. */
  sources(a, take) {
    return usualSources(a, take, (p, { count: E, intermediate: F }) => {
      const moe = take.has(`${p}mlp.gate.weight`) ? `${p}mlp.` : `${p}block_sparse_moe.`;
      return {
        gate: take.matrix(`${moe}gate.weight`, E, a.hidden),
        gateBias: take.matrix(`${moe}e_score_correction_bias`, E),
        experts: routedExperts(take, moe, ["w1", "w3", "w2"], { E, F, D: a.hidden }),
      };
    });
  },
};
