// The tensors of packed folders: their names, order and sizes, for the writer and the reader.
//
// One shard a layer, whose experts come first, each one tensor of bytes: a record
// (tensor/record.ts) that starts at a multiple of a page. Other matrices are packed, in panels
// of eight rows, as tensors of bytes; norms and the router's gate are F32. Names are the same
// for all families.

import { WeightsError } from "../errors.ts";
import { type Format, panelLayout } from "../tensor/format.ts";
import { type ExpertShape, recordLayout } from "../tensor/record.ts";
import { storedExpert, storedMatrix } from "../tensor/stored.ts";
import type { ExpertSource, MatrixSource } from "../tensor/types.ts";
import { biased, takeNorm } from "./bias.ts";
import type { CheckedTake } from "./checked_take.ts";
import {
  type Architecture,
  type Biased,
  type FfnBiases,
  inputRows,
  type LatentSources,
  type LayerSources,
  type ModelSources,
  outputCols,
  type RecurrenceSources,
} from "./family.ts";
import { expertShape, type FormatPlan, ffnFormats, formatsText, qkvFormats, runsOf } from "./formats.ts";
import { expertOrders, orderIn } from "./input_order.ts";
import { convChannels, type Recurrence } from "./recurrence_shape.ts";
import { concatRows } from "./sources.ts";
import type { StoredFormats, StoredLayer } from "./stored_formats.ts";
import { latentFormats, latentFromStored, storedLatent } from "./stored_latent.ts";
import { EMBED, HEAD, HEAD_BIAS, HEAD_ORDER, layerNames, NORM } from "./stored_names.ts";
import { inOrder, type Orders, storedOrders } from "./stored_orders.ts";

/** A tensor to write, and its sources. */
export type StoredTensor = { readonly name: string; readonly shape: readonly number[] } & (
  | { readonly kind: "record"; readonly source: ExpertSource; readonly expert: ExpertShape }
  | { readonly kind: "panels"; readonly source: MatrixSource; readonly format: Format }
  | { readonly kind: "f32"; readonly source: MatrixSource }
  | { readonly kind: "order"; readonly lists: Uint32Array }
);

/** The formats of a folder to write. */
export function plannedFormats(sources: ModelSources, plan: FormatPlan): StoredFormats {
  const { embed, head } = sources;
  const layers = sources.layers.map((layer, i): StoredLayer => {
    const [q, k = q, v = q] = qkvFormats(layer, plan, i) as [Format, Format?, Format?];
    const { experts, ffn, latent, outGate } = layer;
    const routed = experts.length > 0 ? expertShape(layer, plan, i) : null;
    const own = ffn && ffnFormats(ffn, plan, i);
    return {
      ...(latent ? latentFormats(latent, plan, i) : { q, k, v }),
      o: plan(layer.wo, "o", i),
      ...(outGate && { outGate: plan(outGate, "outGate", i) }),
      ...(routed && { up: routed.up, down: routed.down }),
      ...(own && { ffnUp: own.up, ffnDown: own.down }),
    };
  });
  const own = plan(embed, "embed", -1);
  return {
    text: formatsText(sources, plan),
    embed: own,
    head: head ? plan(head, "head", -1) : own,
    layer: (i) => layers[i]!,
  };
}

/** The tensors of each shard: one shard a layer, then one for the tensors outside of layers. */
export function storedShards(sources: ModelSources, stored: StoredFormats): StoredTensor[][] {
  const record = (name: string, source: ExpertSource, expert: ExpertShape): StoredTensor => {
    return { kind: "record", name, shape: [recordLayout(expert).bytes], source, expert };
  };
  const packed = (name: string, source: MatrixSource, format: Format): StoredTensor => {
    return { kind: "panels", name, shape: [panelLayout(format, source.rows, source.cols).bytes], source, format };
  };
  const matrix = (name: string, source: MatrixSource): StoredTensor => {
    return { kind: "f32", name, shape: [source.rows, source.cols], source };
  };
  const vector = (name: string, source: MatrixSource): StoredTensor => {
    return { kind: "f32", name, shape: [source.rows * source.cols], source };
  };
  const ordered = (name: string, lists: Uint32Array | null | undefined): StoredTensor[] => {
    return lists ? [{ kind: "order", name, shape: [4 * lists.length], lists }] : [];
  };
  const bias = (name: string, { bias }: MatrixSource): StoredTensor[] => (bias ? [vector(name, bias)] : []);
  const norm = (name: string, source: MatrixSource): StoredTensor[] => {
    return [vector(`${name}.weight`, source), ...bias(`${name}.bias`, source)];
  };
  const both = (up: string, down: string, of: FfnBiases) => [vector(up, of.up), vector(down, of.down)];
  const layers = sources.layers.map((layer, i) => {
    const names = layerNames(i);
    const { gate, gateBias, qkNorm, experts, expertBiases, ffn, qkv, wo, sinks, outGate, recurrence } = layer;
    const { q, k, v, o, up, down, ffnUp, ffnDown, ...formats } = stored.layer(i);
    const { conv, delta } = recurrence ?? {};
    const of = ({ w1 }: ExpertSource, up: Format | undefined, down: Format | undefined): ExpertShape => {
      return { count: experts.length, hidden: w1.cols, intermediate: w1.rows, up: up!, down: down! };
    };
    const projections = runsOf(layer.latent ? [] : [q, k, v]).flatMap(({ format, first, end }) => {
      const name = names.qkv(first, end);
      const joined = concatRows(name, qkv.slice(first, end));
      return [packed(name, joined, format), ...bias(names.qkvBias(first, end), joined)];
    });
    return [
      ...experts.map((source, e) => record(names.record(e), source, of(source, up, down))),
      ...(ffn ? [record(names.ffn, ffn, of(ffn, ffnUp, ffnDown))] : []),
      ...projections,
      ...(layer.latent ? storedLatent(names.prefix, layer.latent, stored.layer(i), packed, vector) : []),
      packed(names.wo, wo, o),
      ...bias(names.woBias, wo),
      ...(outGate ? [packed(names.outGate, outGate, formats.outGate!), ...bias(names.outGateBias, outGate)] : []),
      ...(conv ? [vector(names.conv, conv)] : []),
      ...(delta ? [matrix(names.deltaGates, delta.gates)] : []),
      ...(delta ? (["aLog", "dtBias", "norm"] as const).map((name) => vector(names.delta(name), delta[name])) : []),
      ...ordered(names.qkvOrder, qkv[0] && orderIn(qkv[0], q)),
      ...ordered(names.woOrder, orderIn(wo, o)),
      ...ordered(names.gateOrder, outGate && orderIn(outGate, formats.outGate!)),
      ...ordered(names.expertOrders, up && expertOrders(experts, up)),
      ...ordered(names.ffnOrder, ffn && orderIn(ffn.w1, ffnUp!)),
      ...(gate ? [matrix(names.gate, gate), ...bias(names.logitsBias, gate)] : []),
      ...(ffn?.gate ? [matrix(names.ffnGate, ffn.gate)] : []),
      ...norm(names.attnNorm, layer.attnNorm),
      ...norm(names.ffnNorm, layer.ffnNorm),
      ...(qkNorm ? [vector(names.qNorm, qkNorm.q), vector(names.kNorm, qkNorm.k)] : []),
      ...(gateBias ? [vector(names.gateBias, gateBias)] : []),
      ...(expertBiases ? both(names.expertUpBias, names.expertDownBias, expertBiases) : []),
      ...(ffn?.biases ? both(names.ffnUpBias, names.ffnDownBias, ffn.biases) : []),
      ...(sinks ? [vector(names.sinks, sinks)] : []),
    ];
  });
  const { embed } = sources;
  const outer = [packed(EMBED, embed, stored.embed), ...bias(HEAD_BIAS, embed), ...norm(NORM, sources.norm)];
  const { head } = sources;
  if (head !== null)
    outer.push(
      packed(HEAD, head, stored.head),
      ...bias(HEAD_BIAS, head),
      ...ordered(HEAD_ORDER, orderIn(head, stored.head)),
    );
  return [...layers, outer];
}

/** The sources of a packed folder. @throws WeightsError for a missing tensor or a wrong shape */
export function storedSources(a: Architecture, stored: StoredFormats, take: CheckedTake): ModelSources {
  const { hidden: D, vocab: V } = a;
  const packed = (name: string, rows: number, cols: number, format: Format): MatrixSource =>
    storedMatrix(name, rows, cols, { format, ...take.bytes(name, panelLayout(format, rows, cols).bytes) });
  const latentOf = (i: number, layer: Parameters<typeof latentFromStored>[2]): LatentSources => {
    const { absorb = missing(i, "absorb"), qb, ...formats } = stored.layer(i);
    if (layer.latent.rank !== null && !qb) missing(i, "qb");
    const own = { ...formats, absorb, ...(qb && { qb }) };
    return latentFromStored(layerNames(i).prefix, a, layer, own, packed, (name, size) => take.matrix(name, size));
  };
  const withBias = (matrix: MatrixSource, of: Biased, name: string): MatrixSource =>
    a.biases?.includes(of) ? biased(matrix, take.matrix(name, matrix.rows)) : matrix;
  const both = (up: string, down: string, count: number, F: number): FfnBiases => {
    return { up: take.matrix(up, count * 2 * F), down: take.matrix(down, count * D) };
  };
  const ordersOf = (name: string, count: number, cols: number): Orders => storedOrders(take, name, count, cols);
  const embed = packed(EMBED, V, D, stored.embed);
  return {
    embed: a.tied ? withBias(embed, "head", HEAD_BIAS) : embed,
    norm: takeNorm(a, take, NORM),
    head: a.tied
      ? null
      : inOrder(withBias(packed(HEAD, V, D, stored.head), "head", HEAD_BIAS), ordersOf(HEAD_ORDER, 1, D)),
    layers: a.layers.map((layer, i): LayerSources => {
      const { attention, latent, recurrence, gated, qkNorm, sinks, experts, dense, shared } = layer;
      const names = layerNames(i);
      const { q, k, v, o, ...formats } = stored.layer(i);
      /** A record of an expert of these sizes, whose inputs may have an order of their own. */
      const record = (
        name: string,
        F: number,
        roles: readonly ["up" | "ffnUp", "down" | "ffnDown"],
        orders: Orders,
        e = 0,
      ) => {
        const [up, down] = roles.map((role) => formats[role] ?? missing(i, role)) as [Format, Format];
        const shape = { count: 1, hidden: D, intermediate: F, up, down };
        const stored = storedExpert(name, shape, { up, down, ...take.bytes(name, recordLayout(shape).bytes) });
        return { ...stored, w1: inOrder(stored.w1, orders, e), w3: inOrder(stored.w3, orders, e) };
      };
      const cols = outputCols(layer, D);
      // Of a recurrence: one matrix.
      const { headDim = 0, kvHeads = 0 } = attention ?? {};
      const parts = attention ? [cols, kvHeads * headDim, kvHeads * headDim] : [inputRows(layer, D), 0, 0];
      const norm = (name: string, whole: number) => take.matrix(name, qkNorm === "whole" ? whole : headDim);
      const qkvOrder = ordersOf(names.qkvOrder, 1, D);
      const orders = experts && ordersOf(names.expertOrders, experts.count, D);
      const ffn = dense ?? shared;
      // A recurrence's products have no biases.
      const added = attention ? withBias : (matrix: MatrixSource) => matrix;
      return {
        attnNorm: takeNorm(a, take, names.attnNorm),
        ...(latent && { latent: latentOf(i, { attention: attention!, latent }) }),
        qkv: runsOf(latent ? [] : [q, k, v]).map(({ format, first, end }) => {
          const rows = parts.slice(first, end).reduce((sum, n) => sum + n, 0);
          const joined = packed(names.qkv(first, end), rows, D, format);
          return inOrder(added(joined, "qkv", names.qkvBias(first, end)), qkvOrder);
        }),
        qkNorm: qkNorm && { q: norm(names.qNorm, cols), k: norm(names.kNorm, parts[1]!) },
        wo: inOrder(added(packed(names.wo, D, cols, o), "o", names.woBias), ordersOf(names.woOrder, 1, cols)),
        ...(gated && {
          outGate: inOrder(
            added(packed(names.outGate, cols, D, formats.outGate ?? missing(i, "outGate")), "qkv", names.outGateBias),
            ordersOf(names.gateOrder, 1, D),
          ),
        }),
        ...(recurrence && { recurrence: storedRecurrence(recurrence, names, D, take) }),
        ffnNorm: takeNorm(a, take, names.ffnNorm),
        gate: experts && withBias(take.matrix(names.gate, experts.count, D), "gate", names.logitsBias),
        gateBias: experts?.biased ? take.matrix(names.gateBias, experts.count) : null,
        ...(sinks && { sinks: take.matrix(names.sinks, attention!.heads) }),
        ...(experts &&
          a.biases?.includes("experts") && {
            expertBiases: both(names.expertUpBias, names.expertDownBias, experts.count, experts.intermediate),
          }),
        experts: Array.from({ length: experts?.count ?? 0 }, (_, e) =>
          record(names.record(e), experts!.intermediate, ["up", "down"], orders, e),
        ),
        ffn: ffn && {
          ...record(names.ffn, ffn.intermediate, ["ffnUp", "ffnDown"], ordersOf(names.ffnOrder, 1, D)),
          gate: shared?.gated ? take.matrix(names.ffnGate, 1, D) : null,
          ...(a.biases?.includes("ffn") && { biases: both(names.ffnUpBias, names.ffnDownBias, 1, ffn.intermediate) }),
        },
      };
    }),
  };
}

function storedRecurrence(
  recurrence: Recurrence,
  names: ReturnType<typeof layerNames>,
  D: number,
  take: CheckedTake,
): RecurrenceSources {
  const conv = take.matrix(names.conv, recurrence.taps * convChannels(recurrence, D));
  if (recurrence.kind === "conv") return { conv };
  const { valueHeads, valueDim } = recurrence.shape;
  const [aLog, dtBias] = (["aLog", "dtBias"] as const).map((name) => take.matrix(names.delta(name), valueHeads));
  const gates = take.matrix(names.deltaGates, 2 * valueHeads, D);
  const norm = take.matrix(names.delta("norm"), valueDim);
  return { conv, delta: { gates, aLog: aLog!, dtBias: dtBias!, norm } };
}

function missing(layer: number, role: string): never {
  throw new WeightsError(
    `config.json: quantization_config: formats: layers[${layer}]: ${role} is missing, and the layer has such weights; quantize the original again`,
  );
}
