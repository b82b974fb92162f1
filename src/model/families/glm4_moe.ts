// GLM-4.5, 4.6 and 4.7: a part of each head turns, q and k are normed head by head or not, the
// first layers are dense, the others choose by sigmoid + bias and have shared experts beside.
//
// Semantics and defaults are those of transformers' modeling_glm4_moe.py. Layers after the last
// one, which predict several tokens at once (num_nextn_predict_layers), are not read.

import { closingFields, commonFields, expertFields, headFields } from "../config.ts";
import type { Family, LayerArchitecture } from "../family.ts";
import { readRope, turnedPart } from "../rope.ts";
import { groupedSigmoid } from "../routing.ts";
import { sharedMlpSources } from "../sources.ts";

const ONE_GROUP = { groups: 1, kept: 1, factor: 1 };

export const glm4Moe: Family = {
  types: ["glm4_moe"],

  architecture(c) {
    const { depth, ...common } = commonFields(c);
    const intermediate = c.size("moe_intermediate_size");
    const shape = headFields(c, common.hidden);
    const experts = expertFields(c, "n_routed_experts", "num_local_experts");
    const shared = c.indexTo("n_shared_experts", 4096, 1);
    const qkNorm = c.flag("use_qk_norm", false);
    const eps = c.positive("rms_norm_eps", 1e-5);
    const first = c.indexTo("first_k_dense_replace", depth, 1);
    const rope = readRope(c, turnedPart(c, shape.headDim, 0.5), 1e4);
    const own = {
      attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window: null, rope },
      qkNorm: qkNorm ? "head" : null,
    } as const;
    const sparse: LayerArchitecture = {
      ...own,
      experts: {
        ...experts,
        intermediate,
        rule: groupedSigmoid(c, experts.count, ONE_GROUP),
        biased: true,
      },
      dense: null,
      shared: shared > 0 ? { intermediate: shared * intermediate, gated: false } : null,
    };
    if (first === depth) c.fail("first_k_dense_replace", `less than num_hidden_layers (${depth})`);
    const dense = (): LayerArchitecture => {
      return { ...own, experts: null, dense: { intermediate: c.size("intermediate_size") }, shared: null };
    };
    const before = first > 0 ? Array<LayerArchitecture>(first).fill(dense()) : [];
    const layers = [...before, ...Array<LayerArchitecture>(depth - first).fill(sparse)];
    return { ...common, ...closingFields(c), eps, biases: c.flag("attention_bias", false) ? ["qkv"] : [], layers };
  },

  sources: sharedMlpSources,
};
