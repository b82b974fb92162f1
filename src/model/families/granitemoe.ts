// Granite 3 MoE: Mixtral with four multipliers, and with experts in stacked tensors.
//
// Semantics and defaults are those of transformers' modeling_granitemoe.py. The multipliers are
// folded into what is f32 anyway. Say e for embedding_multiplier, r for residual_multiplier:
//
//   transformers                            here, where the residual stream x is theirs / e
//   x = e embed                             x = embed
//   x += r attn(norm(x))                    x += attn(norm(x)), norms' weights times g = r / e: v, and
//                                           with it the result, has g; q and k have it too, so that
//                                           scores are scaled by attention_multiplier / g²
//   x += r Σ weight expert(norm(x))         weights of routes times g
//   norm(x) with eps                        eps / e², as x is divided by e
//   logits / logits_scaling                 the last norm's weights / logits_scaling

import { SOFTMAX } from "../../tensor/route_rule.ts";
import type { MatrixSource } from "../../tensor/types.ts";
import { biased } from "../bias.ts";
import { closingFields, commonFields, expertFields, headFields, type ModelConfig } from "../config.ts";
import type { Family } from "../family.ts";
import { readRope } from "../rope.ts";
import { routedExperts, usualSources } from "../sources.ts";
import { stackedExperts } from "../stacked.ts";
import { mapped } from "../views.ts";

const MULTIPLIERS = ["embedding_multiplier", "residual_multiplier", "logits_scaling"] as const;

export const graniteMoe: Family = {
  types: ["granitemoe"],

  architecture(c) {
    const { depth, ...common } = commonFields(c);
    const intermediate = c.size("intermediate_size");
    const shape = headFields(c, common.hidden);
    const experts = expertFields(c, "num_local_experts", "num_experts");
    const biases = c.flag("attention_bias", false) ? (["qkv", "o"] as const) : [];
    const eps = c.positive("rms_norm_eps", 1e-6);
    const rope = readRope(c, shape.headDim, 1e4);
    const scale = c.positive("attention_multiplier", 1);
    for (const field of MULTIPLIERS) c.positive(field, 1);
    const { config, stored } = closingFields(c);
    const { embedding, branch } = factorsOf(config);
    const layer = {
      attention: { ...shape, scale: scale / branch ** 2, window: null, rope },
      qkNorm: null,
      experts: {
        ...experts,
        intermediate,
        // Softmax over the chosen logits: the same as over all, renormalised.
        rule: { ...SOFTMAX, factor: branch },
        biased: false,
      },
      dense: null,
      shared: null,
    } as const;
    return { ...common, config, stored, eps: eps / embedding ** 2, biases, layers: Array(depth).fill(layer) };
  },

  sources(a, take) {
    const { branch, last } = factorsOf(a.config);
    const D = a.hidden;
    const own = usualSources(a, take, (p, { count: E, intermediate: F }) => {
      const of = `${p}block_sparse_moe.`;
      const published = take.has(`${of}router.layer.weight`);
      const stacked = take.has(`${of}input_linear.weight`);
      return {
        gate: take.matrix(`${of}router.${published ? "layer." : ""}weight`, E, D),
        experts: stacked
          ? stackedExperts(take, `${of}input_linear.weight`, `${of}output_linear.weight`, { E, F, D })
          : routedExperts(take, of, ["w1", "w3", "w2"], { E, F, D }),
      };
    });
    return {
      ...own,
      norm: times(own.norm, last),
      layers: own.layers.map((layer) => ({
        ...layer,
        attnNorm: times(layer.attnNorm, branch),
        // What is added to g q is g b.
        qkv: layer.qkv.map((part) => withBias(part, branch)),
        wo: withBias(layer.wo, branch),
      })),
    };
  },
};

/** What the residual stream is divided by, g of the branches, and the factor of logits. */
function factorsOf(config: ModelConfig) {
  const [embedding, residual, scaling] = MULTIPLIERS.map((field) => config[field]) as [number, number, number];
  return { embedding, branch: residual / embedding, last: 1 / scaling };
}

/** The same vector, times a factor. */
const times = (vector: MatrixSource, factor: number) => mapped(vector, (x) => x * factor);

/** The same matrix with its bias, if it has one, times a factor. */
function withBias(matrix: MatrixSource, factor: number): MatrixSource {
  return matrix.bias ? biased(matrix, times(matrix.bias, factor)) : matrix;
}
