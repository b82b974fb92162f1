// Inputs of the tuner's problems: rows of activations, places for results, routes of tokens.

import { type GpuTensor, padded } from "../step/scratch.ts";
import type { Trial } from "./trial.ts";

/** Rows of activations [rows, D]. */
export function activations(trial: Trial, rows: number, D: number): GpuTensor {
  return { ...room(rows, D), buffer: trial.random(padded(D), D, rows) };
}

/** Room for results [rows, width]. */
export function results(trial: Trial, rows: number, width: number): GpuTensor {
  return { ...room(rows, width), buffer: trial.buffer(rows * padded(width) * 4) };
}

function room(rows: number, width: number): Omit<GpuTensor, "buffer"> {
  return { shape: [rows, width], stride: padded(width), rows: "tokens", type: "f32" };
}

/** The first n rows, or their norm: a tensor of its own each time. */
export function first({ norm, ...x }: GpuTensor, n: number): GpuTensor {
  const own = { ...x, shape: [n, x.shape[1]] } as const;
  return norm ? { ...own, norm: { ...norm, of: first(norm.of, n) } } : own;
}

/** K of E experts for each token, as if at random, and their weights. */
export function routes(trial: Trial, rows: number, K: number, E: number): { ids: GpuTensor; weights: GpuTensor } {
  const ids = new Uint32Array(rows * K);
  let seed = 7;
  for (let t = 0; t < rows; t++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const start = Math.floor((seed / 2 ** 32) * E);
    const step = E > 2 ? 1 + ((seed >>> 8) % (E - 1)) : 1;
    const chosen = new Set<number>();
    for (let i = 0; chosen.size < K; i++) chosen.add((start + (i < E ? i * step : i)) % E);
    ids.set([...chosen], t * K);
  }
  const list = { shape: [rows, K], stride: K, rows: "tokens" } as const;
  return {
    ids: { ...list, type: "u32", buffer: trial.filled(ids) },
    weights: { ...list, type: "f32", buffer: trial.filled(new Float32Array(rows * K).fill(1 / K)) },
  };
}
