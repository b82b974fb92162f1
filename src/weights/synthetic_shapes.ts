// The models that a synthetic URL can name, and how the values of their tensors are made.

import { FORMATS } from "../../kernels/formats/index.ts";
import type { Format } from "../tensor/format.ts";
import { GROUPED_MODELS } from "./synthetic_grouped.ts";
import { COMMON, type SyntheticModel } from "./synthetic_model.ts";

const MIXTRAL = {
  ...COMMON,
  architectures: ["MixtralForCausalLM"],
  model_type: "mixtral",
  num_key_value_heads: 8,
  num_local_experts: 8,
  num_experts_per_tok: 2,
  rms_norm_eps: 1e-5,
  rope_theta: 1e6,
  sliding_window: null,
  bos_token_id: 1,
  eos_token_id: 2,
};

const QWEN3 = {
  ...COMMON,
  architectures: ["Qwen3MoeForCausalLM"],
  model_type: "qwen3_moe",
  head_dim: 128,
  num_key_value_heads: 4,
  num_experts: 128,
  num_experts_per_tok: 8,
  norm_topk_prob: true,
  rms_norm_eps: 1e-6,
  rope_theta: 1e6,
  vocab_size: 151936,
  max_position_embeddings: 40960,
  bos_token_id: 151643,
  eos_token_id: 151645,
};
const GPT_OSS = {
  ...COMMON,
  architectures: ["GptOssForCausalLM"],
  model_type: "gpt_oss",
  hidden_size: 2880,
  intermediate_size: 2880,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  head_dim: 64,
  attention_bias: true,
  num_experts_per_tok: 4,
  sliding_window: 128,
  swiglu_limit: 7,
  rms_norm_eps: 1e-5,
  rope_theta: 150000,
  rope_scaling: {
    rope_type: "yarn",
    factor: 32,
    beta_fast: 32,
    beta_slow: 1,
    original_max_position_embeddings: 4096,
    truncate: false,
  },
  vocab_size: 201088,
  max_position_embeddings: 131072,
  eos_token_id: 200002,
};
const GPT_OSS_EXPERTS = { names: /experts\.(gate_up|down)_proj\.weight$/, format: FORMATS.mxfp4 };

/** What Qwen3-Next and Qwen3.5 share. */
const QWEN3_NEXT = {
  ...COMMON,
  hidden_size: 2048,
  intermediate_size: 5120,
  moe_intermediate_size: 512,
  shared_expert_intermediate_size: 512,
  num_attention_heads: 16,
  num_key_value_heads: 2,
  head_dim: 256,
  partial_rotary_factor: 0.25,
  full_attention_interval: 4,
  linear_num_key_heads: 16,
  linear_num_value_heads: 32,
  linear_key_head_dim: 128,
  linear_value_head_dim: 128,
  linear_conv_kernel_dim: 4,
  rms_norm_eps: 1e-6,
  rope_theta: 1e7,
  max_position_embeddings: 262144,
  eos_token_id: 151645,
};
const SHIFTED = /(?<!linear_attn\.)norm\.weight$/;

/** The model whose experts are measured where none is named, and what people call it. */
export const MEASURED = { url: "synthetic:mixtral-8x7b?layers=1", title: "Mixtral 8x7B" } as const;

/** For help and errors. */
export const SYNTHETIC_EXAMPLE = "synthetic:mixtral-8x7b?layers=2&seed=1";

/**
 * Name in the URL -> true shapes, as published with Mixtral 8x7B Instruct and 8x22B Instruct v0.1,
 * Qwen3-30B-A3B, Qwen3-235B-A22B, OLMoE-1B-7B-0924, gpt-oss-20b and -120b, the text of
 * Qwen3.6-35B-A3B, Qwen3-Next-80B-A3B, Qwen1.5-MoE-A2.7B, MiniMax-M2, Phi-3.5-MoE, Granite 3.1
 * 1B-A400M and LFM2-8B-A1B; and those of synthetic_grouped.ts.
 */
export const SYNTHETIC_MODELS: Readonly<Record<string, SyntheticModel>> = {
  "mixtral-8x7b": {
    config: {
      ...MIXTRAL,
      hidden_size: 4096,
      intermediate_size: 14336,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      vocab_size: 32000,
      max_position_embeddings: 32768,
    },
  },
  "mixtral-8x22b": {
    config: {
      ...MIXTRAL,
      hidden_size: 6144,
      intermediate_size: 16384,
      num_hidden_layers: 56,
      num_attention_heads: 48,
      vocab_size: 32768,
      max_position_embeddings: 65536,
    },
  },
  "qwen3-30b-a3b": {
    config: {
      ...QWEN3,
      hidden_size: 2048,
      moe_intermediate_size: 768,
      num_hidden_layers: 48,
      num_attention_heads: 32,
    },
  },
  "qwen3-235b-a22b": {
    config: {
      ...QWEN3,
      hidden_size: 4096,
      moe_intermediate_size: 1536,
      num_hidden_layers: 94,
      num_attention_heads: 64,
    },
  },
  "olmoe-1b-7b": {
    config: {
      ...COMMON,
      architectures: ["OlmoeForCausalLM"],
      model_type: "olmoe",
      hidden_size: 2048,
      intermediate_size: 1024,
      num_hidden_layers: 16,
      num_attention_heads: 16,
      num_key_value_heads: 16,
      num_experts: 64,
      num_experts_per_tok: 8,
      norm_topk_prob: false,
      rope_theta: 1e4,
      vocab_size: 50304,
      max_position_embeddings: 4096,
      eos_token_id: 50279,
    },
  },
  "gpt-oss-20b": {
    stored: GPT_OSS_EXPERTS,
    config: { ...GPT_OSS, num_hidden_layers: 24, num_local_experts: 32 },
  },
  "gpt-oss-120b": {
    stored: GPT_OSS_EXPERTS,
    config: { ...GPT_OSS, num_hidden_layers: 36, num_local_experts: 128 },
  },
  "qwen3.6-35b-a3b": {
    config: {
      ...QWEN3_NEXT,
      architectures: ["Qwen3_5MoeForCausalLM"],
      model_type: "qwen3_5_moe_text",
      num_hidden_layers: 40,
      num_experts: 256,
      num_experts_per_tok: 8,
      vocab_size: 248320,
    },
    shifted: SHIFTED,
  },
  "qwen3-next-80b-a3b": {
    config: {
      ...QWEN3_NEXT,
      architectures: ["Qwen3NextForCausalLM"],
      model_type: "qwen3_next",
      num_hidden_layers: 48,
      num_experts: 512,
      num_experts_per_tok: 10,
      norm_topk_prob: true,
      vocab_size: 151936,
    },
    shifted: SHIFTED,
  },
  "qwen1.5-moe-a2.7b": {
    config: {
      ...COMMON,
      architectures: ["Qwen2MoeForCausalLM"],
      model_type: "qwen2_moe",
      hidden_size: 2048,
      intermediate_size: 5632,
      moe_intermediate_size: 1408,
      shared_expert_intermediate_size: 5632,
      num_hidden_layers: 24,
      num_attention_heads: 16,
      num_key_value_heads: 16,
      num_experts: 60,
      num_experts_per_tok: 4,
      norm_topk_prob: false,
      rms_norm_eps: 1e-6,
      rope_theta: 1e6,
      vocab_size: 151936,
      max_position_embeddings: 8192,
      eos_token_id: 151643,
    },
  },
  "minimax-m2": {
    config: {
      ...COMMON,
      architectures: ["MiniMaxM2ForCausalLM"],
      model_type: "minimax_m2",
      hidden_size: 3072,
      intermediate_size: 1536,
      num_hidden_layers: 62,
      num_attention_heads: 48,
      num_key_value_heads: 8,
      head_dim: 128,
      rotary_dim: 64,
      num_local_experts: 256,
      num_experts_per_tok: 8,
      rms_norm_eps: 1e-6,
      rope_theta: 5e6,
      vocab_size: 200064,
      max_position_embeddings: 196608,
      eos_token_id: 200020,
    },
  },
  "phi-3.5-moe": {
    config: {
      ...COMMON,
      architectures: ["PhimoeForCausalLM"],
      model_type: "phimoe",
      hidden_size: 4096,
      intermediate_size: 6400,
      num_hidden_layers: 32,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      num_local_experts: 16,
      num_experts_per_tok: 2,
      attention_bias: true,
      lm_head_bias: true,
      rms_norm_eps: 1e-5,
      rope_theta: 1e4,
      vocab_size: 32064,
      max_position_embeddings: 4096,
      eos_token_id: 32000,
    },
  },
  "granite-3.1-1b-a400m": {
    config: {
      ...COMMON,
      architectures: ["GraniteMoeForCausalLM"],
      model_type: "granitemoe",
      hidden_size: 1024,
      intermediate_size: 512,
      num_hidden_layers: 24,
      num_attention_heads: 16,
      num_key_value_heads: 8,
      num_local_experts: 32,
      num_experts_per_tok: 8,
      embedding_multiplier: 12,
      attention_multiplier: 0.015625,
      residual_multiplier: 0.22,
      logits_scaling: 6,
      rms_norm_eps: 1e-6,
      rope_theta: 1.5e6,
      tie_word_embeddings: true,
      vocab_size: 49155,
      max_position_embeddings: 131072,
      eos_token_id: 0,
    },
  },
  "lfm2-8b-a1b": {
    config: {
      ...COMMON,
      architectures: ["Lfm2MoeForCausalLM"],
      model_type: "lfm2_moe",
      hidden_size: 2048,
      intermediate_size: 7168,
      moe_intermediate_size: 1792,
      num_hidden_layers: 24,
      num_attention_heads: 32,
      num_key_value_heads: 8,
      num_experts: 32,
      num_experts_per_tok: 4,
      num_dense_layers: 2,
      conv_L_cache: 3,
      conv_bias: false,
      use_expert_bias: true,
      norm_topk_prob: true,
      routed_scaling_factor: 1,
      layer_types: [2, 3, 3, 3, 3, 2, 2].flatMap((conv, i) => [
        ...Array<string>(conv).fill("conv"),
        ...(i < 6 ? ["full_attention"] : []),
      ]),
      norm_eps: 1e-5,
      rope_theta: 1e6,
      tie_word_embeddings: true,
      vocab_size: 65536,
      max_position_embeddings: 128000,
      eos_token_id: 7,
    },
  },
  ...GROUPED_MODELS,
};

/**
 * How the values of a tensor are made: normal numbers of a standard deviation, around zero or
 * (norms) around one.
 */
export interface SyntheticTensor {
  readonly shape: readonly number[];
  readonly std: number;
  readonly mean: 0 | 1;
  /** The format that the matrix is stored in; absent: none. */
  readonly format?: Format;
}

/**
 * A tensor that the model's family asks for. What goes into a matrix normalised comes out
 * normalised, so attention scores and router logits are about standard normal. Each of a layer's
 * two branches then adds at most about a variance of 1 to the residual; the embedding's 2 L keeps
 * tokens apart to the last layer, and with them their routes. (The same ratio as GPT-2's
 * initialisation, which instead divides the branches by sqrt(2 L); weights that small would make
 * f16 scales subnormal.)
 */
export function syntheticTensor(
  name: string,
  shape: readonly number[],
  { config, stored, shifted }: SyntheticModel,
): SyntheticTensor {
  if (name === "model.embed_tokens.weight")
    return { shape, std: Math.sqrt(2 * (config.num_hidden_layers as number)), mean: 0 };
  if (name.endsWith("bias")) return { shape, std: 0.05, mean: 0 };
  if (name.endsWith(".sinks")) return { shape, std: 1, mean: 0 };
  if (shape.length === 1)
    return { shape, std: 0.05, mean: name.endsWith("norm.weight") && !shifted?.test(name) ? 1 : 0 };
  const matrix = { shape, std: 1 / Math.sqrt(shape.at(-1)!), mean: 0 } as const;
  return stored?.names.test(name) ? { ...matrix, format: stored.format } : matrix;
}
