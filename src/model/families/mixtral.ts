// Mixtral: attention with one window or none, softmax over all experts, top k renormalised.
//
// Semantics are those of transformers' modeling_mixtral.py (checkpoints of the model hub): RoPE rotates the two halves
// of a head (i, i + Dh/2), not interleaved pairs.

import type { ExpertSource } from "../../tensor/types.ts";
import { closingFields, commonFields, expertFields, headFields } from "../config.ts";
import type { Family, LayerArchitecture } from "../family.ts";
import { readRope } from "../rope.ts";
import { fusedExperts, usualSources } from "../sources.ts";

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
      experts: { ...experts, intermediate, activation: "silu", normalize: true },
    };
    return { ...common, ...closingFields(c), eps, layers: Array<LayerArchitecture>(depth).fill(layer) };
  },

  /**
   * Two layouts of experts: a tensor each (`block_sparse_moe.experts.E.w1.weight`), and transformers v5's fused
   * `mlp.experts.gate_up_proj`.
   */
  sources(a, take) {
    const D = a.hidden;
    return usualSources(a, take, (p, { count: E, intermediate: F }) => {
      const fused = take.has(`${p}mlp.experts.gate_up_proj`);
      const moe = fused || take.has(`${p}mlp.gate.weight`) ? `${p}mlp.` : `${p}block_sparse_moe.`;
      const expert = (_: unknown, e: number): ExpertSource => ({
        w1: take.matrix(`${moe}experts.${e}.w1.weight`, F, D),
        w3: take.matrix(`${moe}experts.${e}.w3.weight`, F, D),
        w2: take.matrix(`${moe}experts.${e}.w2.weight`, D, F),
      });
      return {
        gate: take.matrix(`${moe}gate.weight`, E, D),
        experts: fused ? fusedExperts(take, `${moe}experts.`, E, F, D) : Array.from({ length: E }, expert),
      };
    });
  },
};
