// A sparse GGUF file of a model's true shapes: the front is whole, the weights are zeros that take
// no place on the disk.

import { truncateSync, writeFileSync } from "node:fs";
import { type Given, ggufFront, type MadeTensor } from "../weights/gguf/make_gguf.ts";

const TYPES = { F32: 0, Q8_0: 8, Q4_K: 12, Q5_K: 13, Q6_K: 14 } as const;
type Type = keyof typeof TYPES;

/** Tensors of Mixtral 8x7B as Q4_K_M, with llama.cpp's mix for eight experts. */
function mixtral8x7b(): MadeTensor[] {
  const [D, F, V, E, KV, L] = [4096, 14336, 32000, 8, 1024, 32];
  const tensor = (name: string, type: Type, ...dims: number[]): MadeTensor => ({ name, type: TYPES[type], dims });
  const more = (i: number): boolean => i < L / 8 || i >= (7 * L) / 8 || (i - L / 8) % 3 === 2;
  const layers = Array.from({ length: L }, (_, i) => {
    const t = (name: string, type: Type, ...dims: number[]): MadeTensor =>
      tensor(`blk.${i}.${name}.weight`, type, ...dims);
    return [
      t("attn_norm", "F32", D),
      t("ffn_norm", "F32", D),
      t("attn_q", "Q4_K", D, D),
      t("attn_k", "Q8_0", D, KV),
      t("attn_v", "Q8_0", D, KV),
      t("attn_output", "Q5_K", D, D),
      t("ffn_gate_inp", "F32", D, E),
      t("ffn_gate_exps", "Q4_K", D, F, E),
      t("ffn_up_exps", "Q4_K", D, F, E),
      t("ffn_down_exps", more(i) ? "Q6_K" : "Q4_K", F, D, E),
    ];
  });
  return [
    tensor("token_embd.weight", "Q4_K", D, V),
    tensor("output.weight", "Q6_K", D, V),
    tensor("output_norm.weight", "F32", D),
    ...layers.flat(),
  ];
}

/** Writes the file. @returns its bytes */
export function writeSparseMixtral(path: string): number {
  const tokens = Array.from({ length: 32000 }, (_, i) => (i < 3 ? ["<unk>", "<s>", "</s>"][i]! : `\u2581t${i}`));
  const keys: readonly (readonly [string, Given])[] = [
    ["general.architecture", ["string", "llama"]],
    ["general.name", ["string", "Mixtral 8x7B, zeros"]],
    ["general.quantization_version", ["u32", 2]],
    ["llama.block_count", ["u32", 32]],
    ["llama.context_length", ["u32", 32768]],
    ["llama.embedding_length", ["u32", 4096]],
    ["llama.feed_forward_length", ["u32", 14336]],
    ["llama.attention.head_count", ["u32", 32]],
    ["llama.attention.head_count_kv", ["u32", 8]],
    ["llama.attention.layer_norm_rms_epsilon", ["f32", 1e-5]],
    ["llama.rope.freq_base", ["f32", 1e6]],
    ["llama.rope.dimension_count", ["u32", 128]],
    ["llama.expert_count", ["u32", 8]],
    ["llama.expert_used_count", ["u32", 2]],
    ["llama.vocab_size", ["u32", 32000]],
    ["tokenizer.ggml.model", ["string", "llama"]],
    ["tokenizer.ggml.tokens", ["array", "string", tokens]],
    ["tokenizer.ggml.scores", ["array", "f32", tokens.map((_, i) => -i)]],
    ["tokenizer.ggml.token_type", ["array", "i32", tokens.map((_, i) => (i === 0 ? 2 : i < 3 ? 3 : 1))]],
  ];
  const { front, bytes } = ggufFront({ keys, tensors: mixtral8x7b() });
  writeFileSync(path, front);
  truncateSync(path, bytes);
  return bytes;
}
