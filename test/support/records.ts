// Experts as records (src/tensor/blocks.ts) made by the plain definitions, and what the host computes of one with plain kernels.

import { expertDown } from "../../kernels/expert_down.ts";
import { expertUp } from "../../kernels/expert_up.ts";
import { interleave } from "../../kernels/interleave.ts";
import { type Packed, packedViews } from "../../kernels/packed.ts";
import { Scratch } from "../../kernels/scratch.ts";
import { blockLayout, type ExpertShape, recordLayout } from "../../src/tensor/blocks.ts";
import { packedLayout } from "../../src/tensor/pack.ts";
import type { Precision } from "../../src/tensor/types.ts";
import { type ExpertData, packMatrix } from "./memory_source.ts";

/** w1 and w3 [F, D] -> [2F, D], rows w1_0, w3_0, w1_1, ... */
function alternate({ w1, w3 }: ExpertData, D: number): Float32Array {
  const both = new Float32Array(2 * w1.length);
  for (let at = 0; at < w1.length; at += D) {
    both.set(w1.subarray(at, at + D), 2 * at);
    both.set(w3.subarray(at, at + D), 2 * at + D);
  }
  return both;
}

/** `data` [rows, cols] in blocks of eight rows. */
export function blocksOf(precision: Precision, data: Float32Array, rows: number, cols: number): Uint8Array {
  const plain = packMatrix(precision, data, rows, cols);
  const { groups, rowBytes, scaleOffset, bytes } = packedLayout(precision, rows, cols);
  const layout = blockLayout(precision, rows, cols);
  const out = new Uint8Array(layout.bytes);
  const scaled = bytes > scaleOffset ? groups : 0;
  const planes = (block: Uint8Array, at: number) => ({
    quants: new Uint32Array(block.buffer, 0, at / 4),
    scales: new Uint16Array(block.buffer, at, (block.length - at) / 2),
  });
  const flip = precision === "q8" ? 0x80808080 : 0;
  const to = planes(out, layout.scaleOffset);
  interleave(planes(plain, scaleOffset), rowBytes / 4, scaled, 0, 1, flip, to, 0, rows);
  return out;
}

/** An expert's record: recordLayout(shape). */
export function recordOf(shape: ExpertShape, data: ExpertData): Uint8Array {
  const { precision, hidden: D, intermediate: F } = shape;
  const { bytes, downOffset } = recordLayout(shape);
  const record = new Uint8Array(bytes);
  record.set(blocksOf(precision, alternate(data, D), 2 * F, D));
  record.set(blocksOf(precision, data.w2, D, F), downOffset);
  return record;
}

/** y [T, D] += share * expert(x row) for rows `tokens` of x [T, D], by the plain kernels. */
export type HostExpert = (x: Float32Array, tokens: Uint32Array, shares: Float32Array, y: Float32Array) => void;

export function hostExpert({ precision, hidden: D, intermediate: F }: ExpertShape, data: ExpertData): HostExpert {
  const scratch = new Scratch();
  const packed = (matrix: Float32Array, rows: number, cols: number): Packed =>
    packedViews(packMatrix(precision, matrix, rows, cols).buffer, packedLayout(precision, rows, cols));
  const up = packed(alternate(data, D), 2 * F, D);
  const down = packed(data.w2, D, F);
  return (x, tokens, shares, y) => {
    const own = new Float32Array(tokens.length * D);
    for (const [i, t] of tokens.entries()) own.set(x.subarray(t * D, (t + 1) * D), i * D);
    const h = new Float32Array(tokens.length * F);
    expertUp(own, tokens.length, up, h, 0, F, scratch);
    expertDown(h, tokens, shares, down, y, 0, D, scratch);
  };
}
