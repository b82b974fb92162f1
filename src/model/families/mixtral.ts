// Mixtral: attention with one window or none; softmax over all experts, top k, renormalised.
//
// Semantics as in transformers' modeling_mixtral.py: RoPE rotates the two halves of a head (i, i +
// Dh/2), not interleaved pairs.

import { SOFTMAX } from "../../tensor/route_rule.ts";
import { closingFields, commonFields, expertFields, headFields } from "../config.ts";
import type { Family, LayerArchitecture } from "../family.ts";
import { readRope } from "../rope.ts";
import { routedExperts, usualSources } from "../sources.ts";

export const mixtral: Family = {
  types: ["mixtral"],

  architecture(c) {
    const { depth, ...common } = commonFields(c);
    const intermediate = c.size("intermediate_size");
    const shape = headFields(c, common.hidden);
    const experts = expertFields(c, "num_local_experts", "num_experts");
    const eps = c.positive("rms_norm_eps");
    const rope = readRope(c, shape.headDim);
    const window = c.sizeOrNull("sliding_window");
    const layer: LayerArchitecture = {
      attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window, rope },
      qkNorm: null,
      experts: { ...experts, intermediate, rule: SOFTMAX, biased: false },
      dense: null,
      shared: null,
    };
    return { ...common, ...closingFields(c), eps, layers: Array<LayerArchitecture>(depth).fill(layer) };
  },

  /** transformers v5 writes `mlp` in place of `block_sparse_moe`. */
  sources(a, take) {
    return usualSources(a, take, (p, { count: E, intermediate: F }) => {
      const moe = take.has(`${p}mlp.gate.weight`) ? `${p}mlp.` : `${p}block_sparse_moe.`;
      const experts = routedExperts(take, moe, ["w1", "w3", "w2"], { E, F, D: a.hidden });
      return { gate: take.matrix(`${moe}gate.weight`, E, a.hidden), experts };
    });
  },
};
