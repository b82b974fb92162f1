// Granite's config.json as people have it, and where its multipliers go.

import { describe, expect, it } from "vitest";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import type { MatrixSource, WeightSource } from "../../src/tensor/types.ts";

const GRANITE = {
  model_type: "granitemoe",
  hidden_size: 8,
  intermediate_size: 4,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  num_local_experts: 3,
  num_experts_per_tok: 2,
  vocab_size: 10,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: true,
  attention_bias: true,
  embedding_multiplier: 12,
  attention_multiplier: 0.015625,
  residual_multiplier: 0.25,
  logits_scaling: 6,
};
const SHAPES: Readonly<Record<string, readonly number[]>> = {
  "model.embed_tokens.weight": [10, 8],
  "model.norm.weight": [8],
  "model.layers.0.input_layernorm.weight": [8],
  "model.layers.0.post_attention_layernorm.weight": [8],
  ...Object.fromEntries(
    Object.entries({ q: 8, k: 4, v: 4, o: 8 }).flatMap(([name, rows]) => [
      [`model.layers.0.self_attn.${name}_proj.weight`, [rows, 8]],
      [`model.layers.0.self_attn.${name}_proj.bias`, [rows]],
    ]),
  ),
  "model.layers.0.block_sparse_moe.router.layer.weight": [3, 8],
  "model.layers.0.block_sparse_moe.input_linear.weight": [3, 8, 8],
  "model.layers.0.block_sparse_moe.output_linear.weight": [3, 8, 4],
};
/** A checkpoint of ones. */
const ONES: WeightSource = {
  label: "ones",
  has: (name) => name in SHAPES,
  names: () => Object.keys(SHAPES),
  shape: (name) => SHAPES[name]!,
  matrix(name, first = 0, count) {
    const shape = SHAPES[name]!;
    const rows = count ?? shape.slice(0, -1).reduce((a, b) => a * b, 1) - first;
    return { name, rows, cols: shape.at(-1)!, readRows: async (_, n, into) => void into.fill(1, 0, n * shape.at(-1)!) };
  },
};

describe("config.json of a Granite MoE", () => {
  it("has multipliers that go to f32 values", async () => {
    const a = readArchitecture(GRANITE, "config.json");
    const g = 0.25 / 12;
    const [layer] = a.layers;
    expect(a.eps).toBeCloseTo(1e-6 / 144, 15);
    expect(layer!.attention!.scale).toBeCloseTo(0.015625 / g ** 2, 9);
    expect(layer!.experts!.rule).toMatchObject({ normalize: true, factor: g });
    const { layers, norm } = bindSources(a, ONES);
    const { attnNorm, ffnNorm, qkv, wo, gate, experts } = layers[0]!;
    const first = async (source: MatrixSource) => {
      const row = new Float32Array(source.cols);
      await source.readRows(0, 1, row);
      return row[0];
    };
    const factor = async (...sources: MatrixSource[]) => Promise.all(sources.map(first));
    expect(await factor(attnNorm, ...qkv.map(({ bias }) => bias!), wo.bias!)).toEqual(Array(5).fill(Math.fround(g)));
    expect(await factor(norm)).toEqual([Math.fround(1 / 6)]);
    const { w1, w2, w3 } = experts[2]!;
    expect(await factor(ffnNorm, ...qkv, wo, gate!, w1, w2, w3)).toEqual(Array(9).fill(1));
    expect([w1.rows, w3.rows, w2.rows, w2.cols]).toEqual([4, 4, 8, 4]);
  });

  it("computes as Mixtral does where it has none", () => {
    const { embedding_multiplier, residual_multiplier, logits_scaling, ...bare } = GRANITE;
    const a = readArchitecture(bare, "config.json");
    expect([a.eps, a.layers[0]!.attention!.scale, a.layers[0]!.experts!.rule]).toMatchObject([
      1e-6,
      0.015625,
      { factor: 1 },
    ]);
  });

  it.each<[object, string]>([
    [{ embedding_multiplier: 0 }, "embedding_multiplier: expected a positive number, found 0"],
    [{ residual_multiplier: -1 }, "residual_multiplier: expected a positive number, found -1"],
    [{ logits_scaling: "6" }, 'logits_scaling: expected a positive number, found "6"'],
    [{ attention_multiplier: 0 }, "attention_multiplier: expected a positive number, found 0"],
    [{ attention_bias: 1 }, "attention_bias: expected true or false, found 1"],
    [{ hidden_act: "relu" }, "hidden_act: expected one of silu, swish, gelu, "],
  ])("with %j is refused", (change, message) => {
    expect(() => readArchitecture({ ...GRANITE, ...change }, "config.json")).toThrow(`config.json: ${message}`);
  });
});
