// DeepSeek-V2, V2-Lite and Coder-V2: multi-head latent attention, the first layers dense, the
// others with softmax routers that do not renormalise, and shared experts.
//
// Semantics and defaults are those of transformers' modeling_deepseek_v2.py.

import type { Family } from "../family.ts";
import { groupedArchitecture } from "../grouped_family.ts";
import { latentFields } from "../mla.ts";
import { groupedSoftmax } from "../routing.ts";
import { sharedMlpSources } from "../sources.ts";

export const deepseekV2: Family = {
  types: ["deepseek_v2"],

  architecture(c) {
    c.only("scoring_func", ["softmax"]);
    c.only("rope_interleave", [true]);
    return groupedArchitecture(c, {
      dense: 0,
      shared: 2,
      eps: 1e-6,
      biased: false,
      biases: ["qkv", "o"],
      mlpBias: true,
      attention: () => latentFields(c, true),
      rule: (experts) => groupedSoftmax(c, experts),
    });
  },

  sources: sharedMlpSources,
};
