// h = silu(w1 x) * (w3 x): the first half of an expert, gate and up in one pass.

import { type Gating, SILU } from "../src/tensor/activation.ts";
import { activate } from "./activate.ts";
import { matmul } from "./matmul.ts";
import type { Packed } from "./packed.ts";
import type { Scratch } from "./scratch.ts";

/**
 * Columns [from, to) of h [T, F]; x [T, D], w13 [2F, D] with row 2f of w1 (gate) and row 2f + 1 of
 * w3 (up). @param gating another activation (activate.ts), and biases
 */
export function expertUp(
  x: Float32Array,
  T: number,
  w13: Packed,
  h: Float32Array,
  from: number,
  to: number,
  scratch: Scratch,
  gating: Gating = SILU,
): void {
  const F = w13.rows / 2;
  const both = scratch.floats("gate and up", T * 2 * F);
  matmul(x, T, w13, both, 2 * from, 2 * to, scratch);
  activate(both, gating, h, F, from, to, T);
}
