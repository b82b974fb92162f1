// Phi-3.5-MoE: LayerNorms with biases, and biases of q, k, v, o and of the head; sparsemixer
// chooses two experts, each by a softmax of its own; LongRoPE.
//
// Semantics as in transformers' modeling_phimoe.py, except for RoPE in texts longer than
// original_max_position_embeddings: release 5 forgets the long factors there, which the model's own
// code and release 4 have. The jitter is part of inference; input_jitter_noise is not.

import { closingFields, commonFields, expertFields, headFields } from "../config.ts";
import type { Biased, Family, LayerArchitecture } from "../family.ts";
import { readRope, ropeBlock } from "../rope.ts";
import { routedExperts, usualSources } from "../sources.ts";

export const phimoe: Family = {
  types: ["phimoe"],

  architecture(c) {
    const { depth, ...common } = commonFields(c);
    const intermediate = c.size("intermediate_size");
    const shape = headFields(c, common.hidden);
    const experts = expertFields(c, "num_local_experts", "num_experts");
    if (experts.perToken !== 2) c.fail("num_experts_per_tok", "2, which is what sparsemixer chooses");
    const rule = { score: "sparsemixer", jitter: c.amount("router_jitter_noise", 0.01) } as const;
    const biases: Biased[] = c.flag("attention_bias", false) ? ["qkv", "o"] : [];
    if (c.flag("lm_head_bias", false)) biases.push("head");
    const eps = c.positive("rms_norm_eps", 1e-5);
    const { field, kind } = ropeBlock(c);
    if (kind !== "default" && kind !== "longrope") c.fail(field, "longrope, the type that the model's own code has");
    const rope = readRope(c, shape.headDim, 1e6);
    const window = c.sizeOrNull("sliding_window");
    const layer: LayerArchitecture = {
      attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window, rope },
      qkNorm: null,
      experts: { ...experts, intermediate, rule, biased: false },
      dense: null,
      shared: null,
    };
    const layers = Array<LayerArchitecture>(depth).fill(layer);
    return { ...common, ...closingFields(c), eps, layerNorms: true, biases, layers };
  },

  /** transformers v5 writes `mlp` in place of `block_sparse_moe`, and `router` for `gate`. */
  sources(a, take) {
    return usualSources(a, take, (p, { count: E, intermediate: F }) => {
      const renamed = take.has(`${p}mlp.router.weight`);
      const moe = renamed ? `${p}mlp.` : `${p}block_sparse_moe.`;
      const experts = routedExperts(take, moe, ["w1", "w3", "w2"], { E, F, D: a.hidden });
      return { gate: take.matrix(`${moe}${renamed ? "router" : "gate"}.weight`, E, a.hidden), experts };
    });
  },
};
