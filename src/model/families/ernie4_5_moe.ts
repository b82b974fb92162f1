// ERNIE 4.5 MoE: RoPE turns neighbours; the first layer is dense; the others choose by softmax +
// bias, weigh by the softmax, renormalised, and have shared experts beside.
//
// Semantics and defaults are those of transformers' modeling_ernie4_5_moe.py.

import { SOFTMAX } from "../../tensor/route_rule.ts";
import { closingFields, commonFields, expertFields, type Fields, headFields } from "../config.ts";
import type { Biased, Family, LayerArchitecture, Routing } from "../family.ts";
import { readRope } from "../rope.ts";
import { halfSplitRows } from "../row_order.ts";
import { routedExperts, SHARED_EXPERTS, usualSources } from "../sources.ts";

export const ernie45Moe: Family = {
  types: ["ernie4_5_moe"],

  architecture(c) {
    c.only("moe_use_aux_free", [true]);
    c.only("rope_interleave", [true]);
    const { depth, ...common } = commonFields(c, { tied: true });
    const intermediate = c.size("moe_intermediate_size");
    const shape = headFields(c, common.hidden);
    const experts = expertFields(c, "moe_num_experts", "num_experts", "moe_k");
    const shared = c.indexTo("moe_num_shared_experts", 4096, 2);
    const least = c.positive("moe_norm_min", 1e-12);
    const eps = c.positive("rms_norm_eps", 1e-5);
    const rope = readRope(c, shape.headDim, 5e5);
    const own = {
      attention: { ...shape, scale: 1 / Math.sqrt(shape.headDim), window: null, rope },
      qkNorm: null,
    };
    const sparse: LayerArchitecture = {
      ...own,
      experts: { ...experts, intermediate, rule: { ...SOFTMAX, least }, biased: true },
      dense: null,
      shared: shared > 0 ? { intermediate: shared * intermediate, gated: false } : null,
    };
    // The routed experts have none.
    const biases: Biased[] = c.flag("use_bias", false) ? ["qkv", "o", "ffn"] : [];
    if (biases.length > 0) biases.push("head");
    const isSparse = sparseRange(c, depth);
    const dense = isSparse.includes(false) ? { intermediate: c.size("intermediate_size") } : null;
    const layers = isSparse.map((yes) => (yes ? sparse : { ...own, experts: null, dense, shared: null }));
    return { ...common, ...closingFields(c), eps, biases, layers };
  },

  /** transformers v5 has the bias within the gate; `mtp` predicts several tokens at once. */
  sources(a, take) {
    take.skip(/^model\.mtp_/);
    const moe = (p: string, { count: E, intermediate: F }: Routing) => {
      const bias = "moe_statics.e_score_correction_bias";
      const inGate = take.has(`${p}mlp.gate.${bias}`);
      return {
        gate: take.matrix(`${p}mlp.gate.weight`, E, a.hidden),
        gateBias: take.matrix(`${p}mlp.${inGate ? "gate." : ""}${bias}`, 1, E),
        experts: routedExperts(take, `${p}mlp.`, ["gate_proj", "up_proj", "down_proj"], { E, F, D: a.hidden }),
      };
    };
    const sources = usualSources(a, take, moe, SHARED_EXPERTS);
    const layers = sources.layers.map((layer, i) => {
      const { headDim } = a.layers[i]!.attention!;
      const [q, k, v] = layer.qkv;
      return { ...layer, qkv: [halfSplitRows(q!, headDim), halfSplitRows(k!, headDim), v!] };
    });
    return { ...sources, layers };
  },
};

/**
 * Which layers have experts: from moe_layer_start_index to moe_layer_end_index, one of each
 * moe_layer_interval.
 */
function sparseRange(c: Fields, depth: number): readonly boolean[] {
  const first = c.indexTo("moe_layer_start_index", depth - 1, 1);
  // -1: the last one
  const last =
    c.raw("moe_layer_end_index") === -1
      ? c.keep("moe_layer_end_index", depth - 1)
      : c.indexTo("moe_layer_end_index", depth - 1, depth - 1);
  const interval = c.count("moe_layer_interval", { otherwise: 1 });
  const found = Array.from({ length: depth }, (_, i) => i >= first && i <= last && (i + 1) % interval === 0);
  if (!found.includes(true)) c.fail("moe_layer_interval", `a layer with experts from ${first} to ${last}`);
  return found;
}
