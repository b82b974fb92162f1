// The tensors of packed folders: their names, order and sizes, for the writer and the reader.
//
// One shard a layer, whose experts come first, each one tensor of bytes: a record
// (tensor/record.ts) that starts at a multiple of a page. Other matrices are packed, in panels
// of eight rows, as tensors of bytes; norms and the router's gate are F32. Names are the same
// for all families.

import { type Format, panelLayout } from "../tensor/format.ts";
import { type ExpertShape, recordLayout } from "../tensor/record.ts";
import { storedExpert, storedMatrix } from "../tensor/stored.ts";
import type { ExpertSource, MatrixSource } from "../tensor/types.ts";
import { type Architecture, expertShape, type LayerSources, type ModelSources } from "./family.ts";
import { type CheckedTake, concatRows } from "./sources.ts";

const EMBED = "model.embed_tokens.blocks";
const NORM = "model.norm.weight";
const HEAD = "lm_head.blocks";
const layerNames = (i: number) => {
  const p = `model.layers.${i}.`;
  return {
    record: (e: number) => `${p}block_sparse_moe.experts.${e}.record`,
    qkv: `${p}self_attn.qkv_proj.blocks`, // rows of q, then k, then v
    wo: `${p}self_attn.o_proj.blocks`,
    gate: `${p}block_sparse_moe.gate.weight`,
    gateBias: `${p}block_sparse_moe.gate.bias`,
    attnNorm: `${p}input_layernorm.weight`,
    ffnNorm: `${p}post_attention_layernorm.weight`,
    qNorm: `${p}self_attn.q_norm.weight`,
    kNorm: `${p}self_attn.k_norm.weight`,
  };
};

/** A tensor to write, and its sources. */
export type StoredTensor = { readonly name: string; readonly shape: readonly number[] } & (
  | { readonly kind: "record"; readonly source: ExpertSource; readonly expert: ExpertShape }
  | { readonly kind: "panels"; readonly source: MatrixSource }
  | { readonly kind: "f32"; readonly source: MatrixSource }
);

/** The tensors of each shard: one shard a layer, then one for the tensors outside of layers. */
export function storedShards(sources: ModelSources, format: Format): StoredTensor[][] {
  const record = (name: string, source: ExpertSource, expert: ExpertShape): StoredTensor => {
    return { kind: "record", name, shape: [recordLayout(expert).bytes], source, expert };
  };
  const packed = (name: string, source: MatrixSource): StoredTensor => {
    return { kind: "panels", name, shape: [panelLayout(format, source.rows, source.cols).bytes], source };
  };
  const vector = (name: string, source: MatrixSource): StoredTensor => {
    return { kind: "f32", name, shape: [source.rows * source.cols], source };
  };
  const layers = sources.layers.map((layer, i) => {
    const names = layerNames(i);
    const { gate, gateBias, qkNorm } = layer;
    const expert = expertShape(layer, format);
    return [
      ...layer.experts.map((source, e) => record(names.record(e), source, expert)),
      packed(names.qkv, concatRows(names.qkv, layer.qkv)),
      packed(names.wo, layer.wo),
      { kind: "f32", name: names.gate, shape: [gate.rows, gate.cols], source: gate } as const,
      vector(names.attnNorm, layer.attnNorm),
      vector(names.ffnNorm, layer.ffnNorm),
      ...(qkNorm ? [vector(names.qNorm, qkNorm.q), vector(names.kNorm, qkNorm.k)] : []),
      ...(gateBias ? [vector(names.gateBias, gateBias)] : []),
    ];
  });
  const outer = [packed(EMBED, sources.embed), vector(NORM, sources.norm)];
  if (sources.head !== null) outer.push(packed(HEAD, sources.head));
  return [...layers, outer];
}

/** The sources of a packed folder. @throws WeightsError for a missing tensor or a wrong shape */
export function storedSources(a: Architecture, format: Format, take: CheckedTake): ModelSources {
  const { hidden: D, vocab: V } = a;
  const packed = (name: string, rows: number, cols: number): MatrixSource =>
    storedMatrix(name, rows, cols, { format, ...take.bytes(name, panelLayout(format, rows, cols).bytes) });
  return {
    embed: packed(EMBED, V, D),
    norm: take.matrix(NORM, D),
    head: a.tied ? null : packed(HEAD, V, D),
    layers: a.layers.map(({ attention, qkNorm, experts }, i): LayerSources => {
      const names = layerNames(i);
      const { count, intermediate } = experts;
      const expert = { count, hidden: D, intermediate, up: format, down: format };
      const q = attention.heads * attention.headDim;
      const kv = attention.kvHeads * attention.headDim;
      const norm = (name: string, whole: number) => take.matrix(name, qkNorm === "whole" ? whole : attention.headDim);
      return {
        attnNorm: take.matrix(names.attnNorm, D),
        qkv: [packed(names.qkv, q + 2 * kv, D)],
        qkNorm: qkNorm && { q: norm(names.qNorm, q), k: norm(names.kNorm, kv) },
        wo: packed(names.wo, D, q),
        ffnNorm: take.matrix(names.ffnNorm, D),
        gate: take.matrix(names.gate, count, D),
        gateBias: experts.score === "sigmoid" ? take.matrix(names.gateBias, count) : null,
        experts: Array.from({ length: count }, (_, e) => {
          const name = names.record(e);
          return storedExpert(name, expert, {
            up: format,
            down: format,
            ...take.bytes(name, recordLayout(expert).bytes),
          });
        }),
      };
    }),
  };
}
