// DeepSeek-V3 and R1, Moonlight; GLM-4.7-Flash (glm4_moe_lite): multi-head latent attention, the
// first layers dense, the others with routers that choose by sigmoid + bias, and shared experts.
//
// Semantics and defaults are those of transformers' modeling_deepseek_v3.py and
// modeling_glm4_moe_lite.py. Layers after the last one, which predict several tokens at once
// (num_nextn_predict_layers), are not read.

import type { Fields } from "../config.ts";
import type { Family } from "../family.ts";
import { groupedArchitecture } from "../grouped_family.ts";
import { latentFields } from "../mla.ts";
import { type GroupDefaults, groupedSigmoid } from "../routing.ts";
import { sharedMlpSources } from "../sources.ts";

const family = (type: string, dense: number, eps: number, groups: GroupDefaults): Family => ({
  types: [type],

  architecture(c: Fields) {
    c.only("scoring_func", ["sigmoid"]);
    c.only("topk_method", ["noaux_tc"]);
    return groupedArchitecture(c, {
      dense,
      shared: 1,
      eps,
      biased: true,
      biases: ["qkv", "o"],
      attention: () => latentFields(c, c.flag("rope_interleave", true)),
      rule: (experts) => groupedSigmoid(c, experts, groups),
    });
  },

  sources: sharedMlpSources,
});

export const deepseekV3 = family("deepseek_v3", 3, 1e-6, { groups: 8, kept: 4, factor: 2.5 });
export const glm4MoeLite = family("glm4_moe_lite", 1, 1e-5, { groups: 1, kept: 1, factor: 1.8 });
