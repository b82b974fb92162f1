// Qwen3-MoE: q and k are normed head by head before RoPE; softmax over all experts, top k,
// renormalised if norm_topk_prob.
//
// Semantics and defaults are those of transformers' modeling_qwen3_moe.py. head_dim is a field of
// its own, not D / H.

import { SOFTMAX } from "../../tensor/route_rule.ts";
import { closingFields, commonFields, expertFields, type Fields, headFields } from "../config.ts";
import type { Family, LayerArchitecture } from "../family.ts";
import { readRope } from "../rope.ts";
import { mlpSources } from "../sources.ts";

export const qwen3Moe: Family = {
  types: ["qwen3_moe"],

  architecture(c) {
    // Windows are not implemented; no published model has them.
    c.only("use_sliding_window", [false]);
    const { depth, ...common } = commonFields(c);
    const intermediate = c.size("moe_intermediate_size");
    const shape = headFields(c, common.hidden);
    const experts = expertFields(c, "num_experts", "num_local_experts");
    const biases = c.flag("attention_bias", false) ? (["qkv", "o"] as const) : [];
    const normalize = c.flag("norm_topk_prob", false);
    const eps = c.positive("rms_norm_eps", 1e-6);
    const rope = readRope(c, shape.headDim, 1e4);
    const sparse: LayerArchitecture = {
      attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window: null, rope },
      qkNorm: "head",
      experts: { ...experts, intermediate, activation: "silu", rule: { ...SOFTMAX, normalize }, biased: false },
      dense: null,
      shared: null,
    };
    const layers = withDense(c, depth, sparse);
    return { ...common, ...closingFields(c), eps, biases, layers };
  },

  sources: mlpSources,
};

/**
 * All layers: `sparse`, but for those that mlp_only_layers lists, and those whose number from 1 on
 * decoder_sparse_step does not divide, which are dense.
 */
function withDense(c: Fields, depth: number, sparse: LayerArchitecture): readonly LayerArchitecture[] {
  const step = c.count("decoder_sparse_step", { otherwise: 1 });
  const listed = c.indices("mlp_only_layers", depth);
  const isDense = (i: number): boolean => (i + 1) % step !== 0 || listed.includes(i);
  const numbers = Array.from({ length: depth }, (_, i) => i);
  if (!numbers.some(isDense)) return numbers.map(() => sparse);
  if (numbers.every(isDense)) c.fail("decoder_sparse_step", "a layer with experts beside those of mlp_only_layers");
  const dense = { ...sparse, experts: null, dense: { intermediate: c.size("intermediate_size") } };
  return numbers.map((i) => (isDense(i) ? dense : sparse));
}
