// gpt-oss: config.json as people have it, and what counts as its weights.

import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import { footprintOf, parametersOf } from "../../src/model/footprint.ts";
import { keep } from "../../src/model/formats.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { inShared, titled } from "../support/fixtures.ts";

const GPT_OSS = {
  model_type: "gpt_oss",
  hidden_size: 96,
  intermediate_size: 32,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  num_local_experts: 8,
  experts_per_token: 2,
  vocab_size: 100,
  max_position_embeddings: 512,
  rope_theta: 150000,
  rope_scaling: { rope_type: "yarn", factor: 4, original_max_position_embeddings: 64, truncate: false },
};

describe("config.json of a gpt-oss", () => {
  it("has sinks, windows in every other layer, biases, and a head size of its own", () => {
    const { layers, biases, eps, activation, limit } = readArchitecture(GPT_OSS, "config.json");
    expect(layers.map(({ attention }) => attention!.window)).toEqual([128, null, 128]);
    expect(layers[0]).toMatchObject({
      attention: { headDim: 64, scale: 0.125 },
      sinks: true,
      experts: { perToken: 2 },
    });
    expect([biases, eps, activation, limit]).toEqual([["gate", "experts", "qkv", "o"], 1e-5, "swiglu_oai", 7]);
    expect(layers[0]!.attention!.rope.factor).toBeCloseTo(0.1 * Math.log(4) + 1, 6);
    const own = { head_dim: null, sliding_window: 7, layer_types: Array(3).fill("sliding_attention") };
    const other = readArchitecture({ ...GPT_OSS, ...own }, "config.json").layers;
    expect(other.map(({ attention }) => [attention!.window, attention!.headDim])).toEqual(Array(3).fill([7, 24]));
  });

  it.each<[object, string]>([
    [{ attention_bias: 0 }, "attention_bias: expected true or false, found 0"],
    [
      { layer_types: ["full_attention"] },
      'layer_types: expected a list of 3, of "sliding_attention" and "full_attention", found a list',
    ],
    [
      { layer_types: Array(3).fill("chunked_attention") },
      'layer_types: expected a list of 3, of "sliding_attention" and',
    ],
    [{ swiglu_limit: 0 }, "swiglu_limit: expected a positive number, found 0"],
    [{ hidden_act: "gelu" }, 'hidden_act: expected "silu", found "gelu"'],
    [{ rope_scaling: null }, "rope_scaling: expected RoPE's scaling, as published, found null"],
    [{ experts_per_token: 9 }, "experts_per_token: expected at most num_local_experts (8)"],
  ])("with %j is refused", (change, message) => {
    expect(() => readArchitecture({ ...GPT_OSS, ...change }, "config.json")).toThrow(`config.json: ${message}`);
  });
});

const { path, skip } = inShared("fixtures/families/gpt_oss-a");

it.skipIf(skip)(titled("sinks and biases of experts are always resident, and parameters", skip), async () => {
  const folder = await openFolder(await nodeFiles(path));
  const a = readArchitecture(folder.config, "config.json");
  const sources = bindSources(a, folder.source);
  await folder.close();
  const [E, K, F, D, H] = [6, 3, 32, 64, 6];
  const without = {
    ...sources,
    layers: sources.layers.map(({ sinks, expertBiases, ...layer }) => layer),
  };
  const plan = keep(FORMATS.f16);
  const [all, bare] = [footprintOf(sources, plan), footprintOf(without, plan)];
  const values = 3 * (E * (2 * F + D) + H); // of three layers, in f32
  expect([all.weights - bare.weights, all.dense - bare.dense]).toEqual([4 * values, 4 * values]);
  const [counted, less] = [parametersOf(a, sources), parametersOf(a, without)];
  expect(counted.total - less.total).toBe(values);
  expect(counted.total - counted.active).toBe(3 * (E - K) * (3 * F * D + 2 * F + D));
});
