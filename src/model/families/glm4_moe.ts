// GLM-4.5, 4.6 and 4.7: a part of each head turns, q and k are normed head by head or not, the
// first layers are dense, the others choose by sigmoid + bias and have shared experts beside.
//
// Semantics and defaults are those of transformers' modeling_glm4_moe.py. Layers after the last
// one, which predict several tokens at once (num_nextn_predict_layers), are not read.

import { headFields } from "../config.ts";
import type { Family } from "../family.ts";
import { groupedArchitecture } from "../grouped_family.ts";
import { readRope, turnedPart } from "../rope.ts";
import { groupedSigmoid } from "../routing.ts";
import { sharedMlpSources } from "../sources.ts";

export const glm4Moe: Family = {
  types: ["glm4_moe"],

  architecture(c) {
    c.only("scoring_func", ["sigmoid"]);
    c.only("topk_method", ["noaux_tc"]);
    return groupedArchitecture(c, {
      dense: 1,
      shared: 1,
      eps: 1e-5,
      biased: true,
      biases: ["qkv"],
      attention(hidden) {
        const shape = headFields(c, hidden);
        const qkNorm = c.flag("use_qk_norm", false) ? "head" : null;
        const rope = readRope(c, turnedPart(c, shape.headDim, 0.5), 1e4);
        return { attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window: null, rope }, qkNorm };
      },
      rule: (experts) => groupedSigmoid(c, experts, { groups: 1, kept: 1, factor: 1 }),
    });
  },

  sources: sharedMlpSources,
};
