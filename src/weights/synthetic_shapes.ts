// The models that a synthetic URL can name, and the tensors that each has.

/** A config.json of transformers v4, with the fields that Mixtral's own has. */
export type SyntheticConfig = Readonly<Record<string, unknown>>;

const COMMON = {
  architectures: ["MixtralForCausalLM"],
  model_type: "mixtral",
  hidden_act: "silu",
  num_key_value_heads: 8,
  num_local_experts: 8,
  num_experts_per_tok: 2,
  rms_norm_eps: 1e-5,
  rope_theta: 1e6,
  sliding_window: null,
  tie_word_embeddings: false,
  torch_dtype: "bfloat16",
  bos_token_id: 1,
  eos_token_id: 2,
};

/** The model whose experts are measured where none is named, and what people call it. */
export const MEASURED = { url: "synthetic:mixtral-8x7b?layers=1", title: "Mixtral 8x7B" } as const;

/** For help and errors. */
export const SYNTHETIC_EXAMPLE = "synthetic:mixtral-8x7b?layers=2&seed=1";

/**
 * Name in the URL -> true shapes, as published with Mixtral 8x7B Instruct and 8x22B Instruct v0.1.
 */
export const SYNTHETIC_MODELS: Readonly<Record<string, SyntheticConfig>> = {
  "mixtral-8x7b": {
    ...COMMON,
    hidden_size: 4096,
    intermediate_size: 14336,
    num_hidden_layers: 32,
    num_attention_heads: 32,
    vocab_size: 32000,
    max_position_embeddings: 32768,
  },
  "mixtral-8x22b": {
    ...COMMON,
    hidden_size: 6144,
    intermediate_size: 16384,
    num_hidden_layers: 56,
    num_attention_heads: 48,
    vocab_size: 32768,
    max_position_embeddings: 65536,
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
}

const LAYER_TENSOR = /^model\.layers\.(0|[1-9]\d{0,5})\.(.+)$/;
const EXPERT_TENSOR = /^block_sparse_moe\.experts\.(0|[1-9]\d{0,5})\.(w[123])\.weight$/;

/**
 * The tensor of a name, or null where the model has none. Every matrix has a standard deviation of
 * 1/sqrt(inputs): what goes in normalised comes out normalised, so attention scores and router
 * logits are about standard normal. Each of a layer's two branches then adds at most about a
 * variance of 1 to the residual; the embedding's 2 L keeps tokens apart to the last layer, and with
 * them their routes. (The same ratio as GPT-2's initialisation, which instead divides the branches
 * by sqrt(2 L); weights that small would make f16 scales subnormal.)
 */
export function syntheticTensor(name: string, s: SyntheticSizes): SyntheticTensor | null {
  const matrix = (rows: number, cols: number): SyntheticTensor => ({
    shape: [rows, cols],
    std: 1 / Math.sqrt(cols),
    mean: 0,
  });
  const norm: SyntheticTensor = { shape: [s.hidden], std: 0.05, mean: 1 };
  if (name === "model.embed_tokens.weight")
    return { shape: [s.vocab, s.hidden], std: Math.sqrt(2 * s.layers), mean: 0 };
  if (name === "lm_head.weight") return matrix(s.vocab, s.hidden);
  if (name === "model.norm.weight") return norm;
  const [, layer, part] = LAYER_TENSOR.exec(name) ?? [];
  if (part === undefined || Number(layer) >= s.layers) return null;
  switch (part) {
    case "input_layernorm.weight":
    case "post_attention_layernorm.weight":
      return norm;
    case "self_attn.q_proj.weight":
      return matrix(s.heads * s.headDim, s.hidden);
    case "self_attn.k_proj.weight":
    case "self_attn.v_proj.weight":
      return matrix(s.kvHeads * s.headDim, s.hidden);
    case "self_attn.o_proj.weight":
      return matrix(s.hidden, s.heads * s.headDim);
    case "block_sparse_moe.gate.weight":
      return matrix(s.experts, s.hidden);
  }
  const [, expert, w] = EXPERT_TENSOR.exec(part) ?? [];
  if (w === undefined || Number(expert) >= s.experts) return null;
  return w === "w2" ? matrix(s.hidden, s.intermediate) : matrix(s.intermediate, s.hidden);
}

/** All tensor names, in the order of a checkpoint. */
export function* syntheticNames(s: SyntheticSizes): Generator<string> {
  yield "model.embed_tokens.weight";
  for (let i = 0; i < s.layers; i++) {
    const p = `model.layers.${i}.`;
    yield `${p}input_layernorm.weight`;
    for (const part of ["q", "k", "v", "o"]) yield `${p}self_attn.${part}_proj.weight`;
    yield `${p}post_attention_layernorm.weight`;
    yield `${p}block_sparse_moe.gate.weight`;
    for (let e = 0; e < s.experts; e++)
      for (const w of ["w1", "w2", "w3"]) yield `${p}block_sparse_moe.experts.${e}.${w}.weight`;
  }
  yield "model.norm.weight";
  yield "lm_head.weight";
}
