// The parameters of a model and the memory it needs, counted from its sources.

import { FORMATS } from "../../kernels/formats/index.ts";
import { contentBytes, layersOf, paddedHead, rowOf } from "../backend/kv_block.ts";
import type { KvGeometry, KvPrecision } from "../backend/ops.ts";
import { panelLayout } from "../tensor/format.ts";
import type { ExpertSource, MatrixSource } from "../tensor/types.ts";
import {
  type Architecture,
  inputRows,
  kvGeometry,
  type LayerArchitecture,
  type LayerSources,
  type ModelSources,
  outputCols,
} from "./family.ts";
import { bytesOf, type FormatPlan, heldMatrices } from "./formats.ts";
import { orderBytes } from "./input_order.ts";
import { latentValues, latentVectors } from "./latent.ts";

/** Bytes that a model's weights need in memory. */
export interface Footprint {
  /** All weights; router and norms stay f32. */
  readonly weights: number;
  /** The part of them that is not in a router's experts: always in memory. */
  readonly dense: number;
}

/** A layer's vectors, which stay f32. */
const vectorsOf = (layer: LayerSources) => {
  const { attnNorm, ffnNorm, qkNorm, latent, recurrence, gateBias, qkv, wo, outGate, gate, sinks, expertBiases, ffn } =
    layer;
  const inner = latent ? latentVectors(latent) : qkNorm ? [qkNorm.q, qkNorm.k] : [];
  const { conv, delta } = recurrence ?? {};
  const own = [...(conv ? [conv] : []), ...(delta ? [delta.aLog, delta.dtBias, delta.norm] : [])];
  const norms = [attnNorm, ffnNorm, ...inner, ...own];
  const pairs = [expertBiases, ffn?.biases].flatMap((both) => (both ? [both.up, both.down] : []));
  const added = [...pairs, ...(sinks ? [sinks] : [])];
  const biases = biasesOf([attnNorm, ffnNorm, ...qkv, wo, gate, outGate].flatMap((one) => one ?? []));
  return [...norms, ...added, ...(gateBias ? [gateBias] : []), ...biases];
};

const biasesOf = (matrices: readonly MatrixSource[]) => matrices.flatMap(({ bias }) => bias ?? []);

/** A layer's gates, of its router, its shared experts and its delta rule, which stay f32 too. */
const gatesOf = ({ gate, ffn, recurrence }: LayerSources) =>
  [gate, ffn?.gate, recurrence?.delta?.gates].flatMap((one) => one ?? []);

export function footprintOf(sources: ModelSources, plan: FormatPlan): Footprint {
  const vector = ({ rows, cols }: MatrixSource): number => 4 * rows * cols;
  const matrices = heldMatrices(sources, plan);
  const experts = matrices.filter(({ role }) => role === "up" || role === "down");
  const gate = ({ rows, cols }: MatrixSource): number => panelLayout(FORMATS.f32, rows, cols).bytes;
  const own = sum(sources.layers, (layer) => sum(gatesOf(layer), gate) + sum(vectorsOf(layer), vector));
  const { embed, norm, head } = sources;
  const outer = sum([norm, ...biasesOf([norm, head ?? embed])], vector);
  const weights = sum(matrices, bytesOf) + own + outer + orderBytes(sources, plan);
  return { weights, dense: weights - sum(experts, bytesOf) };
}

/** Parameters of the whole model, and those that one token uses. */
export function parametersOf(a: Architecture, { embed, norm, head, layers }: ModelSources) {
  const values = ({ rows, cols }: MatrixSource): number => rows * cols;
  const expert = ({ w1, w2, w3 }: ExpertSource): number => values(w1) + values(w2) + values(w3);
  const outer = head ? [norm, head] : [norm];
  const dense = sum([embed, ...outer, ...biasesOf([norm, head ?? embed])], values);
  const own = sum(layers, (layer) => {
    const { qkv, wo, outGate, ffn, latent } = layer;
    const others = (ffn ? expert(ffn) : 0) + (latent ? latentValues(latent) : 0) + (outGate ? values(outGate) : 0);
    return sum([...qkv, wo, ...gatesOf(layer), ...vectorsOf(layer)], values) + others;
  });
  const unused = sum(layers, ({ experts: [first], expertBiases }, i) => {
    if (!first) return 0;
    const { count, perToken } = a.layers[i]!.experts!;
    const biases = expertBiases ? (values(expertBiases.up) + values(expertBiases.down)) / count : 0;
    return (count - perToken) * (expert(first) + biases);
  });
  const total = dense + own + sum(layers, (layer) => sum(layer.experts, expert));
  return { total, active: total - unused };
}

/**
 * Bytes of keys and values of `positions` of them in the layers that keep all, and in those with
 * windows. @param webgpu in a store there
 */
export function kvBlockBytes(geometry: KvGeometry, precision: KvPrecision, positions: number, webgpu = false) {
  const { full, windowed } = layersOf(geometry);
  const headDim = webgpu ? paddedHead(geometry.headDim) : geometry.headDim;
  const of = (layers: readonly number[]): number =>
    contentBytes({ ...geometry, headDim, layers: layers.length }, precision, positions);
  return { blockBytes: of(full), paneBytes: of(windowed) };
}

/** Bytes of the states of one sequence. */
export function stateBytes(a: Architecture): number {
  return 4 * sum(kvGeometry(a).states ?? [], (values) => values);
}

/**
 * The most values that a token of a step needs at once: residual, norm and sums [D], q, k, v and
 * the result of attention, gate/up and down of K experts and of shared ones, and the inputs of
 * those that have orders; with latent attention the queries before they are absorbed too, and its
 * result before it is expanded.
 */
export function valuesPerToken({ hidden: D, layers }: Architecture, sources: ModelSources): number {
  const all = layers.map((layer, i) => {
    const { attention, latent, experts, dense, shared, gated } = layer;
    // q, k and v and the result of attention, each once more where the layer has neither.
    const own = attention ? mixedValues(attention, latent) : 2 * inputRows(layer, D);
    const mixed = own + outputCols(layer, D) * (gated ? 2 : 1);
    const ordered = sources.layers[i]!.experts.some(({ w1 }) => w1.order) ? D : 0;
    const routed = experts ? experts.perToken * (experts.intermediate + D + ordered) : 0;
    const ffn = dense ?? shared;
    return 4 * D + mixed + routed + (ffn ? ffn.intermediate + D : 0);
  });
  return Math.max(...all);
}

/**
 * Values that the last layer takes for a row whose logits are read, where results of rows that are
 * outputs have places of their own; with the logits that are read.
 */
export function valuesPerOutput({ hidden: D, vocab, layers }: Architecture): number {
  const { experts, dense, shared } = layers.at(-1)!;
  const routed = experts ? experts.perToken * (experts.intermediate + D) : 0;
  const ffn = dense ?? shared;
  return vocab + 4 * D + routed + (ffn ? ffn.intermediate + D : 0);
}

/** q, k and v before and after norms and RoPE, and with a latent what they are made of. */
function mixedValues(
  attention: NonNullable<LayerArchitecture["attention"]>,
  latent: LayerArchitecture["latent"],
): number {
  const { q, width, valueDim } = rowOf(attention);
  return 2 * width + (latent ? (latent.rank ?? 0) + q + attention.headDim + attention.heads * valueDim : 0);
}

function sum<T>(all: readonly T[], of: (one: T, index: number) => number): number {
  return all.reduce((total, one, i) => total + of(one, i), 0);
}
