// RoPE's frequencies: the one place where they are computed.

import type { Rope } from "../backend/ops.ts";

/**
 * Pair i of the first `dimensions` (rd) of a head turns by theta^(-2i/rd) a position. As transformers computes it, in f32
 * step by step.
 */
export function defaultRope(theta: number, dimensions: number): Rope {
  const inverse = Float64Array.from({ length: dimensions / 2 }, (_, i) =>
    Math.fround(1 / Math.fround(theta ** Math.fround((2 * i) / dimensions))),
  );
  return { inverse, factor: 1 };
}
