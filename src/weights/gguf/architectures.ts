// The architectures of GGUF files that are read, under llama.cpp's names. A new one is an entry.

import { ffnParts, type GgufArchitecture, MLP, normalizes, SPARSE } from "./architecture.ts";
import { HYBRIDS } from "./hybrids.ts";
import type { Keys } from "./keys.ts";

/**
 * What the architectures have in common whose experts come in groups, with dense layers before
 * them and shared experts beside them.
 */
const GROUPED = {
  parts: {
    "exp_probs_b.bias": "mlp.gate.e_score_correction_bias",
    ...ffnParts("mlp"),
    ...ffnParts("mlp.shared_experts", "_shexp"),
  },
  reads: [
    "expert_shared_count",
    "expert_weights_scale",
    "expert_group_count",
    "leading_dense_block_count",
    "nextn_predict_layers",
  ],
} as const;

/** The fields of config.json that these have. */
function groupedFields(keys: Keys, experts: number): object {
  return {
    intermediate_size: keys.size("feed_forward_length"),
    moe_intermediate_size: keys.size("expert_feed_forward_length"),
    n_routed_experts: experts,
    n_shared_experts: keys.count("expert_shared_count"),
    first_k_dense_replace: keys.count("leading_dense_block_count"),
    n_group: Math.max(1, keys.count("expert_group_count")),
    topk_group: Math.max(1, keys.count("expert_group_used_count")),
    routed_scaling_factor: keys.float("expert_weights_scale", 0) || 1,
    norm_topk_prob: normalizes(keys, false),
  };
}

export const ARCHITECTURES: readonly GgufArchitecture[] = [
  {
    name: "llama",
    moe: SPARSE,
    permuted: true,
    gating: 1,
    config(keys, { experts }) {
      keys.only("expert_weights_norm", [true]);
      const window = keys.count("attention.sliding_window");
      return {
        model_type: "mixtral",
        intermediate_size: keys.size("feed_forward_length"),
        num_local_experts: experts,
        sliding_window: window === 0 ? null : window,
      };
    },
  },
  {
    name: "qwen3moe",
    moe: MLP,
    permuted: false,
    gating: 1,
    config(keys, { experts, biased }) {
      keys.only("attention.sliding_window", [0]);
      return {
        model_type: "qwen3_moe",
        attention_bias: biased,
        moe_intermediate_size: keys.size("expert_feed_forward_length"),
        num_experts: experts,
        norm_topk_prob: normalizes(keys, true),
      };
    },
  },
  {
    name: "olmoe",
    moe: MLP,
    permuted: false,
    gating: 1,
    config(keys, { experts }) {
      keys.only("attention.sliding_window", [0]);
      return {
        model_type: "olmoe",
        intermediate_size: keys.size("feed_forward_length"),
        num_experts: experts,
        norm_topk_prob: normalizes(keys, false),
      };
    },
  },
  {
    name: "minimax-m2",
    moe: SPARSE,
    permuted: false,
    gating: 2,
    partialRope: true,
    parts: { "exp_probs_b.bias": "block_sparse_moe.e_score_correction_bias" },
    config(keys, { experts, turned }) {
      keys.only("attention.sliding_window", [0]);
      keys.only("expert_weights_norm", [true]);
      return {
        model_type: "minimax_m2",
        intermediate_size: keys.size("expert_feed_forward_length"),
        num_local_experts: experts,
        rotary_dim: turned,
      };
    },
  },
  {
    name: "qwen2moe",
    moe: MLP,
    permuted: false,
    gating: 1,
    parts: {
      ...ffnParts("mlp.shared_expert", "_shexp"),
      "ffn_gate_inp_shexp.weight": "mlp.shared_expert_gate.weight",
    },
    reads: ["expert_shared_feed_forward_length"],
    config(keys, { experts, biased }) {
      keys.only("attention.sliding_window", [0]);
      const shared = keys.size("feed_forward_length");
      return {
        model_type: "qwen2_moe",
        qkv_bias: biased,
        moe_intermediate_size: keys.size("expert_feed_forward_length"),
        shared_expert_intermediate_size: keys.size("expert_shared_feed_forward_length", { otherwise: shared }),
        num_experts: experts,
        norm_topk_prob: normalizes(keys, false),
      };
    },
  },
  {
    name: "ernie4_5-moe",
    moe: MLP,
    // As in the checkpoint, whose RoPE turns neighbours: the family puts them in order.
    permuted: false,
    gating: 1,
    parts: {
      "exp_probs_b.bias": "mlp.moe_statics.e_score_correction_bias",
      ...ffnParts("mlp"),
      ...ffnParts("mlp.shared_experts", "_shexp"),
    },
    // The converter's length of shared experts is another number; the count is right.
    reads: [
      "expert_shared_count",
      "expert_shared_feed_forward_length",
      "leading_dense_block_count",
      "interleave_moe_layer_step",
    ],
    config(keys, { experts }) {
      keys.only("attention.sliding_window", [0]);
      keys.only("expert_weights_norm", [true]);
      return {
        model_type: "ernie4_5_moe",
        intermediate_size: keys.size("feed_forward_length"),
        moe_intermediate_size: keys.size("expert_feed_forward_length"),
        moe_num_experts: experts,
        moe_num_shared_experts: keys.count("expert_shared_count"),
        moe_layer_start_index: keys.count("leading_dense_block_count"),
        moe_layer_interval: Math.max(1, keys.count("interleave_moe_layer_step")),
      };
    },
  },
  {
    name: "glm4moe",
    moe: MLP,
    permuted: false,
    gating: 2,
    partialRope: true,
    parts: {
      "post_attention_norm.weight": "post_attention_layernorm.weight",
      ...GROUPED.parts,
    },
    reads: GROUPED.reads,
    config(keys, { experts, turned, headDim, biased, normed }) {
      keys.only("attention.sliding_window", [0]);
      return {
        model_type: "glm4_moe",
        attention_bias: biased,
        use_qk_norm: normed,
        partial_rotary_factor: turned / headDim,
        ...groupedFields(keys, experts),
      };
    },
  },
  {
    name: "dots1",
    moe: MLP,
    permuted: false,
    gating: 2,
    parts: GROUPED.parts,
    reads: GROUPED.reads,
    config(keys, { experts, biased }) {
      keys.only("attention.sliding_window", [0]);
      return { model_type: "dots1", attention_bias: biased, sliding_window: null, ...groupedFields(keys, experts) };
    },
  },
  {
    // DeepSeek-V2 and V3, Moonlight, GLM-4.7-Flash and others with latent attention.
    name: "deepseek2",
    moe: MLP,
    permuted: false,
    gating: null,
    partialRope: true,
    latent: true,
    parts: {
      "attn_q_a.weight": "self_attn.q_a_proj.weight",
      "attn_q_a_norm.weight": "self_attn.q_a_layernorm.weight",
      "attn_q_b.weight": "self_attn.q_b_proj.weight",
      "attn_kv_a_mqa.weight": "self_attn.kv_a_proj_with_mqa.weight",
      "attn_kv_a_norm.weight": "self_attn.kv_a_layernorm.weight",
      // Older files have it whole, newer ones split, and the part of keys transposed.
      "attn_kv_b.weight": "self_attn.kv_b_proj.weight",
      "attn_k_b.weight": "self_attn.k_b_proj.weight",
      "attn_v_b.weight": "self_attn.v_b_proj.weight",
      ...GROUPED.parts,
    },
    reads: [...GROUPED.reads, "rope.scaling.yarn_log_multiplier"],
    config(keys, { experts, turned, chosenByBias }) {
      // Those of heads, where key_length and value_length are those of latents.
      const [key, value] = ["key", "value"].map((of) =>
        keys.size(`attention.${of}_length${keys.has("attention.key_length_mla") ? "_mla" : ""}`),
      ) as [number, number];
      if (turned >= key)
        throw keys.error("rope.dimension_count", `expected less than the ${key} numbers of a head, found ${turned}`);
      keys.only("expert_gating_func", [0, chosenByBias ? 2 : 1]);
      const grouped = keys.count("expert_group_count") > 1;
      return {
        ...(chosenByBias
          ? { model_type: "deepseek_v3" }
          : { model_type: "deepseek_v2", topk_method: grouped ? "group_limited_greedy" : "greedy" }),
        num_key_value_heads: keys.size("attention.head_count"),
        kv_lora_rank: keys.size("attention.kv_lora_rank"),
        q_lora_rank: keys.has("attention.q_lora_rank") ? keys.size("attention.q_lora_rank") : null,
        qk_nope_head_dim: key - turned,
        qk_rope_head_dim: turned,
        v_head_dim: value,
        ...groupedFields(keys, experts),
      };
    },
  },
  {
    name: "gpt-oss",
    moe: MLP,
    permuted: false,
    gating: 3,
    exactRamp: true,
    parts: {
      "attn_sinks.weight": "self_attn.sinks",
      "post_attention_norm.weight": "post_attention_layernorm.weight",
      "ffn_gate_inp.weight": "mlp.router.weight",
      "ffn_gate_inp.bias": "mlp.router.bias",
      "ffn_gate_exps.bias": "mlp.experts.gate_proj.bias",
      "ffn_up_exps.bias": "mlp.experts.up_proj.bias",
      "ffn_down_exps.bias": "mlp.experts.down_proj.bias",
    },
    config(keys, { experts }) {
      keys.only("attention.sliding_window_pattern", [2]);
      return {
        model_type: "gpt_oss",
        intermediate_size: keys.size("expert_feed_forward_length"),
        num_local_experts: experts,
        sliding_window: keys.size("attention.sliding_window"),
      };
    },
  },
  {
    name: "granitemoe",
    moe: SPARSE,
    permuted: true,
    gating: 1,
    parts: { "ffn_gate_inp.weight": "block_sparse_moe.router.layer.weight" },
    reads: ["attention.scale", "embedding_scale", "residual_scale", "logit_scale"],
    config(keys, { experts, headDim, biased }) {
      keys.only("attention.sliding_window", [0]);
      keys.only("expert_weights_norm", [true]);
      keys.only("rope.scaling.finetuned", [true]); // false: no RoPE
      return {
        model_type: "granitemoe",
        attention_bias: biased,
        intermediate_size: keys.size("feed_forward_length"),
        num_local_experts: experts,
        // 0 and an absent key are what llama.cpp computes without them.
        attention_multiplier: keys.float("attention.scale", 0) || 1 / Math.sqrt(headDim),
        embedding_multiplier: keys.float("embedding_scale", 0) || 1,
        residual_multiplier: keys.float("residual_scale", 0) || 1,
        logits_scaling: keys.float("logit_scale", 0) || 1,
      };
    },
  },
  {
    name: "phimoe",
    moe: SPARSE,
    permuted: false,
    gating: 1,
    config(keys, { experts, biased, headBiased }) {
      const window = keys.count("attention.sliding_window");
      return {
        model_type: "phimoe",
        intermediate_size: keys.size("feed_forward_length"),
        num_local_experts: experts,
        attention_bias: biased,
        lm_head_bias: headBiased,
        sliding_window: window === 0 ? null : window,
      };
    },
  },
  ...HYBRIDS,
];
