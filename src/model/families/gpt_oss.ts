// gpt-oss: experts with biases and a clamped SwiGLU, sinks, windows in alternate layers, biases on
// q, k, v, o and the router.
//
// Semantics and defaults are those of transformers' modeling_gpt_oss.py.

import { SOFTMAX } from "../../tensor/route_rule.ts";
import { takeProduct } from "../bias.ts";
import { closingFields, commonFields, expertFields, headFields } from "../config.ts";
import type { Family, LayerArchitecture } from "../family.ts";
import { readRope } from "../rope.ts";
import { everyOther, usualSources } from "../sources.ts";

export const gptOss: Family = {
  types: ["gpt_oss"],

  architecture(c) {
    c.only("attention_bias", [true]);
    const { depth, ...common } = commonFields(c);
    const intermediate = c.size("intermediate_size");
    const shape = headFields(c, common.hidden);
    const experts = expertFields(c, "num_local_experts", "num_experts");
    const window = c.size("sliding_window", { otherwise: 128 });
    const limit = c.positive("swiglu_limit", 7);
    const eps = c.positive("rms_norm_eps", 1e-5);
    const rope = readRope(c, shape.headDim, 1.5e5);
    const kinds = c.raw("layer_types");
    const known = ["sliding_attention", "full_attention"];
    const types = kinds ?? Array.from({ length: depth }, (_, i) => known[i % 2]!);
    if (!Array.isArray(types) || types.length !== depth || !types.every((kind) => known.includes(kind)))
      c.fail("layer_types", `${depth} of ${known.join(" or ")}`);
    const layers = (types as readonly string[]).map((kind): LayerArchitecture => {
      const own = kind === "sliding_attention" ? window : null;
      return {
        attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window: own, rope },
        qkNorm: null,
        // Softmax over the chosen logits: the same as over all, renormalised.
        experts: { ...experts, intermediate, activation: "swiglu_oai", limit, rule: SOFTMAX, biased: false },
        dense: null,
        shared: null,
      };
    });
    return { ...common, ...closingFields(c), eps, biases: ["qkv", "o", "gate"], layers };
  },

  /** MXFP4 blocks, whose rows are gates and ups in turn. */
  sources(a, take) {
    return usualSources(a, take, (p, { count: E, intermediate: F }) => {
      const [D, of] = [a.hidden, `${p}mlp.experts.`];
      const [both, down] = [`${of}gate_up_proj.weight`, `${of}down_proj.weight`];
      take.matrix(both, E * 2 * F, D);
      take.matrix(down, E * D, F);
      return {
        gate: takeProduct(a, take, "gate", `${p}mlp.router`, E, D),
        sinks: take.matrix(`${p}self_attn.sinks`, a.layers[0]!.attention!.heads),
        experts: Array.from({ length: E }, (_, e) => ({
          w1: everyOther(take.rows(both, e * 2 * F, 2 * F), 0),
          w3: everyOther(take.rows(both, e * 2 * F, 2 * F), 1),
          w2: take.rows(down, e * D, D),
        })),
        expertBiases: {
          up: take.matrix(`${of}gate_up_proj_bias`, E, 2 * F),
          down: take.matrix(`${of}down_proj_bias`, E, D),
        },
      };
    });
  },
};
