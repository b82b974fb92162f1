// A small model in the model hub's names and order, and the GGUF file that llama.cpp's converter
// makes of it.

import { type Given, ggufFile, type MadeTensor } from "./make_gguf.ts";

export const D = 32;
export const HEADS = 4;
export const KV_HEADS = 2;
export const HEAD_DIM = 8;
export const EXPERTS = 3;
export const F = 64;
export const VOCAB = 5;

export type Checkpoint = ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: Float32Array }>;
type Key = readonly [string, Given];

/** Weights are all different: a running number. */
export function checkpoint(moe = "block_sparse_moe.", names = ["w1", "w3", "w2"], tied = false): Checkpoint {
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  let next = 1;
  const add = (name: string, ...shape: number[]): void => {
    const size = shape.reduce((product, n) => product * n, 1);
    tensors.set(name, { shape, data: Float32Array.from({ length: size }, () => next++ / 64) });
  };
  add("model.embed_tokens.weight", VOCAB, D);
  if (!tied) add("lm_head.weight", VOCAB, D);
  add("model.norm.weight", D);
  const p = "model.layers.0.";
  add(`${p}input_layernorm.weight`, D);
  add(`${p}post_attention_layernorm.weight`, D);
  add(`${p}self_attn.q_proj.weight`, HEADS * HEAD_DIM, D);
  add(`${p}self_attn.k_proj.weight`, KV_HEADS * HEAD_DIM, D);
  add(`${p}self_attn.v_proj.weight`, KV_HEADS * HEAD_DIM, D);
  add(`${p}self_attn.o_proj.weight`, D, HEADS * HEAD_DIM);
  add(`${p}${moe}gate.weight`, EXPERTS, D);
  for (let e = 0; e < EXPERTS; e++) {
    add(`${p}${moe}experts.${e}.${names[0]}.weight`, F, D);
    add(`${p}${moe}experts.${e}.${names[1]}.weight`, F, D);
    add(`${p}${moe}experts.${e}.${names[2]}.weight`, D, F);
  }
  return tensors;
}

/** Rows of q or k as llama.cpp's converter orders them: (heads, 2, n/2) to (heads, n/2, 2). */
function permuted(data: Float32Array, heads: number): Float32Array {
  const [n, half] = [HEAD_DIM, HEAD_DIM / 2];
  const cols = data.length / (heads * n);
  const out = new Float32Array(data.length);
  for (let h = 0; h < heads; h++)
    for (let s = 0; s < 2; s++)
      for (let i = 0; i < half; i++)
        out.set(
          data.subarray((h * n + s * half + i) * cols, (h * n + s * half + i + 1) * cols),
          (h * n + 2 * i + s) * cols,
        );
  return out;
}

export interface Conversion {
  /** One tensor a matrix of an expert, as in 2023. */
  readonly single?: boolean;
  /** attn_qkv and ffn_gate_up_exps, as of 2026. */
  readonly fused?: boolean;
  readonly permute?: boolean;
}

const f32 = (name: string, dims: readonly number[], ...parts: Float32Array[]): MadeTensor => {
  const all = Float32Array.from(parts.flatMap((part) => [...part]));
  return { name, type: 0, dims, data: new Uint8Array(all.buffer) };
};

/** The tensors of the file. */
export function convert(from: Checkpoint, { single, fused, permute = true }: Conversion = {}): MadeTensor[] {
  const get = (name: string): Float32Array => from.get(name)!.data;
  const p = "model.layers.0.";
  const moe = [...from.keys()].find((name) => name.endsWith("gate.weight"))!.slice(p.length, -"gate.weight".length);
  const names = moe === "mlp." ? ["gate_proj", "up_proj", "down_proj"] : ["w1", "w3", "w2"];
  const expert = (e: number, matrix: number): Float32Array => get(`${p}${moe}experts.${e}.${names[matrix]}.weight`);
  const each = (matrix: number): Float32Array[] => Array.from({ length: EXPERTS }, (_, e) => expert(e, matrix));
  const q = permute ? permuted(get(`${p}self_attn.q_proj.weight`), HEADS) : get(`${p}self_attn.q_proj.weight`);
  const k = permute ? permuted(get(`${p}self_attn.k_proj.weight`), KV_HEADS) : get(`${p}self_attn.k_proj.weight`);
  const v = get(`${p}self_attn.v_proj.weight`);
  const [rows, kvRows] = [HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM];
  const attention = fused
    ? [f32("blk.0.attn_qkv.weight", [D, rows + 2 * kvRows], q, k, v)]
    : [
        f32("blk.0.attn_q.weight", [D, rows], q),
        f32("blk.0.attn_k.weight", [D, kvRows], k),
        f32("blk.0.attn_v.weight", [D, kvRows], v),
      ];
  const apart = (): MadeTensor[] =>
    Array.from({ length: EXPERTS }, (_, e) => [
      f32(`blk.0.ffn_gate.${e}.weight`, [D, F], expert(e, 0)),
      f32(`blk.0.ffn_up.${e}.weight`, [D, F], expert(e, 1)),
      f32(`blk.0.ffn_down.${e}.weight`, [F, D], expert(e, 2)),
    ]).flat();
  const down = f32("blk.0.ffn_down_exps.weight", [F, D, EXPERTS], ...each(2));
  const both = each(0).flatMap((gate, e) => [gate, expert(e, 1)]);
  const merged = fused
    ? [f32("blk.0.ffn_gate_up_exps.weight", [D, 2 * F, EXPERTS], ...both), down]
    : [
        f32("blk.0.ffn_gate_exps.weight", [D, F, EXPERTS], ...each(0)),
        f32("blk.0.ffn_up_exps.weight", [D, F, EXPERTS], ...each(1)),
        down,
      ];
  return [
    f32("token_embd.weight", [D, VOCAB], get("model.embed_tokens.weight")),
    ...(from.has("lm_head.weight") ? [f32("output.weight", [D, VOCAB], get("lm_head.weight"))] : []),
    f32("output_norm.weight", [D], get("model.norm.weight")),
    f32("blk.0.attn_norm.weight", [D], get(`${p}input_layernorm.weight`)),
    f32("blk.0.ffn_norm.weight", [D], get(`${p}post_attention_layernorm.weight`)),
    ...attention,
    f32("blk.0.attn_output.weight", [HEADS * HEAD_DIM, D], get(`${p}self_attn.o_proj.weight`)),
    f32("blk.0.ffn_gate_inp.weight", [D, EXPERTS], get(`${p}${moe}gate.weight`)),
    ...(single ? apart() : merged),
  ];
}

/** The keys of that model. `changes` replace keys or, if undefined, leave them away. */
export function keysOf(a = "llama", changes: Readonly<Record<string, Given | undefined>> = {}): Key[] {
  const keys: Record<string, Given | undefined> = {
    "general.architecture": ["string", a],
    [`${a}.block_count`]: ["u32", 1],
    [`${a}.context_length`]: ["u32", 64],
    [`${a}.embedding_length`]: ["u32", D],
    [`${a}.feed_forward_length`]: ["u32", F],
    [`${a}.attention.head_count`]: ["u32", HEADS],
    [`${a}.attention.head_count_kv`]: ["u32", KV_HEADS],
    [`${a}.attention.layer_norm_rms_epsilon`]: ["f32", 1e-5],
    [`${a}.expert_count`]: ["u32", EXPERTS],
    [`${a}.expert_used_count`]: ["u32", 2],
    [`${a}.vocab_size`]: ["u32", VOCAB],
    ...changes,
  };
  return Object.entries(keys).flatMap(([key, given]) => (given === undefined ? [] : [[key, given] as const]));
}

export function modelFile(changes?: Readonly<Record<string, Given | undefined>>, tensors = convert(checkpoint())) {
  return ggufFile({ keys: keysOf("llama", changes), tensors });
}
