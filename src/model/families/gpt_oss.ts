// gpt-oss: experts with biases and a clamped SwiGLU, sinks, windows in alternate layers, biases on
// q, k, v, o and the router.
//
// Semantics and defaults are those of transformers' modeling_gpt_oss.py, but for swiglu_limit:
// there it is always 7, as in all published files, while OpenAI's code gives its SwiGLU what
// config.json says (github.com/openai/gpt-oss: gpt_oss/torch/model.py, MLPBlock).

import { SOFTMAX } from "../../tensor/route_rule.ts";
import type { ExpertSource } from "../../tensor/types.ts";
import { takeProduct } from "../bias.ts";
import { closingFields, commonFields, expertFields, headFields } from "../config.ts";
import type { Biased, Family, LayerArchitecture, LayerSources, Take } from "../family.ts";
import { windowed, withWindows } from "../layer_kinds.ts";
import { readRope } from "../rope.ts";
import { routedExperts, usualSources } from "../sources.ts";
import { everyOther, inTurn, Transposed } from "../stacked.ts";

export const gptOss: Family = {
  types: ["gpt_oss"],

  architecture(c) {
    const { depth, ...common } = commonFields(c, { activation: "swiglu_oai" });
    const intermediate = c.size("intermediate_size");
    const shape = headFields(c, common.hidden, 64);
    const experts = expertFields(c, "num_local_experts", "num_experts", "experts_per_token");
    const window = c.size("sliding_window", { otherwise: 128 });
    const limit = c.positive("swiglu_limit", 7);
    const eps = c.positive("rms_norm_eps", 1e-5);
    const biases: Biased[] = ["gate", "experts"];
    if (c.flag("attention_bias", true)) biases.push("qkv", "o");
    // transformers would scale by YaRN as it is published: rather than guess, ask for it.
    if (!c.has("rope_scaling") && !c.has("rope_parameters")) c.fail("rope_scaling", "RoPE's scaling, as published");
    const rope = readRope(c, shape.headDim, 1.5e5);
    const layer: LayerArchitecture = {
      attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window: null, rope },
      qkNorm: null,
      sinks: true,
      // Softmax over the chosen logits: the same as over all, renormalised.
      experts: { ...experts, intermediate, rule: SOFTMAX, biased: false },
      dense: null,
      shared: null,
    };
    const has = windowed(c, depth, (i) => i % 2 === 0);
    const layers = withWindows(Array<LayerArchitecture>(depth).fill(layer), window, has);
    return { ...common, ...closingFields(c), eps, limit, biases, layers };
  },

  sources(a, take) {
    const transposed = new Transposed(take);
    return usualSources(a, take, (p, { count: E, intermediate: F }) => ({
      gate: takeProduct(a, take, "gate", `${p}mlp.router`, E, a.hidden),
      sinks: take.matrix(`${p}self_attn.sinks`, a.layers[0]!.attention!.heads),
      ...expertsOf(take, transposed, `${p}mlp.`, { E, F, D: a.hidden }),
    }));
  },
};

/**
 * A layer's experts and their biases, in one of three layouts: MXFP4 blocks as published, [E, 2F,
 * D] with gates and ups in turn; those numbers dequantized by transformers, transposed: [E, D, 2F]
 * and [E, F, D]; or GGUF's, a matrix each, whose biases are a tensor for each kind.
 */
function expertsOf(
  take: Take,
  transposed: Transposed,
  prefix: string,
  sizes: { readonly E: number; readonly F: number; readonly D: number },
): Pick<LayerSources, "experts" | "expertBiases"> {
  const { E, F, D } = sizes;
  const of = `${prefix}experts.`;
  const [both, down] = [`${of}gate_up_proj`, `${of}down_proj`];
  const each = (expert: (e: number) => ExpertSource) => Array.from({ length: E }, (_, e) => expert(e));
  if (take.has(`${of}0.gate_proj.weight`))
    return {
      experts: routedExperts(take, prefix, ["gate_proj", "up_proj", "down_proj"], sizes),
      expertBiases: {
        up: inTurn(take.matrix(`${of}gate_proj.bias`, E, F), take.matrix(`${of}up_proj.bias`, E, F)),
        down: take.matrix(`${of}down_proj.bias`, E, D),
      },
    };
  const expertBiases = { up: take.matrix(`${both}_bias`, E, 2 * F), down: take.matrix(`${down}_bias`, E, D) };
  if (take.has(both)) {
    take.matrix(both, E, D, 2 * F);
    take.matrix(down, E, F, D);
    const side = (e: number, ...sides: [number, number]) => transposed.matrix(both, e, [2 * F, D], sides);
    const experts = each((e) => ({
      w1: side(e, 0, 2),
      w3: side(e, 1, 2),
      w2: transposed.matrix(down, e, [D, F]),
      w13: side(e, 0, 1),
    }));
    return { experts, expertBiases };
  }
  take.matrix(`${both}.weight`, E * 2 * F, D);
  take.matrix(`${down}.weight`, E * D, F);
  const experts = each((e) => {
    const w13 = take.rows(`${both}.weight`, e * 2 * F, 2 * F);
    return {
      w1: everyOther(w13, 0),
      w3: everyOther(w13, 1),
      w2: take.rows(`${down}.weight`, e * D, D),
      w13,
    };
  });
  return { experts, expertBiases };
}
