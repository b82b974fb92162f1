// RoPE's frequencies against the formulas of transformers; whole models with each scaling
// are in families.test.ts.

import { expect, it } from "vitest";
import { commonFields, Fields } from "../../src/model/config.ts";
import { readArchitecture } from "../../src/model/families/index.ts";
import { defaultRope, readRope } from "../../src/model/rope.ts";
import { inverseFrequencies } from "../support/reference.ts";

it.each([
  [1e4, 2],
  [1e6, 128],
  [5e5, 64],
  [1.5e5, 6],
])("theta %d over %d dimensions", (theta, dimensions) => {
  const { inverse, factor } = defaultRope(theta, dimensions);
  expect(factor).toBe(1);
  expect(inverse).toEqual(inverseFrequencies(theta, dimensions));
  for (const [i, value] of inverse.entries()) expect(value * theta ** ((2 * i) / dimensions)).toBeCloseTo(1, 6);
});

const CONFIG = {
  ...{ model_type: "mixtral", hidden_size: 64, num_hidden_layers: 1, vocab_size: 10, max_position_embeddings: 4096 },
  ...{ rope_theta: 1.5e5, rms_norm_eps: 1e-5, intermediate_size: 32, num_local_experts: 2, num_experts_per_tok: 1 },
  ...{ num_attention_heads: 1, num_key_value_heads: 1 },
};

/**
 * RoPE of a model of 4,096 positions with theta 1.5e5, scaled as `rope_scaling` says,
 * over 64 dimensions.
 */
function scaled(rope_scaling: object) {
  const c = new Fields({ ...CONFIG, rope_scaling }, "config.json");
  commonFields(c);
  return { ...readRope(c, 64), told: c.checked.rope_scaling };
}

it.each<[object, number]>([
  [{ factor: 32, truncate: false }, 1.3466], // gpt-oss
  [{ factor: 1 }, 1],
  [{ factor: 32, attention_factor: 1.5 }, 1.5],
  [{ factor: 40, mscale: 0.7, mscale_all_dim: 0.7 }, 1], // DeepSeek-V2
  [{ factor: 40, mscale: 1, mscale_all_dim: 0 }, 1.3689],
  [{ factor: null, original_max_position_embeddings: 128 }, 1.3466], // the factor is 4096 / 128
])("yarn with %j multiplies cos and sin by %d", (fields, factor) => {
  expect(scaled({ rope_type: "yarn", ...fields }).factor).toBeCloseTo(factor, 4);
});

it("yarn keeps what turns often, stretches what turns seldom, and falls between them", () => {
  const { inverse, told } = scaled({ type: "yarn", factor: 4, original_max_position_embeddings: 1024 });
  const plain = inverseFrequencies(1.5e5, 64);
  const stretch = [...inverse].map((value, i) => plain[i]! / value);
  expect(stretch[0]).toBe(1);
  expect(stretch.at(-1)).toBeCloseTo(4, 5);
  for (let i = 1; i < stretch.length; i++) expect(stretch[i]).toBeGreaterThanOrEqual(stretch[i - 1]!);
  expect(told).toBe("yarn, original_max_position_embeddings 1024, factor 4, truncate true");
});

it("dynamic grows theta with the text, past the trained context", () => {
  const { inverse, factor, lengths } = scaled({ rope_type: "dynamic", factor: 4 });
  const plain = inverseFrequencies(1.5e5, 64);
  expect([inverse, factor]).toEqual([plain, 1]);
  expect(lengths!.at(4096).inverse).toEqual(plain);
  // 4 * 8192 / 4096 - 3 = 5: theta 1.5e5 * 5^(64 / 62)
  const long = lengths!.at(8192);
  expect(long.factor).toBe(1);
  for (const [i, value] of long.inverse.entries())
    expect(value * (1.5e5 * 5 ** (64 / 62)) ** (i / 32)).toBeCloseTo(1, 6);
  expect([1, 4096, 4097, 8192].map(lengths!.key)).toEqual([0, 0, 4097, 8192]);
  expect(lengths!.until(100)).toBe(Number.POSITIVE_INFINITY);
  const model = { ...CONFIG, rope_scaling: { type: "dynamic", factor: 4 } };
  expect(readArchitecture(model, "config.json").context).toBe(4 * 4096);
});

it("longrope divides frequencies by others in texts longer than the training's", () => {
  const [short_factor, long_factor] = [1, 2].map((by) => Array.from({ length: 32 }, (_, i) => by + i / 8));
  const given = { type: "longrope", original_max_position_embeddings: 1024, short_factor, long_factor };
  const { inverse, factor, lengths, told } = scaled(given);
  const plain = inverseFrequencies(1.5e5, 64);
  const by = (list: readonly number[]) => plain.map((value, i) => Math.fround(value / list[i]!));
  expect(inverse).toEqual(by(short_factor!));
  expect(factor).toBeCloseTo(Math.sqrt(1.2), 6); // 1 + ln 4 / ln 1024
  expect(lengths!.at(1024)).toEqual({ inverse, factor });
  expect(lengths!.at(1025)).toEqual({ inverse: by(long_factor!), factor });
  expect([1, 1024, 1025, 4096].map(lengths!.key)).toEqual([0, 0, 1, 1]);
  expect([1, 1024, 1025].map(lengths!.until)).toEqual([1024, 1024, Number.POSITIVE_INFINITY]);
  expect(told).toMatch(/^longrope, original_max_position_embeddings 1024, factor 4, short_mscale 1\.0954/);
  const scales = scaled({ ...given, short_mscale: 1.5, long_mscale: 0.5, attention_factor: 9 }).lengths!;
  expect([scales.at(1).factor, scales.at(2000).factor]).toEqual([1.5, 0.5]);
});
