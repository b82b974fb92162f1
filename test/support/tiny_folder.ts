// A weights folder of a tiny random model, for tests that need a vocabulary and no meaning.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { tensorFile } from "../weights/memory_files.ts";
import { generator } from "./random.ts";

const [D, F, H, E] = [32, 32, 2, 2];

/**
 * Writes the folder and returns its path.
 * @param files the tokenizer's files, and perhaps a chat template: texts, bytes, or values for JSON
 * @param V ids of that tokenizer; @param seed of the weights
 */
export function writeTinyFolder(
  files: Readonly<Record<string, string | Uint8Array | object>>,
  V: number,
  { seed = 1, context = 1024 } = {},
): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "hotset-tiny-"));
  const random = generator(seed);
  const matrix = (...shape: number[]) => ({
    dtype: "F32",
    shape,
    data: Float32Array.from({ length: shape.reduce((a, b) => a * b) }, () => random() - 0.5),
  });
  const ones = { dtype: "F32", shape: [D], data: new Float32Array(D).fill(1) };
  const layer = "model.layers.0.";
  const experts = Array.from({ length: E }, (_, e): [string, ReturnType<typeof matrix>][] => [
    [`${layer}block_sparse_moe.experts.${e}.w1.weight`, matrix(F, D)],
    [`${layer}block_sparse_moe.experts.${e}.w2.weight`, matrix(D, F)],
    [`${layer}block_sparse_moe.experts.${e}.w3.weight`, matrix(F, D)],
  ]);
  const tensors = {
    "model.embed_tokens.weight": matrix(V, D),
    [`${layer}input_layernorm.weight`]: ones,
    [`${layer}post_attention_layernorm.weight`]: ones,
    ...Object.fromEntries(["q", "k", "v", "o"].map((x) => [`${layer}self_attn.${x}_proj.weight`, matrix(D, D)])),
    [`${layer}block_sparse_moe.gate.weight`]: matrix(E, D),
    ...Object.fromEntries(experts.flat()),
    "model.norm.weight": ones,
    "lm_head.weight": matrix(V, D),
  };
  const config = {
    model_type: "mixtral",
    hidden_act: "silu",
    bos_token_id: 1,
    eos_token_id: 2,
    rms_norm_eps: 1e-5,
    max_position_embeddings: context,
    hidden_size: D,
    intermediate_size: F,
    num_hidden_layers: 1,
    num_attention_heads: H,
    num_key_value_heads: H,
    num_local_experts: E,
    num_experts_per_tok: 1,
    vocab_size: V,
    rope_theta: 1e4,
    torch_dtype: "float32",
  };
  const all = { "config.json": config, "model.safetensors": tensorFile(tensors), ...files };
  for (const [name, content] of Object.entries(all)) {
    const plain = typeof content === "string" || content instanceof Uint8Array;
    if (name.includes("/")) mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), plain ? content : JSON.stringify(content));
  }
  return { path, remove: () => rmSync(path, { recursive: true }) };
}
