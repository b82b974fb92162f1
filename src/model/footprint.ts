// The parameters of a model and the memory it needs, counted from its sources.

import { FORMATS } from "../../kernels/formats/index.ts";
import { type Format, panelLayout } from "../tensor/format.ts";
import type { ExpertSource, MatrixSource } from "../tensor/types.ts";
import { type Architecture, kvGeometry, type LayerSources, type ModelSources } from "./family.ts";

/** Bytes that a model's weights need in memory. */
export interface Footprint {
  /** All weights; router and norms stay f32. */
  readonly weights: number;
  /** The part of them that is not in experts. */
  readonly dense: number;
}

/** A layer's vectors, which stay f32. */
const vectorsOf = ({ attnNorm, ffnNorm, qkNorm, gateBias }: Omit<LayerSources, "qkv" | "wo" | "gate">) => {
  return [attnNorm, ffnNorm, ...(qkNorm ? [qkNorm.q, qkNorm.k] : []), ...(gateBias ? [gateBias] : [])];
};

/** @param format of the matrices, except those that are stored in a format of their own */
export function footprintOf({ embed, norm, head, layers }: ModelSources, format: Format): Footprint {
  const matrix = (m: MatrixSource): number => panelLayout(m.format ?? format, m.rows, m.cols).bytes;
  const vector = ({ rows, cols }: MatrixSource): number => 4 * rows * cols;
  const expert = ({ w1, w2 }: ExpertSource): number =>
    panelLayout(w1.format ?? format, 2 * w1.rows, w1.cols).bytes + matrix(w2);
  const experts = sum(layers, (layer) => sum(layer.experts, expert));
  const own = sum(layers, ({ qkv, wo, gate, ...layer }) => {
    const router = panelLayout(FORMATS.f32, gate.rows, gate.cols).bytes;
    return sum(qkv, matrix) + matrix(wo) + router + sum(vectorsOf(layer), vector);
  });
  const dense = matrix(embed) + vector(norm) + (head ? matrix(head) : 0) + own;
  return { weights: dense + experts, dense };
}

/** Parameters of the whole model, and those that one token uses. */
export function parametersOf(a: Architecture, { embed, norm, head, layers }: ModelSources) {
  const values = ({ rows, cols }: MatrixSource): number => rows * cols;
  const expert = ({ w1, w2, w3 }: ExpertSource): number => values(w1) + values(w2) + values(w3);
  const dense = sum([embed, norm, ...(head ? [head] : [])], values);
  const own = sum(layers, (layer) => sum([...layer.qkv, layer.wo, layer.gate, ...vectorsOf(layer)], values));
  const all = sum(layers, (layer) => sum(layer.experts, expert));
  const used = sum(layers, (layer, i) => a.layers[i]!.experts.perToken * expert(layer.experts[0]!));
  return { total: dense + own + all, active: dense + own + used };
}

/** Bytes of keys and values of one position over all layers. */
export function kvBytesPerPosition(a: Architecture, precision: "f16" | "f32"): number {
  const { layers, kvHeads, headDim } = kvGeometry(a);
  return 2 * layers * kvHeads * headDim * (precision === "f32" ? 4 : 2);
}

/**
 * The most values that a token of a step needs at once: residual, norm and sums [D], q, k, v and
 * the result of attention, gate/up and down of K experts.
 */
export function valuesPerToken({ hidden: D, layers }: Architecture): number {
  const all = layers.map(({ attention: { heads, kvHeads, headDim }, experts: { perToken, intermediate } }) => {
    return 4 * D + 2 * (heads + kvHeads) * headDim + perToken * (intermediate + D);
  });
  return Math.max(...all);
}

function sum<T>(all: readonly T[], of: (one: T, index: number) => number): number {
  return all.reduce((total, one, i) => total + of(one, i), 0);
}
