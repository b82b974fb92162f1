// LFM2-MoE: most layers have a short convolution, gated by two products of its input, in place of
// attention; the first layers are dense, the others choose by sigmoid + bias.
//
// Semantics and defaults are those of transformers' modeling_lfm2_moe.py.

import { SIGMOID } from "../../tensor/route_rule.ts";
import type { ExpertSource } from "../../tensor/types.ts";
import { closingFields, commonFields, expertFields, headFields } from "../config.ts";
import type { Family, LayerArchitecture, LayerSources, Take } from "../family.ts";
import { layerKinds } from "../layer_kinds.ts";
import { readRope } from "../rope.ts";
import { type MixerSources, routedExperts } from "../sources.ts";
import { transposed } from "../views.ts";

const NAMES = ["w1", "w3", "w2"] as const;

export const lfm2Moe: Family = {
  types: ["lfm2_moe"],

  architecture(c) {
    c.only("conv_bias", [false]);
    c.only("scoring_func", ["sigmoid"]);
    const { depth, ...common } = commonFields(c, { activation: "silu" });
    const tied = c.flag(c.has("tie_embedding") ? "tie_embedding" : "tie_word_embeddings", true);
    c.keep("tie_word_embeddings", tied);
    const shape = headFields(c, common.hidden);
    const experts = expertFields(c, "num_experts", "num_local_experts");
    const intermediate = c.size("moe_intermediate_size", { otherwise: 1792 });
    const biased = c.flag("use_expert_bias", true);
    const normalize = c.flag("norm_topk_prob", true);
    const factor = c.positive("routed_scaling_factor", 1);
    const first = c.indexTo("num_dense_layers", depth - 1, 2);
    const eps = c.positive("norm_eps", 1e-5);
    const rope = readRope(c, shape.headDim, 1e6);
    const taps = c.size("conv_L_cache", { otherwise: 3, most: 64 });
    const rule = { ...SIGMOID, normalize, added: 1e-6, least: 0, factor };
    const routed = { ...experts, intermediate, rule, biased } as const;
    const wide = first > 0 ? c.size("intermediate_size") : 0;
    const kinds = layerKinds(c, depth, { known: ["full_attention", "conv"], needed: "full_attention" });
    const layers = kinds.map(
      (kind, i): LayerArchitecture => ({
        ...(kind === "conv"
          ? { attention: null, recurrence: { kind: "conv", taps }, qkNorm: null }
          : { attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window: null, rope }, qkNorm: "head" }),
        experts: i < first ? null : routed,
        dense: i < first ? { intermediate: wide } : null,
        shared: null,
      }),
    );
    return { ...common, ...closingFields(c), tied, eps, layers };
  },

  sources(a, take) {
    const D = a.hidden;
    const layers = a.layers.map((layer, i): LayerSources => {
      const p = `model.layers.${i}.`;
      const { experts, dense } = layer;
      const moe = `${p}feed_forward.`;
      return {
        attnNorm: take.matrix(`${p}operator_norm.weight`, D),
        ...(layer.attention ? attention(D, take, p, layer.attention) : convolution(D, take, p, layer.recurrence!)),
        ffnNorm: take.matrix(`${p}ffn_norm.weight`, D),
        gate: experts && take.matrix(`${moe}gate.weight`, experts.count, D),
        gateBias: experts?.biased ? take.matrix(`${moe}expert_bias`, experts.count) : null,
        experts: experts ? routedExperts(take, moe, NAMES, { E: experts.count, F: experts.intermediate, D }) : [],
        ffn: dense && { ...denseSource(take, moe, D, dense.intermediate), gate: null },
      };
    });
    return {
      embed: take.matrix("model.embed_tokens.weight", a.vocab, D),
      norm: take.matrix("model.embedding_norm.weight", D),
      head: a.tied ? null : take.matrix("lm_head.weight", a.vocab, D),
      layers,
    };
  },
};

function attention(
  D: number,
  take: Take,
  p: string,
  { heads, kvHeads, headDim }: NonNullable<LayerArchitecture["attention"]>,
): MixerSources {
  const of = (name: string, rows: number) => take.matrix(`${p}self_attn.${name}_proj.weight`, rows, D);
  const norm = (name: string) => take.matrix(`${p}self_attn.${name}_layernorm.weight`, headDim);
  return {
    qkv: [of("q", heads * headDim), of("k", kvHeads * headDim), of("v", kvHeads * headDim)],
    qkNorm: { q: norm("q"), k: norm("k") },
    wo: take.matrix(`${p}self_attn.out_proj.weight`, D, heads * headDim),
  };
}

/** in_proj has the rows of B, of C and of x. */
function convolution(D: number, take: Take, p: string, { taps }: { readonly taps: number }): MixerSources {
  return {
    qkv: [take.matrix(`${p}conv.in_proj.weight`, 3 * D, D)],
    qkNorm: null,
    wo: take.matrix(`${p}conv.out_proj.weight`, D, D),
    recurrence: { conv: transposed(take.matrix(`${p}conv.conv.weight`, D, 1, taps)) },
  };
}

function denseSource(take: Take, prefix: string, D: number, F: number): ExpertSource {
  const of = (name: string, rows: number, cols: number) => take.matrix(`${prefix}${name}.weight`, rows, cols);
  return { w1: of("w1", F, D), w3: of("w3", F, D), w2: of("w2", D, F) };
}
