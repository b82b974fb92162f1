// Mixtral's tensors in a folder that `hotset quantize` wrote: their names, order and sizes, for its writer and its reader.
//
// One shard a layer, whose experts come first, each one tensor of bytes: a record (tensor/blocks.ts) that starts at a
// multiple of a page. Other matrices are blocks of eight rows, as tensors of bytes; norms and the router's gate are F32.

import { WeightsError } from "../errors.ts";
import { blockLayout, type ExpertShape, recordLayout } from "../tensor/blocks.ts";
import { storedExpert, storedMatrix } from "../tensor/stored.ts";
import type { ExpertSource, MatrixSource, Precision, StoredBlocks, WeightSource } from "../tensor/types.ts";
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
  | { readonly kind: "blocks"; readonly source: MatrixSource }
  | { readonly kind: "f32"; readonly source: MatrixSource }
);

function expertShape(c: MixtralConfig, precision: Precision): ExpertShape {
  return { count: c.num_local_experts, hidden: c.hidden_size, intermediate: c.intermediate_size, precision };
}

/** What is to be written, shard by shard: a layer each, then what is outside of the layers. */
export function storedShards(c: MixtralConfig, sources: MixtralSources, precision: Precision): StoredTensor[][] {
  const expert = expertShape(c, precision);
  const record = (name: string, source: ExpertSource): StoredTensor => {
    return { kind: "record", name, shape: [recordLayout(expert).bytes], source, expert };
  };
  const blocks = (name: string, source: MatrixSource): StoredTensor => {
    return { kind: "blocks", name, shape: [blockLayout(precision, source.rows, source.cols).bytes], source };
  };
  const vector = (name: string, source: MatrixSource): StoredTensor => {
    return { kind: "f32", name, shape: [c.hidden_size], source };
  };
  const layers = sources.layers.map((layer, i) => {
    const names = layerNames(i);
    return [
      ...layer.experts.map((source, e) => record(names.record(e), source)),
      blocks(names.qkv, layer.qkv),
      blocks(names.wo, layer.wo),
      { kind: "f32", name: names.gate, shape: [c.num_local_experts, c.hidden_size], source: layer.gate } as const,
      vector(names.attnNorm, layer.attnNorm),
      vector(names.ffnNorm, layer.ffnNorm),
    ];
  });
  const outer = [blocks(EMBED, sources.embed), vector(NORM, sources.norm)];
  if (sources.head !== null) outer.push(blocks(HEAD, sources.head));
  return [...layers, outer];
}

/**
 * Binds the tensors of such a folder.
 * @param check compares a tensor's shape with the one that config.json asks for
 * @throws WeightsError for a missing or a wrongly shaped tensor
 */
export function bindStored(
  c: MixtralConfig,
  precision: Precision,
  source: WeightSource,
  check: (name: string, shape: readonly number[]) => void,
): MixtralSources {
  const { hidden_size: D, num_local_experts: E } = c;
  const q = c.num_attention_heads * c.head_dim;
  const kv = c.num_key_value_heads * c.head_dim;
  const expert = expertShape(c, precision);
  const bytes = (name: string, size: number): StoredBlocks => {
    check(name, [size]);
    const stored = source.bytes?.(name);
    if (stored === undefined)
      throw new WeightsError(
        `${source.label}: config.json says that weights are quantized, and there are no files of them`,
      );
    return { precision, bytes: stored.bytes, read: stored.read.bind(stored) };
  };
  const blocks = (name: string, rows: number, cols: number): MatrixSource =>
    storedMatrix(name, rows, cols, bytes(name, blockLayout(precision, rows, cols).bytes));
  const plain = (name: string, ...shape: number[]): MatrixSource => {
    check(name, shape);
    return source.matrix(name);
  };
  return {
    embed: blocks(EMBED, c.vocab_size, D),
    norm: plain(NORM, D),
    head: c.tie_word_embeddings ? null : blocks(HEAD, c.vocab_size, D),
    layers: Array.from({ length: c.num_hidden_layers }, (_, i) => {
      const names = layerNames(i);
      return {
        attnNorm: plain(names.attnNorm, D),
        qkv: blocks(names.qkv, q + 2 * kv, D),
        wo: blocks(names.wo, D, q),
        ffnNorm: plain(names.ffnNorm, D),
        gate: plain(names.gate, E, D),
        experts: Array.from({ length: E }, (_, e) => {
          const name = names.record(e);
          return storedExpert(name, expert, bytes(name, recordLayout(expert).bytes));
        }),
      };
    }),
  };
}
