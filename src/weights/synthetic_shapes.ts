// The models that a synthetic URL can name, and the tensors that each has.

import { FORMATS } from "../../kernels/formats/index.ts";
import type { Format } from "../tensor/format.ts";

/** A config.json of transformers v4. */
export type SyntheticConfig = Readonly<Record<string, unknown>>;

/** A model that a URL can name. */
export interface SyntheticModel {
  readonly config: SyntheticConfig;
  readonly names: SyntheticNames;
}

/** What not all families have or name alike. */
export interface SyntheticNames {
  /** What a layer's router and experts begin with. */
  readonly moe: "mlp." | "block_sparse_moe.";
  /**
   * An expert's gate, down and up; or all experts in two matrices of blocks of a format, as
   * src/weights/quantized shows them: gate_up_proj, rows of gates and ups in turn, and down_proj.
   */
  readonly matrices: readonly [gate: string, down: string, up: string] | Format;
  /** RMS norms of q and k: of each head, of all heads together, or none. */
  readonly qkNorm: "head" | "whole" | null;
  /** Whether attention has sinks, and all products but the head's have biases. */
  readonly sinksAndBiases?: true;
}

const COMMON = { hidden_act: "silu", tie_word_embeddings: false, torch_dtype: "bfloat16" };

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
const MIXTRAL_NAMES: SyntheticNames = { moe: "block_sparse_moe.", matrices: ["w1", "w2", "w3"], qkNorm: null };

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
const GPT_OSS_NAMES: SyntheticNames = { moe: "mlp.", matrices: FORMATS.mxfp4, qkNorm: null, sinksAndBiases: true };
const MLP = { moe: "mlp.", matrices: ["gate_proj", "down_proj", "up_proj"] } as const;

/** The model whose experts are measured where none is named, and what people call it. */
export const MEASURED = { url: "synthetic:mixtral-8x7b?layers=1", title: "Mixtral 8x7B" } as const;

/** For help and errors. */
export const SYNTHETIC_EXAMPLE = "synthetic:mixtral-8x7b?layers=2&seed=1";

/**
 * Name in the URL -> true shapes, as published with Mixtral 8x7B Instruct and 8x22B Instruct v0.1,
 * Qwen3-30B-A3B, Qwen3-235B-A22B, OLMoE-1B-7B-0924, and gpt-oss-20b and -120b.
 */
export const SYNTHETIC_MODELS: Readonly<Record<string, SyntheticModel>> = {
  "mixtral-8x7b": {
    names: MIXTRAL_NAMES,
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
    names: MIXTRAL_NAMES,
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
    names: { ...MLP, qkNorm: "head" },
    config: {
      ...QWEN3,
      hidden_size: 2048,
      moe_intermediate_size: 768,
      num_hidden_layers: 48,
      num_attention_heads: 32,
    },
  },
  "qwen3-235b-a22b": {
    names: { ...MLP, qkNorm: "head" },
    config: {
      ...QWEN3,
      hidden_size: 4096,
      moe_intermediate_size: 1536,
      num_hidden_layers: 94,
      num_attention_heads: 64,
    },
  },
  "olmoe-1b-7b": {
    names: { ...MLP, qkNorm: "whole" },
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
    names: GPT_OSS_NAMES,
    config: { ...GPT_OSS, num_hidden_layers: 24, num_local_experts: 32 },
  },
  "gpt-oss-120b": {
    names: GPT_OSS_NAMES,
    config: { ...GPT_OSS, num_hidden_layers: 36, num_local_experts: 128 },
  },
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

/** Sizes that shapes are made of. */
export interface SyntheticSizes {
  readonly hidden: number; // D
  readonly intermediate: number; // F
  readonly layers: number; // L
  readonly heads: number; // H
  readonly kvHeads: number; // Hkv
  readonly headDim: number; // Dh
  readonly experts: number; // E
  readonly vocab: number; // V
  readonly names: SyntheticNames;
}

const LAYER_TENSOR = /^model\.layers\.(0|[1-9]\d{0,5})\.(.+)$/;
const EXPERT_TENSOR = /^experts\.(0|[1-9]\d{0,5})\.(\w+)\.weight$/;

/** Every matrix has a standard deviation of 1/sqrt(inputs). */
function matrix(rows: number, cols: number): SyntheticTensor {
  return { shape: [rows, cols], std: 1 / Math.sqrt(cols), mean: 0 };
}

const norm = (size: number): SyntheticTensor => ({ shape: [size], std: 0.05, mean: 1 });
const bias = (...shape: number[]): SyntheticTensor => ({ shape, std: 0.05, mean: 0 });

/** The tensors of a layer by their names, without experts that are a tensor a matrix. */
function partsOf(s: SyntheticSizes): Readonly<Record<string, SyntheticTensor>> {
  const { hidden: D, intermediate: F, experts: E } = s;
  const [q, kv] = [s.heads * s.headDim, s.kvHeads * s.headDim];
  const { moe, matrices, qkNorm, sinksAndBiases: more } = s.names;
  const product = (name: string, rows: number, cols: number) => ({
    [`${name}.weight`]: matrix(rows, cols),
    ...(more && { [`${name}.bias`]: bias(rows) }),
  });
  const of = `${moe}experts.`;
  return {
    "input_layernorm.weight": norm(D),
    ...product("self_attn.q_proj", q, D),
    ...product("self_attn.k_proj", kv, D),
    ...product("self_attn.v_proj", kv, D),
    ...product("self_attn.o_proj", D, q),
    ...(more && { "self_attn.sinks": { shape: [s.heads], std: 1, mean: 0 } as const }),
    ...(qkNorm && {
      "self_attn.q_norm.weight": norm(qkNorm === "head" ? s.headDim : q),
      "self_attn.k_norm.weight": norm(qkNorm === "head" ? s.headDim : kv),
    }),
    "post_attention_layernorm.weight": norm(D),
    ...product(more ? `${moe}router` : `${moe}gate`, E, D),
    ...("name" in matrices && {
      [`${of}gate_up_proj.weight`]: { ...matrix(E * 2 * F, D), format: matrices },
      [`${of}gate_up_proj_bias`]: bias(E, 2 * F),
      [`${of}down_proj.weight`]: { ...matrix(E * D, F), format: matrices },
      [`${of}down_proj_bias`]: bias(E, D),
    }),
  };
}

/**
 * The tensor of a name, or null where the model has none. What goes into a matrix normalised comes
 * out normalised, so attention scores and router logits are about standard normal. Each of a
 * layer's two branches then adds at most about a variance of 1 to the residual; the embedding's 2 L
 * keeps tokens apart to the last layer, and with them their routes. (The same ratio as GPT-2's
 * initialisation, which instead divides the branches by sqrt(2 L); weights that small would make
 * f16 scales subnormal.)
 */
export function syntheticTensor(name: string, s: SyntheticSizes): SyntheticTensor | null {
  const { moe, matrices } = s.names;
  if (name === "model.embed_tokens.weight")
    return { shape: [s.vocab, s.hidden], std: Math.sqrt(2 * s.layers), mean: 0 };
  if (name === "lm_head.weight") return matrix(s.vocab, s.hidden);
  if (name === "model.norm.weight") return norm(s.hidden);
  const [, layer, part] = LAYER_TENSOR.exec(name) ?? [];
  if (part === undefined || Number(layer) >= s.layers) return null;
  if (!part.startsWith(`${moe}experts.`) || "name" in matrices) {
    const parts = partsOf(s);
    return Object.hasOwn(parts, part) ? parts[part]! : null;
  }
  const [, expert, w] = EXPERT_TENSOR.exec(part.slice(moe.length)) ?? [];
  if (w === undefined || !matrices.includes(w) || Number(expert) >= s.experts) return null;
  return w === matrices[1] ? matrix(s.hidden, s.intermediate) : matrix(s.intermediate, s.hidden);
}

/** All tensor names, in the order of a checkpoint. */
export function* syntheticNames(s: SyntheticSizes): Generator<string> {
  const { moe, matrices } = s.names;
  yield "model.embed_tokens.weight";
  for (let i = 0; i < s.layers; i++) {
    const p = `model.layers.${i}.`;
    for (const part of Object.keys(partsOf(s))) yield p + part;
    if ("name" in matrices) continue;
    for (let e = 0; e < s.experts; e++) for (const w of matrices) yield `${p}${moe}experts.${e}.${w}.weight`;
  }
  yield "model.norm.weight";
  yield "lm_head.weight";
}
