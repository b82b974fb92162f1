// config.json as people have it: both spellings, and every field that is wrong refused by its name.

import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { MODEL_TYPES, readArchitecture } from "../../src/model/families/index.ts";
import { defaultRope } from "../../src/model/rope.ts";
import { SIGMOID, SOFTMAX } from "../../src/tensor/route_rule.ts";

const MIXTRAL = {
  model_type: "mixtral",
  hidden_size: 64,
  intermediate_size: 96,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_local_experts: 8,
  num_experts_per_tok: 2,
  vocab_size: 100,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-5,
  rope_theta: 1e6,
  eos_token_id: 2,
};

describe("config.json of a Qwen3-MoE", () => {
  const { intermediate_size, num_local_experts, ...rest } = MIXTRAL;
  const own = { model_type: "qwen3_moe", moe_intermediate_size: 96, num_experts: 8, head_dim: 24 };
  const QWEN3 = { ...rest, ...own, intermediate_size: 400 };

  it("becomes an architecture in our letters, whatever of it has a default", () => {
    const a = readArchitecture({ ...QWEN3, norm_topk_prob: true, sliding_window: 7 }, "config.json");
    const [layer] = a.layers;
    expect(layer).toEqual({
      attention: {
        heads: 4,
        kvHeads: 2,
        headDim: 24,
        scale: 1 / Math.sqrt(24),
        window: null,
        rope: defaultRope(1e6, 24),
      },
      qkNorm: "head",
      experts: { count: 8, perToken: 2, intermediate: 96, rule: SOFTMAX, biased: false },
      dense: null,
      shared: null,
    });
    const { rms_norm_eps, rope_theta, ...bare } = QWEN3;
    const b = readArchitecture({ ...bare, head_dim: null }, "config.json");
    expect([b.eps, b.layers[0]!.experts!.rule]).toEqual([1e-6, { ...SOFTMAX, normalize: false }]);
    expect(b.layers[0]!.attention).toMatchObject({ headDim: 16, rope: defaultRope(1e4, 16) });
    expect(b.biases).toEqual([]);
    expect(readArchitecture({ ...QWEN3, attention_bias: true }, "config.json").biases).toEqual(["qkv", "o"]);
    const c = readArchitecture({ ...QWEN3, use_sliding_window: true, sliding_window: 7 }, "config.json");
    expect(c.layers.map(({ attention }) => attention!.window)).toEqual([7, 7, 7]);
  });

  it.each<[object, string]>([
    [{ decoder_sparse_step: 0 }, "decoder_sparse_step: expected an integer from 1 to 4096, found 0"],
    [{ decoder_sparse_step: 4 }, "decoder_sparse_step: expected a layer with experts beside those of mlp_only_layers"],
    [{ mlp_only_layers: [3] }, "mlp_only_layers: expected a list of layers from 0 to 2, found a list"],
    [{ mlp_only_layers: [0], intermediate_size: undefined }, "intermediate_size: expected an integer"],
    [{ attention_bias: 1 }, "attention_bias: expected true or false, found 1"],
    [{ use_sliding_window: 1 }, "use_sliding_window: expected true or false, found 1"],
    [{ use_sliding_window: true, sliding_window: 0 }, "sliding_window: expected an integer from 1"],
    [{ partial_rotary_factor: 0.5 }, "partial_rotary_factor: expected 1 (24 of 24 values of a head rotate), found 0.5"],
    [
      { rope_parameters: { rope_theta: 1e6, partial_rotary_factor: 0.25 } },
      "rope_parameters: partial_rotary_factor: expected 1 (24 of 24 values of a head rotate), found 0.25",
    ],
    [
      { rope_parameters: { full_attention: { rope_type: "default", rope_theta: 1e6 } } },
      "rope_parameters: full_attention: RoPE by the type of the layer is not supported",
    ],
    [{ tie_word_embeddings: "yes" }, 'tie_word_embeddings: expected true or false, found "yes"'],
    [{ norm_topk_prob: "yes" }, 'norm_topk_prob: expected true or false, found "yes"'],
    [{ num_experts_per_tok: 9 }, "num_experts_per_tok: expected at most num_experts (8), found 9"],
    [{ moe_intermediate_size: undefined }, "moe_intermediate_size: expected an integer"],
    [{ rope_scaling: { rope_type: "ntk", factor: 4 } }, 'rope_scaling: rope type "ntk" is not supported'],
  ])("with %j is refused", (change, message) => {
    expect(() => readArchitecture({ ...QWEN3, ...change }, "config.json")).toThrow(`config.json: ${message}`);
  });
});

describe("config.json of a MiniMax-M2", () => {
  const own = { model_type: "minimax_m2", head_dim: 16, rotary_dim: 8 };
  const M2 = { ...MIXTRAL, ...own, use_qk_norm: true, scoring_func: "sigmoid" };

  it("turns a part of each head, and chooses by sigmoids", () => {
    const [layer] = readArchitecture(M2, "config.json").layers;
    expect(layer).toMatchObject({ qkNorm: "whole", experts: { rule: SIGMOID, biased: true } });
    expect(layer!.attention!.rope).toEqual(defaultRope(1e6, 8));
    const turned = (change: object) =>
      readArchitecture({ ...M2, ...change }, "config.json").layers[0]!.attention!.rope.inverse.length;
    expect(turned({ rotary_dim: undefined })).toBe(8);
    expect(turned({ rotary_dim: undefined, rope_parameters: { partial_rotary_factor: 0.25 } })).toBe(2);
    expect(readArchitecture({ ...M2, head_dim: undefined }, "config.json").layers[0]!.attention!.headDim).toBe(128);
  });

  it.each<[object, string]>([
    [{ rotary_dim: 18 }, "rotary_dim: expected an integer from 1 to 16, found 18"],
    [{ rotary_dim: 7 }, "rotary_dim: expected an even number, found 7"],
    [{ use_qk_norm: false }, "use_qk_norm: expected true, found false"],
    [{ scoring_func: "softmax" }, 'scoring_func: expected "sigmoid", found "softmax"'],
    [{ shared_intermediate_size: 64 }, "shared_intermediate_size: expected 0 (shared experts are not implemented)"],
  ])("with %j is refused", (change, message) => {
    expect(() => readArchitecture({ ...M2, ...change }, "config.json")).toThrow(`config.json: ${message}`);
  });
});

describe("config.json of a Qwen2-MoE", () => {
  const { num_local_experts, rms_norm_eps, rope_theta, ...rest } = MIXTRAL;
  const own = { model_type: "qwen2_moe", num_experts: 8, moe_intermediate_size: 40, sliding_window: 9 };
  const QWEN2 = { ...rest, ...own };
  const windows = (config: object) =>
    readArchitecture(config, "config.json").layers.map(({ attention }) => attention!.window);

  it("has biases and a shared expert with a gate, whatever of it has a default", () => {
    const a = readArchitecture({ ...QWEN2, shared_expert_intermediate_size: 48, mlp_only_layers: [1] }, "config.json");
    expect([a.eps, a.biases]).toEqual([1e-6, ["qkv"]]);
    const shared = { intermediate: 48, gated: true };
    expect(a.layers.map((layer) => layer.shared)).toEqual([shared, null, shared]);
    expect(a.layers.map(({ dense }) => dense)).toEqual([null, { intermediate: 96 }, null]);
    expect(a.layers[0]!.experts!.rule).toEqual({ ...SOFTMAX, normalize: false });
    const bare = readArchitecture({ ...QWEN2, qkv_bias: false, norm_topk_prob: true }, "config.json");
    expect([bare.biases, bare.layers[0]!.experts!.rule]).toEqual([[], SOFTMAX]);
    expect(bare.layers[0]!.shared).toEqual({ intermediate: 5632, gated: true });
  });

  it("has windows in every other one of its first layers, or where layer_types says so", () => {
    const used = { ...QWEN2, use_sliding_window: true };
    expect(windows(QWEN2)).toEqual([null, null, null]);
    expect(windows(used)).toEqual([9, null, 9]);
    expect(windows({ ...used, max_window_layers: 2 })).toEqual([9, null, null]);
    const layer_types = ["full_attention", "sliding_attention", "full_attention"];
    expect(windows({ ...used, layer_types })).toEqual([null, 9, null]);
    const all = Array(3).fill("full_attention");
    expect(windows({ ...QWEN2, layer_types: all, sliding_window: 0 })).toEqual([null, null, null]);
    expect(() => windows({ ...QWEN2, layer_types })).toThrow(
      "layer_types: expected full_attention only, because use_sliding_window is not true",
    );
    expect(() => windows({ ...used, layer_types: ["full_attention"] })).toThrow(
      'layer_types: expected a list of 3, of "sliding_attention" and "full_attention", found a list',
    );
    expect(() => windows({ ...used, sliding_window: null, max_window_layers: -1 })).toThrow("max_window_layers");
  });
});

describe("config.json of an OLMoE", () => {
  const { num_local_experts, ...rest } = MIXTRAL;
  const OLMOE = { ...rest, model_type: "olmoe", num_experts: 8 };

  it("has biases and a clip of q, k and v where it says so", () => {
    const plain = readArchitecture({ ...OLMOE, clip_qkv: null }, "config.json");
    expect([plain.biases, "clip" in plain.layers[0]!.attention!]).toEqual([[], false]);
    const a = readArchitecture({ ...OLMOE, clip_qkv: 8, attention_bias: true }, "config.json");
    expect([a.biases, a.layers[0]!.attention!.clip]).toEqual([["qkv", "o"], 8]);
    expect(() => readArchitecture({ ...OLMOE, clip_qkv: 0 }, "config.json")).toThrow(
      "clip_qkv: expected a positive number, found 0",
    );
  });
});

describe("config.json of an ERNIE 4.5", () => {
  const { num_local_experts, num_experts_per_tok, rms_norm_eps, rope_theta, ...rest } = MIXTRAL;
  const own = { model_type: "ernie4_5_moe", moe_num_experts: 8, moe_k: 2, moe_intermediate_size: 40 };
  const ERNIE = { ...rest, ...own, num_hidden_layers: 6 };
  const sparse = (change: object) =>
    readArchitecture({ ...ERNIE, ...change }, "config.json").layers.flatMap(({ experts }, i) => (experts ? [i] : []));

  it("is tied, and has dense layers and shared experts, whatever of it has a default", () => {
    const a = readArchitecture(ERNIE, "config.json");
    expect([a.tied, a.eps]).toEqual([true, 1e-5]);
    const [dense, other] = a.layers;
    expect([dense!.dense, dense!.experts, dense!.shared]).toEqual([{ intermediate: 96 }, null, null]);
    expect(other!.shared).toEqual({ intermediate: 80, gated: false });
    const rule = { ...SOFTMAX, least: 1e-12 };
    expect(other!.experts).toMatchObject({ count: 8, perToken: 2, intermediate: 40, rule, biased: true });
    expect(other!.attention!.rope).toEqual(defaultRope(5e5, 16));
    const bare = { ...ERNIE, moe_layer_start_index: 0, intermediate_size: undefined, moe_num_shared_experts: 0 };
    expect(readArchitecture(bare, "config.json").layers[0]).toMatchObject({ dense: null, shared: null });
  });

  it("has experts in a range of layers, or one of each interval", () => {
    expect(sparse({})).toEqual([1, 2, 3, 4, 5]);
    expect(sparse({ moe_layer_end_index: -1, moe_layer_start_index: 3 })).toEqual([3, 4, 5]);
    expect(sparse({ moe_layer_end_index: 4, moe_layer_start_index: 2, moe_layer_interval: 2 })).toEqual([3]);
  });

  it.each<[object, string]>([
    [{ use_bias: 1 }, "use_bias: expected true or false, found 1"],
    [{ moe_use_aux_free: false }, "moe_use_aux_free: expected true, found false"],
    [{ moe_layer_end_index: 6 }, "moe_layer_end_index: expected an integer from 0 to 5, found 6"],
    [{ moe_layer_end_index: 0 }, "moe_layer_interval: expected a layer with experts from 1 to 0"],
    [{ moe_k: 9 }, "moe_k: expected at most moe_num_experts (8), found 9"],
  ])("with %j is refused", (change, message) => {
    expect(() => readArchitecture({ ...ERNIE, ...change }, "config.json")).toThrow(`config.json: ${message}`);
  });
});

describe("config.json of a Phi-3.5-MoE", () => {
  const { rope_theta, ...rest } = MIXTRAL;
  const PHI = { ...rest, model_type: "phimoe", attention_bias: true, lm_head_bias: true };

  it("has LayerNorms, biases and two experts by sparsemixer", () => {
    const a = readArchitecture(PHI, "config.json");
    expect(a).toMatchObject({ layerNorms: true, biases: ["qkv", "o", "head"] });
    expect(a.layers[0]!.experts!.rule).toEqual({ score: "sparsemixer", jitter: 0.01 });
    expect(a.layers[0]!.attention!.rope).toEqual(defaultRope(1e6, 16));
    const bare = readArchitecture({ ...PHI, attention_bias: false, lm_head_bias: undefined }, "config.json");
    expect(bare.biases).toEqual([]);
  });

  it.each<[object, string]>([
    [{ num_experts_per_tok: 1 }, "num_experts_per_tok: expected 2, which is what sparsemixer chooses, found 1"],
    [{ router_jitter_noise: -1 }, "router_jitter_noise: expected a number from 0 on, found -1"],
    [{ rope_scaling: { type: "yarn", factor: 2 } }, "rope_scaling: expected longrope, the type that the model's own"],
    [{ attention_bias: "yes" }, 'attention_bias: expected true or false, found "yes"'],
    [{ hidden_act: "relu" }, "hidden_act: expected one of silu, swish, gelu, "],
  ])("with %j is refused", (change, message) => {
    expect(() => readArchitecture({ ...PHI, ...change }, "config.json")).toThrow(`config.json: ${message}`);
  });
});

describe("config.json of a GLM-4.5", () => {
  const { num_local_experts, ...rest } = MIXTRAL;
  const own = { model_type: "glm4_moe", n_routed_experts: 8, moe_intermediate_size: 40, n_shared_experts: 2 };
  const GLM = { ...rest, ...own };

  it("has dense layers first, and shared experts in the others", () => {
    const { layers } = readArchitecture(GLM, "config.json");
    expect(layers.map(({ dense }) => dense)).toEqual([{ intermediate: 96 }, null, null]);
    const shared = { intermediate: 80, gated: false };
    expect(layers.map((layer) => layer.shared)).toEqual([null, shared, shared]);
    expect(layers.map(({ experts }) => experts?.rule.score)).toEqual([undefined, "sigmoid", "sigmoid"]);
    expect(layers[0]!.attention!.rope).toEqual(defaultRope(1e6, 8)); // half of a head
    // release 5 of transformers writes the default beside what counts
    const more = { partial_rotary_factor: 0.5, rope_parameters: { rope_theta: 1e5, partial_rotary_factor: 0.75 } };
    const other = readArchitecture({ ...GLM, ...more }, "config.json");
    expect(other.layers[0]!.attention!.rope).toEqual(defaultRope(1e5, 12));
    // 5 values, of which the last turns in a pair with the sixth
    const odd = readArchitecture({ ...GLM, head_dim: 10 }, "config.json").layers[0]!.attention!.rope.inverse;
    expect([...odd]).toEqual([1, 2, 3].map((n) => Math.fround(1 / Math.fround(1e6 ** Math.fround((2 * (n - 1)) / 5)))));
    const bare = readArchitecture({ ...GLM, n_shared_experts: 0, first_k_dense_replace: 0 }, "config.json");
    expect(bare.layers.map(({ shared, dense }) => [shared, dense])).toEqual(Array(3).fill([null, null]));
  });

  it.each<[object, string]>([
    [{ n_group: 3 }, "n_group: expected a divisor of the number of experts, 8, found 3"],
    [{ topk_group: 2 }, "topk_group: expected an integer from 1 to 1, found 2"],
    [
      { n_group: 8 },
      "expected a router that can choose a token's experts, found 2 experts a token from 1 of 8 groups of 1; check",
    ],
    [{ routed_scaling_factor: 0 }, "routed_scaling_factor: expected a positive number, found 0"],
    [{ first_k_dense_replace: 3 }, "first_k_dense_replace: expected less than num_hidden_layers (3), found 3"],
    [{ first_k_dense_replace: 4 }, "first_k_dense_replace: expected an integer from 0 to 3, found 4"],
    [{ partial_rotary_factor: 0.01 }, "partial_rotary_factor: expected one of a head's 16 values at least, found 0.01"],
    [
      { head_dim: 10, rope_scaling: { type: "yarn", factor: 2 } },
      "rope_scaling: rope_type: yarn turns an even number of a head's values, found 5",
    ],
    [{ partial_rotary_factor: 2 }, "partial_rotary_factor: expected a number above 0, and 1 at most, found 2"],
  ])("with %j is refused", (change, message) => {
    expect(() => readArchitecture({ ...GLM, ...change }, "config.json")).toThrow(`config.json: ${message}`);
  });
});

describe("config.json of a dots.llm1", () => {
  const { num_local_experts, ...rest } = MIXTRAL;
  const DOTS = { ...rest, model_type: "dots1", n_routed_experts: 8, moe_intermediate_size: 40 };
  const windows = (change: object) =>
    readArchitecture({ ...DOTS, ...change }, "config.json").layers.map(({ attention }) => attention!.window);

  it("has norms of heads, and what transformers has by default", () => {
    const { layers, eps } = readArchitecture({ ...DOTS, rms_norm_eps: undefined }, "config.json");
    const rule = { score: "sigmoid", normalize: false, factor: 1, groups: null };
    expect(layers).toMatchObject(Array(3).fill({ qkNorm: "head", dense: null, shared: null, experts: { rule } }));
    expect(eps).toBe(1e-6);
  });

  it("has windows after max_window_layers, or as layer_types says", () => {
    expect(windows({})).toEqual([null, null, null]);
    expect(windows({ max_window_layers: 1 })).toEqual([null, 4096, 4096]);
    expect(windows({ max_window_layers: 1, sliding_window: null })).toEqual([null, null, null]);
    const layer_types = ["sliding_attention", "full_attention", "full_attention"];
    expect(windows({ layer_types, sliding_window: 20 })).toEqual([20, null, null]);
    expect(() => windows({ layer_types, sliding_window: null })).toThrow("sliding_window: expected a number, because");
    expect(() => windows({ scoring_func: "softmax" })).toThrow('scoring_func: expected "sigmoid" or "noaux_tc"');
  });
});

describe("config.json of a Mixtral", () => {
  it("becomes an architecture in our letters", () => {
    const a = readArchitecture({ ...MIXTRAL, sliding_window: 40 }, "config.json");
    expect(a).toMatchObject({ vocab: 100, hidden: 64, context: 512, eps: 1e-5, tied: false, stored: null });
    expect(a.layers).toHaveLength(3);
    for (const layer of a.layers)
      expect(layer).toEqual({
        attention: { heads: 4, kvHeads: 2, headDim: 16, scale: 0.25, window: 40, rope: defaultRope(1e6, 16) },
        qkNorm: null,
        experts: { count: 8, perToken: 2, intermediate: 96, rule: SOFTMAX, biased: false },
        dense: null,
        shared: null,
      });
    const common = { head_dim: 16, sliding_window: 40, tie_word_embeddings: false, bos_token_id: null, stored: null };
    expect(a.config).toEqual({ ...MIXTRAL, ...common, eos_token_id: [2] });
  });

  it.each([
    [undefined, "silu"],
    [null, "silu"],
    ["swish", "silu"],
    ["gelu", "gelu"],
    ["gelu_new", "gelu_tanh"],
    ["gelu_pytorch_tanh", "gelu_tanh"],
    ["relu2", "relu2"],
  ])("with hidden_act %j has %s", (hidden_act, activation) => {
    expect(readArchitecture({ ...MIXTRAL, hidden_act }, "config.json").activation).toBe(activation);
  });

  it("is the same in every spelling", () => {
    const { rope_theta, num_local_experts, ...rest } = MIXTRAL;
    const v5 = { ...rest, num_experts: num_local_experts, rope_parameters: { rope_type: "default", rope_theta } };
    expect(readArchitecture(v5, "config.json")).toEqual(readArchitecture(MIXTRAL, "config.json"));
    const nulls = { ...MIXTRAL, head_dim: null, sliding_window: null, rope_scaling: null, quantization_config: null };
    expect(readArchitecture(nulls, "config.json")).toEqual(readArchitecture(MIXTRAL, "config.json"));
    const both = { ...v5, rope_scaling: { type: "linear", factor: 2 }, rope_theta: 1e6 };
    const { factor } = both.rope_scaling;
    expect(readArchitecture(both, "c").layers[0]!.attention!.rope.inverse[0]).toBe(1 / factor);
    const { kvHeads } = readArchitecture({ ...MIXTRAL, num_key_value_heads: null }, "c").layers[0]!.attention!;
    expect(kvHeads).toBe(4);
  });

  it.each<[object | null, string]>([
    [null, "expected a JSON object, found null"],
    [[], "expected a JSON object, found a list"],
    [
      { model_type: "llama" },
      `model_type: expected one of the supported types ("${MODEL_TYPES.join('", "')}"), found "llama"`,
    ],
    [{ model_type: undefined }, "found nothing"],
    [{ model_type: "constructor" }, 'found "constructor"'],
    [{ hidden_act: "relu" }, "hidden_act: expected one of silu, swish, gelu, "],
    [{ hidden_size: "64" }, 'hidden_size: expected an integer from 1 to 16777216, found "64"'],
    [{ hidden_size: 0 }, "hidden_size: expected an integer"],
    [{ hidden_size: 2 ** 30 }, "hidden_size: expected an integer"],
    [{ hidden_size: undefined }, "hidden_size: expected an integer from 1 to 16777216, found nothing"],
    [{ hidden_size: 66 }, "hidden_size: expected a multiple of num_attention_heads (4), or a head_dim field, found 66"],
    [{ num_hidden_layers: 5000 }, "num_hidden_layers: expected an integer from 1 to 4096, found 5000"],
    [{ num_key_value_heads: 3 }, "num_key_value_heads: expected a divisor of num_attention_heads (4), found 3"],
    [{ num_key_value_heads: undefined }, "num_key_value_heads: expected an integer"],
    [{ head_dim: 15 }, "head_dim: expected an even number (RoPE rotates pairs), found 15"],
    [{ num_experts_per_tok: 9 }, "num_experts_per_tok: expected at most num_local_experts (8), found 9"],
    [{ num_local_experts: undefined }, "num_local_experts: expected an integer from 1 to 4096, found nothing"],
    [{ rms_norm_eps: 0 }, "rms_norm_eps: expected a positive number, found 0"],
    [
      { rope_theta: undefined },
      "rope_theta (or rope_parameters.rope_theta): expected a positive number, found nothing",
    ],
    [
      { rope_scaling: { type: "ntk" } },
      'rope_scaling: rope type "ntk" is not supported (only "default", "linear", "dynamic", "llama3", "yarn", "longrope" are)',
    ],
    [{ rope_scaling: { type: "dynamic" } }, "rope_scaling: factor: expected a positive number, found nothing"],
    [{ rope_scaling: { type: "longrope" } }, "rope_scaling: short_factor: expected 8 positive numbers, found nothing"],
    [
      { original_max_position_embeddings: 64, rope_scaling: { type: "longrope", short_factor: [1, 2] } },
      "rope_scaling: short_factor: expected 8 positive numbers, found a list",
    ],
    [{ rope_scaling: { type: "constructor" } }, 'rope type "constructor" is not supported'],
    [{ rope_scaling: { type: "linear" } }, "rope_scaling: factor: expected a positive number, found nothing"],
    [{ rope_scaling: { type: "yarn", factor: "4" } }, 'rope_scaling: factor: expected a positive number, found "4"'],
    [{ rope_parameters: { rope_type: "llama3", factor: 8 } }, "rope_parameters: low_freq_factor: expected a positive"],
    [{ rope_parameters: [] }, "rope_parameters: expected an object or null, found a list"],
    [{ sliding_window: -1 }, "sliding_window: expected an integer"],
    [{ eos_token_id: "2" }, 'eos_token_id: expected a token id or a list of them, found "2"'],
    [{ quantization_config: { quant_method: "hotset", format: 9 } }, "this hotset reads format 1 and 2, found 9"],
    [{ quantization_config: { quant_method: "hotset", format: 1, weights: "q3" } }, "weights: expected one of f32"],
  ])("with %j is refused", (change, message) => {
    const raw = change === null || Array.isArray(change) ? change : { ...MIXTRAL, ...change };
    const read = () => readArchitecture(raw, "folder/config.json");
    expect(read).toThrow(WeightsError);
    expect(read).toThrow(message);
    expect(read).toThrow(/^folder\/config\.json: /);
  });
});
