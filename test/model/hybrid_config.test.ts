// config.json of hybrids: which layers are of which kind, and fields that are wrong refused.

import { describe, expect, it } from "vitest";
import { readArchitecture } from "../../src/model/families/index.ts";
import { defaultRope } from "../../src/model/rope.ts";

describe("config.json of a hybrid", () => {
  const rest = {
    hidden_size: 64,
    intermediate_size: 96,
    num_hidden_layers: 3,
    num_attention_heads: 4,
    num_key_value_heads: 2,
    num_experts_per_tok: 2,
    vocab_size: 100,
    max_position_embeddings: 512,
    rms_norm_eps: 1e-5,
    rope_theta: 1e6,
    eos_token_id: 2,
  };
  const sizes = {
    linear_num_key_heads: 2,
    linear_num_value_heads: 4,
    linear_key_head_dim: 8,
    linear_value_head_dim: 6,
  };
  const NEXT = { ...rest, ...sizes, model_type: "qwen3_next", head_dim: 16, num_hidden_layers: 4, num_experts: 8 };
  const types = ["conv", "full_attention", "conv"];
  const QWEN35 = { model_type: "qwen3_5_moe_text" };
  const LFM = { ...rest, model_type: "lfm2_moe", num_experts: 8, layer_types: types, num_dense_layers: 1 };

  it("has the delta rule in three of four layers", () => {
    const { layers } = readArchitecture(NEXT, "config.json");
    const shape = { keyHeads: 2, valueHeads: 4, keyDim: 8, valueDim: 6 };
    const linear = { attention: null, recurrence: { kind: "delta", taps: 4, shape }, gated: true };
    expect(layers.slice(0, 3)).toMatchObject([linear, linear, linear]);
    expect(layers[3]).toMatchObject({ qkNorm: "head", gated: true, shared: { gated: true } });
    expect(layers[3]!.attention!.rope).toEqual(defaultRope(1e6, 4)); // a quarter of a head
    const usual = readArchitecture({ ...NEXT, head_dim: undefined }, "config.json").layers[3]!.attention!;
    expect([usual.headDim, usual.rope.inverse.length]).toEqual([256, 32]);
  });

  it("has dense layers where they are asked for", () => {
    const { layers } = readArchitecture({ ...NEXT, mlp_only_layers: [3], decoder_sparse_step: 2 }, "config.json");
    expect(layers.map(({ dense, shared }) => dense?.intermediate ?? shared)).toMatchObject([
      96,
      { gated: true },
      96,
      96,
    ]);
    expect(layers.map(({ gated }) => gated)).toEqual(Array(4).fill(true));
  });

  it("is read beside a part that sees", () => {
    const { eos_token_id, ...text } = NEXT;
    const type = "qwen3_5_moe";
    const both = {
      model_type: type,
      text_config: { ...text, model_type: `${type}_text` },
      vision_config: { depth: 2 },
    };
    const read = readArchitecture({ ...both, eos_token_id }, "config.json");
    expect(read).toEqual(readArchitecture({ ...NEXT, model_type: type }, "config.json"));
  });

  it("has convolutions, and dense layers first", () => {
    const { layers, tied } = readArchitecture(LFM, "config.json");
    expect(layers.map(({ recurrence }) => recurrence)).toEqual([
      { kind: "conv", taps: 3 },
      undefined,
      { kind: "conv", taps: 3 },
    ]);
    expect(layers.map(({ dense }) => dense)).toEqual([{ intermediate: 96 }, null, null]);
    expect(layers[2]!.experts).toMatchObject({
      intermediate: 1792,
      biased: true,
      rule: { score: "sigmoid", added: 1e-6 },
    });
    expect(tied).toBe(true); // if config.json does not say it
  });

  it.each<[object, object, string]>([
    [NEXT, { hidden_act: "gelu" }, 'hidden_act: expected "silu", found "gelu"'],
    [NEXT, { attn_output_gate: false }, "attn_output_gate: expected true, found false"],
    [NEXT, { ...QWEN35, mlp_only_layers: [1] }, "mlp_only_layers: expected [] or null, found a list"],
    [NEXT, { ...QWEN35, decoder_sparse_step: 2 }, "decoder_sparse_step: expected 1, found 2"],
    [NEXT, { linear_num_value_heads: 3 }, "linear_num_value_heads: expected a multiple of linear_num_key_heads (2)"],
    [NEXT, { layer_types: ["mamba"] }, 'layer_types: expected a list of 4, of "full_attention" (once at least) and'],
    [NEXT, { full_attention_interval: 5 }, "layer_types: expected a list of 4"],
    [NEXT, { partial_rotary_factor: 2 }, "partial_rotary_factor: expected a number above 0, and 1 at most, found 2"],
    [LFM, { conv_bias: true }, "conv_bias: expected false, found true"],
    [LFM, { layer_types: undefined }, 'layer_types: expected a list of 3, of "full_attention" (once at least) and'],
    [LFM, { num_dense_layers: 3 }, "num_dense_layers: expected an integer from 0 to 2, found 3"],
  ])("%#: with %j is refused", (base, change, message) => {
    expect(() => readArchitecture({ ...base, ...change }, "config.json")).toThrow(`config.json: ${message}`);
  });
});
