// Helpers to write one step over a backend: batches with defaults, and tensors made of numbers.

import { FORMATS } from "../../kernels/formats/index.ts";
import type { Attention, Batch, Matrix, Ops } from "../../src/backend/ops.ts";
import type { Format } from "../../src/tensor/format.ts";
import { memorySource } from "./memory_source.ts";
import { FLOAT_NMSE, HALF_NMSE, INT8_NMSE, inverseFrequencies } from "./reference.ts";

/** 0, 1, ... n - 1. */
export function range(n: number): Uint32Array {
  return Uint32Array.from({ length: n }, (_, i) => i);
}

/**
 * T tokens 0..T-1 of one sequence at positions 0..T-1, only the last one an
 * output; `parts` overrides.
 */
export function batchOf(T: number, parts: Partial<Batch> = {}): Batch {
  return {
    tokens: range(T),
    positions: range(T),
    sequence: new Uint32Array(T),
    tables: [range(Math.ceil(T / 16))],
    outputs: Uint32Array.of(T - 1),
    ...parts,
  };
}

/** Attention of most models, with RoPE over the whole head; `parts` overrides. */
export function attentionOf(
  heads: number,
  kvHeads: number,
  headDim: number,
  parts: Partial<Attention> = {},
): Attention {
  const rope = { inverse: inverseFrequencies(1e6, headDim), factor: 1 };
  return {
    heads,
    kvHeads,
    headDim,
    scale: 1 / Math.sqrt(headDim),
    window: null,
    rope,
    qkNorm: null,
    sinks: null,
    ...parts,
  };
}

/**
 * `x` [n, D] as an f32 embedding table: embedding the tokens 0..T-1 makes its first T
 * rows a tensor.
 */
export function inputTable(ops: Ops, x: Float32Array, D: number): Promise<Matrix> {
  return ops.loadMatrix(memorySource("input", x, x.length / D, D), FORMATS.f32);
}

/**
 * The error that a backend's matrix products may have: larger if they may be computed in f16, and
 * if activations are rounded to int8.
 */
export function allowedNmse({ info }: Ops, { arithmetics }: Format): number {
  if (arithmetics.includes("int8") && info.features.includes("int8-activations")) return INT8_NMSE;
  return info.features.includes("shader-f16") ? HALF_NMSE : FLOAT_NMSE;
}
