// RoPE's frequencies against the formula of transformers.

import { expect, it } from "vitest";
import { defaultRope } from "../../src/model/rope.ts";
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
