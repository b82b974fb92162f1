// dots.llm1: q and k are normed head by head, the last layers may have windows, the first ones are
// dense, the others choose by sigmoid + bias and have shared experts beside.
//
// Semantics and defaults are those of transformers' modeling_dots1.py. Layers after the last one,
// which predict several tokens at once, are not read.

import { type Fields, headFields } from "../config.ts";
import type { Family, LayerArchitecture } from "../family.ts";
import { groupedArchitecture } from "../grouped_family.ts";
import { windowed, withWindows } from "../layer_kinds.ts";
import { readRope } from "../rope.ts";
import { groupedSigmoid } from "../routing.ts";
import { sharedMlpSources } from "../sources.ts";

export const dots1: Family = {
  types: ["dots1"],

  architecture(c) {
    // The latter is DeepSeek-V3's name of the same rule.
    c.only("scoring_func", ["sigmoid", "noaux_tc"]);
    c.only("topk_method", ["noaux_tc"]);
    const a = groupedArchitecture(c, {
      dense: 0,
      shared: 0,
      eps: 1e-6,
      biased: true,
      biases: ["qkv", "o"],
      attention(hidden) {
        const shape = headFields(c, hidden);
        const rope = readRope(c, shape.headDim, 1e4);
        return { attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window: null, rope }, qkNorm: "head" };
      },
      rule: (experts) => groupedSigmoid(c, experts, { groups: 1, kept: 1, factor: 1, normalize: false }),
    });
    return { ...a, layers: windows(c, a.layers) };
  },

  sources: sharedMlpSources,
};

/** sliding_window, in the layers after the first max_window_layers, or as layer_types says. */
function windows(c: Fields, layers: readonly LayerArchitecture[]): readonly LayerArchitecture[] {
  const window = c.raw("sliding_window") === null ? null : c.size("sliding_window", { otherwise: 4096 });
  const first = c.indexTo("max_window_layers", Number.MAX_SAFE_INTEGER, 62);
  const has = windowed(c, layers.length, (i) => window !== null && i >= first);
  if (!has.includes(true)) return layers;
  if (window === null) c.fail("sliding_window", "a number, because layer_types has layers with windows");
  return withWindows(layers, window, has);
}
