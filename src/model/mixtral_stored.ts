// Mixtral's tensors in a folder that `hotset quantize` wrote: their names, order and sizes, for its writer and its reader.
//
// One shard a layer, whose experts come first, each one tensor of bytes: a record (tensor/record.ts) that starts at a
// multiple of a page. Other matrices are packed, in panels of eight rows, as tensors of bytes; norms and the router's gate are F32.

import { WeightsError } from "../errors.ts";
import { type Format, panelLayout } from "../tensor/format.ts";
import { type ExpertShape, recordLayout } from "../tensor/record.ts";
import { storedExpert, storedMatrix } from "../tensor/stored.ts";
import type { ExpertSource, MatrixSource, StoredBytes, WeightSource } from "../tensor/types.ts";
import type { MixtralSources } from "./mixtral.ts";
import type { MixtralConfig } from "./mixtral_config.ts";

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
    attnNorm: `${p}input_layernorm.weight`,
    ffnNorm: `${p}post_attention_layernorm.weight`,
  };
};

/** A tensor to be written, and what it is made of. */
export type StoredTensor = { readonly name: string; readonly shape: readonly number[] } & (
  | { readonly kind: "record"; readonly source: ExpertSource; readonly expert: ExpertShape }
  | { readonly kind: "panels"; readonly source: MatrixSource }
  | { readonly kind: "f32"; readonly source: MatrixSource }
);

function expertShape(c: MixtralConfig, format: Format): ExpertShape {
  return {
    count: c.num_local_experts,
    hidden: c.hidden_size,
    intermediate: c.intermediate_size,
    up: format,
    down: format,
  };
}

/** What is to be written, shard by shard: a layer each, then what is outside of the layers. */
export function storedShards(c: MixtralConfig, sources: MixtralSources, format: Format): StoredTensor[][] {
  const expert = expertShape(c, format);
  const record = (name: string, source: ExpertSource): StoredTensor => {
    return { kind: "record", name, shape: [recordLayout(expert).bytes], source, expert };
  };
  const panels = (name: string, source: MatrixSource): StoredTensor => {
    return { kind: "panels", name, shape: [panelLayout(format, source.rows, source.cols).bytes], source };
  };
  const vector = (name: string, source: MatrixSource): StoredTensor => {
    return { kind: "f32", name, shape: [c.hidden_size], source };
  };
  const layers = sources.layers.map((layer, i) => {
    const names = layerNames(i);
    return [
      ...layer.experts.map((source, e) => record(names.record(e), source)),
      panels(names.qkv, layer.qkv),
      panels(names.wo, layer.wo),
      { kind: "f32", name: names.gate, shape: [c.num_local_experts, c.hidden_size], source: layer.gate } as const,
      vector(names.attnNorm, layer.attnNorm),
      vector(names.ffnNorm, layer.ffnNorm),
    ];
  });
  const outer = [panels(EMBED, sources.embed), vector(NORM, sources.norm)];
  if (sources.head !== null) outer.push(panels(HEAD, sources.head));
  return [...layers, outer];
}

/**
 * Binds the tensors of such a folder.
 * @param check compares a tensor's shape with the one that config.json asks for
 * @throws WeightsError for a missing or a wrongly shaped tensor
 */
export function bindStored(
  c: MixtralConfig,
  format: Format,
  source: WeightSource,
  check: (name: string, shape: readonly number[]) => void,
): MixtralSources {
  const { hidden_size: D, num_local_experts: E } = c;
  const q = c.num_attention_heads * c.head_dim;
  const kv = c.num_key_value_heads * c.head_dim;
  const expert = expertShape(c, format);
  const bytes = (name: string, size: number): StoredBytes => {
    check(name, [size]);
    const stored = source.bytes?.(name);
    if (stored === undefined)
      throw new WeightsError(
        `${source.label}: config.json says that weights are quantized, and there are no files of them`,
      );
    return stored;
  };
  const panels = (name: string, rows: number, cols: number): MatrixSource => {
    const stored = bytes(name, panelLayout(format, rows, cols).bytes);
    return storedMatrix(name, rows, cols, { format, bytes: stored.bytes, read: stored.read.bind(stored) });
  };
  const plain = (name: string, ...shape: number[]): MatrixSource => {
    check(name, shape);
    return source.matrix(name);
  };
  return {
    embed: panels(EMBED, c.vocab_size, D),
    norm: plain(NORM, D),
    head: c.tie_word_embeddings ? null : panels(HEAD, c.vocab_size, D),
    layers: Array.from({ length: c.num_hidden_layers }, (_, i) => {
      const names = layerNames(i);
      return {
        attnNorm: plain(names.attnNorm, D),
        qkv: panels(names.qkv, q + 2 * kv, D),
        wo: panels(names.wo, D, q),
        ffnNorm: plain(names.ffnNorm, D),
        gate: plain(names.gate, E, D),
        experts: Array.from({ length: E }, (_, e) => {
          const name = names.record(e);
          const stored = bytes(name, recordLayout(expert).bytes);
          const read = stored.read.bind(stored);
          return storedExpert(name, expert, { up: format, down: format, bytes: stored.bytes, read });
        }),
      };
    }),
  };
}
