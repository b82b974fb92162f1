// Switches of config.json that a family does not have: refused by name, never ignored.

import { describe, expect, it } from "vitest";
import { MODEL_TYPES, readArchitecture } from "../../src/model/families/index.ts";
import { SYNTHETIC_MODELS } from "../../src/weights/synthetic_shapes.ts";

/** A published shape of each family. */
const CONFIGS = new Map(Object.values(SYNTHETIC_MODELS).map(({ config }) => [String(config.model_type), config]));
/** A switch, what it may say in families without it, and those that have it (tested elsewhere). */
const SWITCHES: readonly (readonly [change: object, neutral: object, has: string])[] = [
  [{ attn_logit_softcapping: 30 }, { attn_logit_softcapping: null }, ""],
  [{ final_logit_softcapping: 30 }, { final_logit_softcapping: null }, ""],
  [{ clip_qkv: 8 }, { clip_qkv: null }, "olmoe"],
  [{ swiglu_limit: 3 }, { swiglu_limit: null }, "gpt_oss"],
  ...["embedding_multiplier", "residual_multiplier", "logits_scaling"].map(
    (field) => [{ [field]: 2 }, { [field]: 1 }, "granitemoe"] as const,
  ),
  [{ attention_multiplier: 0.5 }, { attention_multiplier: null }, "granitemoe"],
  [{ attn_output_gate: true }, { attn_output_gate: false }, "qwen3_next qwen3_5_moe qwen3_5_moe_text"],
  [
    { norm_topk_prob: false },
    { norm_topk_prob: true },
    "qwen3_moe qwen2_moe olmoe glm4_moe dots1 deepseek_v2 deepseek_v3 glm4_moe_lite qwen3_next lfm2_moe",
  ],
  [
    { routed_scaling_factor: 2.5 },
    { routed_scaling_factor: 1 },
    "glm4_moe dots1 deepseek_v2 deepseek_v3 glm4_moe_lite lfm2_moe",
  ],
  [{ n_group: 8 }, { n_group: 1 }, "glm4_moe dots1 deepseek_v2 deepseek_v3 glm4_moe_lite"],
  [{ scoring_func: "tanh" }, { scoring_func: null }, MODEL_TYPES.join(" ")],
  [{ mlp_bias: true }, { mlp_bias: false }, "deepseek_v2"],
  [
    { sliding_window: 8 },
    { sliding_window: 8, use_sliding_window: false },
    "mixtral phimoe gpt_oss dots1 qwen2_moe qwen3_moe",
  ],
  [{ use_sliding_window: true }, { use_sliding_window: false }, "mixtral phimoe gpt_oss dots1 qwen2_moe qwen3_moe"],
];

describe("a switch that a family does not have", () => {
  it.each(SWITCHES)("%j is refused", (change, neutral, has) => {
    const field = Object.keys(change)[0]!;
    const others = [...CONFIGS].filter(([type]) => !has.split(" ").includes(type));
    for (const [type, config] of others) {
      const read = (own: object) => readArchitecture({ ...config, ...own }, "config.json");
      expect(() => read(change)).toThrow(`config.json: ${field}: expected `);
      expect(() => read(change)).toThrow(`(a ${type} has no such switch)`);
      expect(() => read(neutral)).not.toThrow();
    }
  });

  it.each([...CONFIGS])("%s: a kind of layers or of scores that it has not is refused", (_, config) => {
    const read = (own: object) => readArchitecture({ ...config, ...own }, "config.json");
    const layer_types = Array(config.num_hidden_layers as number).fill("chunked_attention");
    expect(() => read({ layer_types })).toThrow("config.json: layer_types: expected ");
    expect(() => read({ scoring_func: "tanh" })).toThrow("config.json: scoring_func: expected ");
  });

  it("linear attention of MiniMax is refused", () => {
    const config = CONFIGS.get("minimax_m2")!;
    expect(() => readArchitecture({ ...config, attn_type_list: [1, 0] }, "config.json")).toThrow(
      "config.json: attn_type_list: expected a list of 1 (linear attention is not implemented), found a list",
    );
    expect(() => readArchitecture({ ...config, attn_type_list: [1, 1] }, "config.json")).not.toThrow();
  });

  it("RoPE that a family always turns by neighbours cannot be turned by halves", () => {
    for (const type of ["deepseek_v2", "ernie4_5_moe"])
      expect(() => readArchitecture({ ...CONFIGS.get(type), rope_interleave: false }, "config.json")).toThrow(
        "config.json: rope_interleave: expected true, found false",
      );
  });
});
