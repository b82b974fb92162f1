// Experts as records (src/tensor/record.ts) made by the plain definitions, and what the host
// computes of one with plain kernels.

import { expertDown } from "../../kernels/expert_down.ts";
import { expertUp } from "../../kernels/expert_up.ts";
import { type Packed, packedMatrix } from "../../kernels/packed.ts";
import { Scratch } from "../../kernels/scratch.ts";
import type { HostRule } from "../../src/backend/experts.ts";
import { type Format, panelLayout } from "../../src/tensor/format.ts";
import { planesOf, weave } from "../../src/tensor/panels.ts";
import { type ExpertShape, recordLayout } from "../../src/tensor/record.ts";
import { type ExpertData, packPlanes } from "./memory_source.ts";

/** w1 and w3 [F, D] -> [2F, D], rows w1_0, w3_0, w1_1, ... */
function alternate({ w1, w3 }: ExpertData, D: number): Float32Array {
  const both = new Float32Array(2 * w1.length);
  for (let at = 0; at < w1.length; at += D) {
    both.set(w1.subarray(at, at + D), 2 * at);
    both.set(w3.subarray(at, at + D), 2 * at + D);
  }
  return both;
}

/** `data` [rows, cols] in panels of eight rows. */
export function panelsOf(format: Format, data: Float32Array, rows: number, cols: number): Uint8Array {
  const layout = panelLayout(format, rows, cols);
  const out = new Uint8Array(layout.bytes);
  weave(format, packPlanes(format, data, rows, cols), rows, 0, 1, planesOf(layout, out));
  return out;
}

/** An expert's record: recordLayout(shape). */
export function recordOf(shape: ExpertShape, data: ExpertData): Uint8Array {
  const { up, down, hidden: D, intermediate: F } = shape;
  const { bytes, downOffset } = recordLayout(shape);
  const record = new Uint8Array(bytes);
  record.set(panelsOf(up, alternate(data, D), 2 * F, D));
  record.set(panelsOf(down, data.w2, D, F), downOffset);
  return record;
}

/** y [T, D] += share * expert(x row) for rows `tokens` of x [T, D], by the plain kernels. */
export type HostExpert = (
  x: Float32Array,
  tokens: Uint32Array,
  shares: Float32Array,
  y: Float32Array,
  rule?: HostRule,
) => void;

export function hostExpert(shape: ExpertShape, data: ExpertData): HostExpert {
  const { hidden: D, intermediate: F } = shape;
  const scratch = new Scratch();
  const packed = (format: Format, matrix: Float32Array, rows: number, cols: number): Packed =>
    packedMatrix(panelLayout(format, rows, cols), rows, panelsOf(format, matrix, rows, cols));
  const up = packed(shape.up, alternate(data, D), 2 * F, D);
  const down = packed(shape.down, data.w2, D, F);
  return (x, tokens, shares, y, rule) => {
    const own = new Float32Array(tokens.length * D);
    for (const [i, t] of tokens.entries()) own.set(x.subarray(t * D, (t + 1) * D), i * D);
    const h = new Float32Array(tokens.length * F);
    expertUp(own, tokens.length, up, h, 0, F, scratch, rule?.gating);
    expertDown(h, tokens, shares, down, y, 0, D, scratch, rule?.down);
  };
}
