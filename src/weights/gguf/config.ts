// Metadata as the config.json that the file was made from, with the model hub's names of fields.

import { WeightsError } from "../../errors.ts";
import type { GgufArchitecture, TensorsPresent } from "./architecture.ts";
import { ARCHITECTURES } from "./architectures.ts";
import { Keys } from "./keys.ts";
import { MAX_EXPERTS, MAX_LAYERS } from "./limits.ts";
import { type Metadata, Texts } from "./metadata.ts";
import { ROPE_FACTORS } from "./names.ts";

/** Keys that change what is computed, and the values that do not. */
const NEUTRAL: Readonly<Record<string, readonly (number | boolean)[]>> = {
  expert_shared_count: [0],
  expert_shared_feed_forward_length: [0],
  expert_weights_scale: [0, 1],
  expert_group_count: [0, 1],
  leading_dense_block_count: [0],
  nextn_predict_layers: [0],
  interleave_moe_layer_step: [0, 1],
  moe_every_n_layers: [0, 1],
  "attention.clamp_kqv": [0],
  "attention.scale": [0],
  "attention.causal": [true],
  "attention.max_alibi_bias": [0],
  logit_scale: [0, 1],
  residual_scale: [0, 1],
  embedding_scale: [0, 1],
  attn_logit_softcapping: [0],
  final_logit_softcapping: [0],
  use_parallel_residual: [false],
};

/** What a file of another kind is for. */
const OTHER_KINDS: ReadonlyMap<string, string> = new Map([
  ["adapter", "an adapter (LoRA): merge it into its model and convert that"],
  ["mmproj", "the projector of a vision model: open the language model's file"],
  ["imatrix", "an importance matrix, which quantizers read"],
  ["clip", "a vision encoder: open the language model's file"],
]);

/**
 * The architecture of a model's first file.
 * @throws WeightsError for a file that is no model, or of an architecture that is not read
 */
export function architectureOf(metadata: Metadata): GgufArchitecture {
  const name = metadata.text("general.architecture", "");
  const kind = metadata.text("general.type", "model");
  const other = OTHER_KINDS.get(kind) ?? OTHER_KINDS.get(name);
  if (other) throw refusal(metadata, `is ${other}`);
  if (kind !== "model") throw metadata.error("general.type", `expected "model", found ${JSON.stringify(kind)}`);
  if (name === "") throw metadata.error("general.architecture", "is missing: the file is no model");
  const found = ARCHITECTURES.find((known) => known.name === name);
  if (found === undefined)
    throw metadata.error(
      "general.architecture",
      `${JSON.stringify(name)} is not supported; GGUF files of ${ARCHITECTURES.map((known) => known.name).join(", ")} are read`,
    );
  if (new Keys(metadata, name).count("expert_count") === 0)
    throw refusal(
      metadata,
      `is no Mixture-of-Experts model: ${name}.expert_count is absent or 0; hotset runs models with experts`,
    );
  return found;
}

function refusal(metadata: Metadata, problem: string): WeightsError {
  return new WeightsError(`${metadata.where} ${problem}`);
}

/** The divisors of RoPE's frequencies that a file has: for all texts, short ones, long ones. */
export type RopeFactors = Readonly<Record<"all" | "short" | "long", readonly number[] | null>>;

/** What config.json gets from tensors rather than from metadata. */
export interface TensorFacts extends TensorsPresent {
  /** Whether there is no head beside the embedding. */
  readonly tied: boolean;
  /** Whether any tensor is quantized. */
  readonly quantized: boolean;
  readonly ropeFactors: RopeFactors;
}

/**
 * config.json of a model.
 * @throws WeightsError with the key for what is missing, malformed or not implemented
 */
export function configOf(architecture: GgufArchitecture, metadata: Metadata, facts: TensorFacts): GgufConfig {
  const keys = new Keys(metadata, architecture.name);
  const version = metadata.integer("general.quantization_version", 2);
  if (facts.quantized && version !== 2)
    throw metadata.error("general.quantization_version", `expected 2, found ${version}: quantize the model again`);
  for (const [key, neutral] of Object.entries(NEUTRAL)) if (!architecture.reads?.includes(key)) keys.only(key, neutral);
  if (architecture.gating) keys.only("expert_gating_func", [0, architecture.gating]);
  const hidden = keys.size("embedding_length");
  const heads = keys.size("attention.head_count", { most: 4096 });
  const headDim = keys.size("attention.key_length", { otherwise: Math.floor(hidden / heads) });
  if (!keys.has("attention.key_length") && hidden % heads !== 0)
    throw keys.error("embedding_length", `expected a multiple of head_count (${heads}), found ${hidden}`);
  const valueDim = keys.size("attention.value_length", { otherwise: headDim });
  if (valueDim !== headDim && !architecture.latent)
    throw keys.error(
      "attention.value_length",
      `expected key_length (${headDim}), found ${valueDim}: that is not implemented`,
    );
  const context = keys.size("context_length");
  const blocks = keys.size("block_count", { most: MAX_LAYERS });
  // Those that predict several tokens at once are the last, and are not read.
  const unread = keys.count("nextn_predict_layers");
  if (unread >= blocks)
    throw keys.error("nextn_predict_layers", `expected less than block_count (${blocks}), found ${unread}`);
  const common: GgufConfig = {
    hidden_size: hidden,
    num_hidden_layers: blocks - unread,
    ...(unread > 0 && { num_nextn_predict_layers: unread }),
    num_attention_heads: heads,
    num_key_value_heads: architecture.mixed
      ? keys.sameOrNone("attention.head_count_kv")
      : keys.size("attention.head_count_kv", { otherwise: heads, most: 4096 }),
    head_dim: headDim,
    vocab_size: vocabularySize(keys),
    max_position_embeddings: context,
    rms_norm_eps: keys.float("attention.layer_norm_rms_epsilon"),
    rope_theta: keys.float("rope.freq_base", 10_000),
    ...ropeScaling(architecture, keys, context, facts.ropeFactors),
    num_experts_per_tok: keys.size("expert_used_count", { most: MAX_EXPERTS }),
    hidden_act: "silu",
    tie_word_embeddings: facts.tied,
    bos_token_id: tokenId(metadata, "bos"),
    eos_token_id: tokenId(metadata, "eos"),
  };
  const turned = keys.size("rope.dimension_count", { otherwise: headDim });
  if (!architecture.partialRope && turned !== headDim)
    throw keys.error("rope.dimension_count", `expected ${headDim}, the size of a head, found ${turned}`);
  const experts = keys.size("expert_count", { most: MAX_EXPERTS });
  return { ...common, ...architecture.config(keys, { ...facts, experts, headDim, turned }) };
}

/** config.json, with the fields that say where rows lie. */
export interface GgufConfig {
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly num_nextn_predict_layers?: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly [field: string]: unknown;
}

function vocabularySize(keys: Keys): number {
  const tokens = keys.metadata.raw("tokenizer.ggml.tokens")?.value;
  const { length } = tokens instanceof Texts ? tokens : { length: 0 };
  const size = keys.size("vocab_size", length > 0 ? { otherwise: length } : {});
  if (length > size)
    throw keys.error("vocab_size", `expected at least the ${length} tokens that there are, found ${size}`);
  return size;
}

function tokenId(metadata: Metadata, kind: string): number | null {
  const key = `tokenizer.ggml.${kind}_token_id`;
  // -1 and 2^32 - 1 mean that there is none.
  const id = metadata.integer(key, -1);
  return id < 0 || id >= 2 ** 31 ? null : id;
}

/** `rope_scaling` of config.json, if there is any. */
function ropeScaling(
  { reads, exactRamp }: GgufArchitecture,
  keys: Keys,
  context: number,
  { all: factors, short, long }: RopeFactors,
): object {
  // A factor without a type is linear; the oldest key has the factor itself.
  const factor = keys.float("rope.scaling.factor", keys.float("rope.scale_linear", 0));
  const type = keys.text("rope.scaling.type", "linear");
  const plain = type === "none" || (type === "linear" && (factor === 0 || factor === 1));
  if (factors !== null) {
    if (!plain) throw keys.error("rope.scaling.type", `${type} beside the tensor rope_freqs.weight is not implemented`);
    return { rope_scaling: { rope_type: "factors", factors } };
  }
  const growth = keys.float("rope.scaling.attn_factor", 1);
  if (short !== null || long !== null) return longRope(keys, context, short, long);
  if (type !== "yarn") {
    keys.only("rope.scaling.attn_factor", [0, 1]);
    if (plain) return {};
    if (type === "linear") return { rope_scaling: { rope_type: "linear", factor } };
    throw keys.error(
      "rope.scaling.type",
      `expected none, linear or yarn (longrope has tensors of factors), found ${JSON.stringify(type.slice(0, 80))}`,
    );
  }
  keys.only("rope.scaling.yarn_ext_factor", [-1, 1]);
  keys.only("rope.scaling.yarn_attn_factor", [0, -1, 1]);
  const log = "rope.scaling.yarn_log_multiplier";
  if (!reads?.includes(log)) keys.only(log, [0]);
  const mscale = 10 * keys.float(log, 0); // of scores; cos and sin then have the factor 1
  return {
    rope_scaling: {
      rope_type: "yarn",
      factor,
      original_max_position_embeddings: keys.size("rope.scaling.original_context_length", { otherwise: context }),
      beta_fast: keys.float("rope.scaling.yarn_beta_fast", 32),
      beta_slow: keys.float("rope.scaling.yarn_beta_slow", 1),
      ...(mscale !== 0 && { mscale, mscale_all_dim: mscale }),
      ...(exactRamp && { truncate: false }),
      ...(growth !== 1 && growth !== 0 && { attention_factor: growth * (0.1 * Math.log(Math.max(1, factor)) + 1) }),
    },
  };
}

/** The converter names no type; its attn_factor is what cos and sin are multiplied by. */
function longRope(
  keys: Keys,
  context: number,
  short: readonly number[] | null,
  long: readonly number[] | null,
): object {
  const type = keys.text("rope.scaling.type", "longrope");
  if (type !== "longrope" || !short || !long)
    throw keys.error(
      "rope.scaling.type",
      `expected longrope and the tensors ${ROPE_FACTORS.short} and ${ROPE_FACTORS.long}, found ${JSON.stringify(type.slice(0, 80))} and ${short ? "no long" : long ? "no short" : "both"} factors`,
    );
  const growth = keys.float("rope.scaling.attn_factor", 0);
  return {
    rope_scaling: {
      rope_type: "longrope",
      short_factor: short,
      long_factor: long,
      original_max_position_embeddings: keys.size("rope.scaling.original_context_length", { otherwise: context }),
      ...(growth !== 0 && { attention_factor: growth }),
    },
  };
}
