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

export interface Weights {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}
export type Checkpoint = ReadonlyMap<string, Weights>;
type Key = readonly [string, Given];

/** Weights are all different: a running number. */
export function checkpoint(moe = "block_sparse_moe.", names = ["w1", "w3", "w2"], tied = false): Checkpoint {
  const tensors = new Map<string, Weights>();
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
function permuted({ data, shape }: Weights, heads: number): Weights {
  const [rows, cols] = shape as [number, number];
  const n = rows / heads;
  const half = n / 2;
  const out = new Float32Array(data.length);
  for (let h = 0; h < heads; h++)
    for (let s = 0; s < 2; s++)
      for (let i = 0; i < half; i++) {
        const from = h * n + s * half + i;
        out.set(data.subarray(from * cols, (from + 1) * cols), (h * n + 2 * i + s) * cols);
      }
  return { data: out, shape };
}

export interface Conversion {
  /** One tensor a matrix of an expert, as in 2023. */
  readonly single?: boolean;
  /** attn_qkv and ffn_gate_up_exps, as of 2026. */
  readonly fused?: boolean;
  readonly permute?: boolean;
  readonly heads?: number;
  readonly kvHeads?: number;
  /** Of latent attention: heads' products split, the keys' transposed. */
  readonly split?: { readonly nope: number; readonly value: number };
  /** Names that this architecture has otherwise. */
  readonly renamed?: Readonly<Record<string, string>>;
}

/** A tensor of parts along its first dimension, or (stacked) along a new one. */
function f32(name: string, parts: readonly Weights[], stacked = false): MadeTensor {
  const all = Float32Array.from(parts.flatMap(({ data }) => [...data]));
  const [first, ...rest] = parts[0]!.shape as [number, ...number[]];
  const rows = parts.reduce((sum, { shape }) => sum + shape[0]!, 0);
  const shape = stacked ? [parts.length, first, ...rest] : [rows, ...rest];
  return { name, type: 0, dims: shape.toReversed(), data: new Uint8Array(all.buffer) };
}

/** Names of tensors outside of routed experts, after the prefix of the layer or `moe`. */
const OTHERS: Record<string, string> = {
  "input_layernorm.weight": "attn_norm.weight",
  "input_layernorm.bias": "attn_norm.bias",
  "post_attention_layernorm.weight": "ffn_norm.weight",
  "post_attention_layernorm.bias": "ffn_norm.bias",
  "self_attn.o_proj.weight": "attn_output.weight",
  "self_attn.o_proj.bias": "attn_output.bias",
  "self_attn.q_norm.weight": "attn_q_norm.weight",
  "self_attn.k_norm.weight": "attn_k_norm.weight",
  "gate.weight": "ffn_gate_inp.weight",
  e_score_correction_bias: "exp_probs_b.bias",
  "gate.e_score_correction_bias": "exp_probs_b.bias",
  "moe_statics.e_score_correction_bias": "exp_probs_b.bias",
  "shared_expert_gate.weight": "ffn_gate_inp_shexp.weight",
};
const FFN = { gate_proj: "ffn_gate", up_proj: "ffn_up", down_proj: "ffn_down" };
for (const [name, own] of Object.entries(FFN)) {
  OTHERS[`${name}.weight`] = `${own}.weight`;
  for (const of of ["shared_expert", "shared_experts"]) OTHERS[`${of}.${name}.weight`] = `${own}_shexp.weight`;
}

/** The tensors of the file. */
export function convert(from: Checkpoint, options: Conversion = {}): MadeTensor[] {
  const tensors = [f32("token_embd.weight", [from.get("model.embed_tokens.weight")!])];
  if (from.has("lm_head.weight")) tensors.push(f32("output.weight", [from.get("lm_head.weight")!]));
  tensors.push(f32("output_norm.weight", [from.get("model.norm.weight")!]));
  for (const [name, own] of [
    ["lm_head.bias", "output.bias"],
    ["model.norm.bias", "output_norm.bias"],
  ] as const)
    if (from.has(name)) tensors.push(f32(own, [from.get(name)!]));
  let i = 0;
  for (; from.has(`model.layers.${i}.self_attn.o_proj.weight`); i++) tensors.push(...layer(from, i, options));
  // of a layer that predicts several tokens at once
  for (const name of ["enorm", "hnorm", "eh_proj"]) {
    const found = from.get(`model.layers.${i}.${name}.weight`);
    if (found) tensors.push(f32(`blk.${i}.nextn.${name}.weight`, [found]));
  }
  return tensors;
}

/** kv_b_proj as newer files have it: [H, kv, dn] and [H, dv, kv]. */
function splitHeads({ shape, data }: Weights, { nope, value }: { readonly nope: number; readonly value: number }) {
  const [rows, kv] = shape as [number, number];
  const H = rows / (nope + value);
  const at = (h: number, row: number, c: number) => data[(h * (nope + value) + row) * kv + c]!;
  const keys = Float32Array.from({ length: H * kv * nope }, (_, i) =>
    at(Math.floor(i / (kv * nope)), i % nope, Math.floor(i / nope) % kv),
  );
  const values = Float32Array.from({ length: H * value * kv }, (_, i) =>
    at(Math.floor(i / (value * kv)), nope + (Math.floor(i / kv) % value), i % kv),
  );
  return { k_b: { shape: [H, kv, nope], data: keys }, v_b: { shape: [H, value, kv], data: values } };
}

/** The tensors of latent attention. */
function latentTensors(from: Checkpoint, p: string, b: string, split: Conversion["split"]): MadeTensor[] {
  const names = {
    q_proj: "q",
    q_a_proj: "q_a",
    q_a_layernorm: "q_a_norm",
    q_b_proj: "q_b",
    kv_a_proj_with_mqa: "kv_a_mqa",
    kv_a_layernorm: "kv_a_norm",
    ...(!split && { kv_b_proj: "kv_b" }),
  };
  const both = split ? Object.entries(splitHeads(from.get(`${p}self_attn.kv_b_proj.weight`)!, split)) : [];
  return [
    ...Object.entries(names).flatMap(([name, own]) => {
      const found = from.get(`${p}self_attn.${name}.weight`);
      return found ? [f32(`${b}attn_${own}.weight`, [found])] : [];
    }),
    ...both.map(([name, weights]) => f32(`${b}attn_${name}.weight`, [weights])),
  ];
}

function layer(from: Checkpoint, i: number, options: Conversion): MadeTensor[] {
  const { single, fused, permute = true, heads = HEADS, kvHeads = KV_HEADS, split, renamed = {} } = options;
  const p = `model.layers.${i}.`;
  const moe = from.has(`${p}block_sparse_moe.gate.weight`) ? "block_sparse_moe." : "mlp.";
  const names = moe === "mlp." ? ["gate_proj", "up_proj", "down_proj"] : ["w1", "w3", "w2"];
  const expert = (e: number, matrix: number) => from.get(`${p}${moe}experts.${e}.${names[matrix]}.weight`)!;
  const count = from.get(`${p}${moe}gate.weight`)?.shape[0] ?? 0; // 0: a dense layer
  const each = (matrix: number): Weights[] => Array.from({ length: count }, (_, e) => expert(e, matrix));
  const project = (name: string, n: number): Weights => {
    const found = from.get(`${p}self_attn.${name}_proj.weight`)!;
    return permute && n > 0 ? permuted(found, n) : found;
  };
  const b = `blk.${i}.`;
  const tensors = Object.entries(OTHERS).flatMap(([name, own]) => {
    const found = from.get(p + name) ?? from.get(p + moe + name);
    return found ? [f32(b + (renamed[own] ?? own), [found])] : [];
  });
  if (from.has(`${p}self_attn.kv_b_proj.weight`)) tensors.push(...latentTensors(from, p, b, split));
  else {
    const [q, k, v] = [project("q", heads), project("k", kvHeads), project("v", 0)];
    if (fused) tensors.push(f32(`${b}attn_qkv.weight`, [q, k, v]));
    else for (const [name, part] of Object.entries({ q, k, v })) tensors.push(f32(`${b}attn_${name}.weight`, [part]));
  }
  for (const name of ["q", "k", "v"]) {
    const bias = from.get(`${p}self_attn.${name}_proj.bias`);
    if (bias) tensors.push(f32(`${b}attn_${name}.bias`, [bias]));
  }
  if (count === 0) return tensors;
  const [gate, up, down] = [each(0), each(1), each(2)];
  for (const [name, all] of Object.entries({ gate, up, down })) {
    if (single) tensors.push(...all.map((one, e) => f32(`${b}ffn_${name}.${e}.weight`, [one])));
    else if (!fused || name === "down") tensors.push(f32(`${b}ffn_${name}_exps.weight`, all, true));
  }
  if (fused) {
    const both = gate.map((one, e): Weights => {
      const [rows, cols] = one.shape as [number, number];
      return { shape: [2 * rows, cols], data: Float32Array.from([...one.data, ...up[e]!.data]) };
    });
    tensors.push(f32(`${b}ffn_gate_up_exps.weight`, both, true));
  }
  return tensors;
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
