// RoPE's frequencies against the formulas of transformers; whole models with each scaling
// are in families.test.ts.

import { expect, it } from "vitest";
import { commonFields, Fields } from "../../src/model/config.ts";
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

/**
 * RoPE of a model of 4,096 positions with theta 1.5e5, scaled as `rope_scaling` says,
 * over 64 dimensions.
 */
function scaled(rope_scaling: object) {
  const sizes = { hidden_size: 64, num_hidden_layers: 1, vocab_size: 10, max_position_embeddings: 4096 };
  const c = new Fields({ ...sizes, rope_theta: 1.5e5, rope_scaling }, "config.json");
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
