// DeepSeek-V2, V2-Lite and Coder-V2: multi-head latent attention, the first layers dense, the
// others with softmax routers that do not renormalise, and shared experts.
//
// Semantics and defaults are those of transformers' modeling_deepseek_v2.py.

import type { Family } from "../family.ts";
import { latentArchitecture } from "../latent_family.ts";
import { latentFields } from "../mla.ts";
import { groupedSoftmax } from "../routing.ts";
import { sharedMlpSources } from "../sources.ts";

export const deepseekV2: Family = {
  types: ["deepseek_v2"],

  architecture(c) {
    c.only("scoring_func", ["softmax"]);
    const ffnBiases = c.flag("mlp_bias", false);
    return latentArchitecture(c, {
      ffnBiases,
      dense: 0,
      shared: 2,
      biased: false,
      attention: () => latentFields(c, true),
      rule: (experts) => groupedSoftmax(c, experts),
    });
  },

  sources: sharedMlpSources,
};
