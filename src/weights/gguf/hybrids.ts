// The architectures of models whose layers have states: gated delta rules, short convolutions.

import { type ConfigFacts, ffnParts, type GgufArchitecture, MLP, normalizes } from "./architecture.ts";
import type { Keys } from "./keys.ts";

/** The delta rule's sizes, and the layers that have it. */
function deltaConfig(keys: Keys): object {
  const valueHeads = keys.size("ssm.time_step_rank");
  const inner = keys.size("ssm.inner_size");
  if (inner % valueHeads !== 0)
    throw keys.error("ssm.inner_size", `expected a multiple of ssm.time_step_rank (${valueHeads}), found ${inner}`);
  const recurrent = keys.name("attention.recurrent_layers");
  const kinds = keys.metadata.has(recurrent) ? Array.from(keys.metadata.numbers(recurrent)) : null;
  return {
    linear_conv_kernel_dim: keys.size("ssm.conv_kernel"),
    linear_key_head_dim: keys.size("ssm.state_size"),
    linear_num_key_heads: keys.size("ssm.group_count"),
    linear_num_value_heads: valueHeads,
    linear_value_head_dim: inner / valueHeads,
    full_attention_interval: keys.size("full_attention_interval", { otherwise: 4 }),
    ...(kinds && {
      layer_types: kinds
        .slice(0, keys.size("block_count") - keys.count("nextn_predict_layers"))
        .map((kind) => (kind ? "linear_attention" : "full_attention")),
    }),
  };
}

/** Norms of files multiply by what they hold, and not by 1 more; ssm_a is -exp(A_log). */
function deltaValue(name: string): ((x: number) => number) | undefined {
  if (name.endsWith(".A_log")) return (x) => Math.log(-x);
  return /norm\.weight$/.test(name) && !name.endsWith("linear_attn.norm.weight") ? (x) => x - 1 : undefined;
}

/** What both architectures with the delta rule have. */
const DELTA = {
  moe: MLP,
  permuted: false,
  gating: 1,
  partialRope: true,
  value: deltaValue,
  parts: {
    "post_attention_norm.weight": "post_attention_layernorm.weight",
    "attn_qkv.weight": "linear_attn.in_proj_qkv.weight",
    "attn_gate.weight": "linear_attn.in_proj_z.weight",
    // The first converter had q, k, v and z in one.
    "ssm_in.weight": "linear_attn.in_proj_qkvz.weight",
    "ssm_ba.weight": "linear_attn.in_proj_ba.weight",
    "ssm_beta.weight": "linear_attn.in_proj_b.weight",
    "ssm_alpha.weight": "linear_attn.in_proj_a.weight",
    "ssm_conv1d.weight": "linear_attn.conv1d.weight",
    "ssm_dt.bias": "linear_attn.dt_bias",
    ssm_a: "linear_attn.A_log",
    "ssm_norm.weight": "linear_attn.norm.weight",
    "ssm_out.weight": "linear_attn.out_proj.weight",
    ...ffnParts("mlp.shared_expert", "_shexp"),
    "ffn_gate_inp_shexp.weight": "mlp.shared_expert_gate.weight",
  },
  reads: ["expert_shared_feed_forward_length", "nextn_predict_layers"],
} as const;

/** The fields of both. */
function deltaFields(keys: Keys, { experts, turned, headDim }: ConfigFacts): object {
  keys.only("attention.sliding_window", [0]);
  return {
    partial_rotary_factor: turned / headDim,
    moe_intermediate_size: keys.size("expert_feed_forward_length"),
    shared_expert_intermediate_size: keys.size("expert_shared_feed_forward_length"),
    num_experts: experts,
    ...deltaConfig(keys),
  };
}

export const HYBRIDS: readonly GgufArchitecture[] = [
  {
    ...DELTA,
    name: "qwen3next",
    config(keys, facts) {
      return { model_type: "qwen3_next", norm_topk_prob: normalizes(keys, true), ...deltaFields(keys, facts) };
    },
  },
  {
    ...DELTA,
    name: "qwen35moe",
    config(keys, facts) {
      keys.only("expert_weights_norm", [true]);
      // The converter puts value heads in the order of ggml's broadcast.
      return { model_type: "qwen3_5_moe", linear_value_head_order: "tiled", ...deltaFields(keys, facts) };
    },
  },
  {
    name: "lfm2moe",
    moe: { prefix: "feed_forward.", gate: "w1", up: "w3", down: "w2" },
    permuted: false,
    gating: 2,
    mixed: true,
    outer: { token_embd_norm: "model.embedding_norm", output_norm: "model.embedding_norm" },
    parts: {
      "attn_norm.weight": "operator_norm.weight",
      "ffn_norm.weight": "ffn_norm.weight",
      "attn_q_norm.weight": "self_attn.q_layernorm.weight",
      "attn_k_norm.weight": "self_attn.k_layernorm.weight",
      "attn_output.weight": "self_attn.out_proj.weight",
      "shortconv.conv.weight": "conv.conv.weight",
      "shortconv.in_proj.weight": "conv.in_proj.weight",
      "shortconv.out_proj.weight": "conv.out_proj.weight",
      "exp_probs_b.bias": "feed_forward.expert_bias",
      "ffn_gate.weight": "feed_forward.w1.weight",
      "ffn_up.weight": "feed_forward.w3.weight",
      "ffn_down.weight": "feed_forward.w2.weight",
    },
    reads: ["expert_weights_scale", "leading_dense_block_count"],
    config(keys, { experts, chosenByBias }) {
      keys.only("attention.sliding_window", [0]);
      const heads = Array.from(keys.metadata.numbers(keys.name("attention.head_count_kv")));
      return {
        model_type: "lfm2_moe",
        layer_types: heads.map((count) => (count > 0 ? "full_attention" : "conv")),
        norm_eps: keys.float("attention.layer_norm_rms_epsilon"),
        conv_L_cache: keys.size("shortconv.l_cache"),
        intermediate_size: keys.size("feed_forward_length"),
        moe_intermediate_size: keys.size("expert_feed_forward_length"),
        num_experts: experts,
        num_dense_layers: keys.count("leading_dense_block_count"),
        use_expert_bias: chosenByBias,
        norm_topk_prob: normalizes(keys, true),
        routed_scaling_factor: keys.float("expert_weights_scale", 0) || 1,
      };
    },
  },
];
