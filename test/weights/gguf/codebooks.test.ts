// GGUF models with weights of codebooks: whole models give the logits of their weights as f32
// (block-vectors.json has those, bit for bit), whatever types of one format they mix; types that
// nothing computes with are refused.

import { describe, expect, it } from "vitest";
import { open } from "../../../src/browser.ts";
import { rowPlanes, splitRows, unpackRows } from "../../../src/tensor/format.ts";
import { toHalf } from "../../../src/tensor/half.ts";
import { GGML_TYPES } from "../../../src/weights/gguf/types.ts";
import { generator, uniform } from "../../support/random.ts";
import { ggufFile, type MadeTensor } from "./make_gguf.ts";
import { keysOf } from "./make_model.ts";

const [D, F, V, EXPERTS, HEADS] = [256, 512, 40, 2, 4];
const IDS = [1, 7, 39, 7, 20, 3];

const KEYS = keysOf("llama", {
  "llama.embedding_length": ["u32", D],
  "llama.feed_forward_length": ["u32", F],
  "llama.attention.head_count": ["u32", HEADS],
  "llama.attention.head_count_kv": ["u32", HEADS],
  "llama.expert_count": ["u32", EXPERTS],
  "llama.vocab_size": ["u32", V],
});

const bytesOf = (data: Float32Array): Uint8Array => new Uint8Array(data.buffer);

function f32(name: string, seed: number, ...dims: number[]): MadeTensor {
  const size = dims.reduce((product, n) => product * n, 1);
  return { name, type: 0, dims, data: bytesOf(uniform(size, seed, dims.length === 1 ? 1 : 0.1)) };
}

/** Blocks of any bits, and a d that is subnormal for every other one. */
function blocks(count: number, type: number, seed: number): Uint8Array {
  const random = generator(seed);
  const { bytes, name } = GGML_TYPES.get(type)!;
  const all = Uint8Array.from({ length: count * bytes }, () => Math.floor(random() * 256));
  const view = new DataView(all.buffer);
  for (let at = 0, i = 0; at < all.length; at += bytes, i++) {
    const d = toHalf(i % 2 ? 2e-5 : 1e-4);
    if (name !== "IQ1_M") view.setUint16(at, d, true);
    else for (let j = 0; j < 4; j++) all[at + 49 + 2 * j] = (all[at + 49 + 2 * j]! & 15) | (((d >> (4 * j)) & 15) << 4);
  }
  return all;
}

/** The model with matrices of some types in turn, and with their weights as f32. */
function models(types: readonly number[]) {
  const matrices = [
    ["blk.0.attn_q.weight", D, D],
    ["blk.0.attn_k.weight", D, D],
    ["blk.0.ffn_gate_exps.weight", D, F, EXPERTS],
    ["blk.0.ffn_up_exps.weight", D, F, EXPERTS],
    ["blk.0.ffn_down_exps.weight", F, D, EXPERTS],
    ["token_embd.weight", D, V],
  ] as const;
  const made = matrices.map(([name, cols, ...rest], seed) => {
    const type = types[seed % types.length]!;
    const known = GGML_TYPES.get(type)!;
    const [format, ggml] = [known.format!, known.blocks!];
    const rows = rest.reduce((product, n) => product * n, 1);
    const data = blocks((rows * cols) / format.group, type, seed);
    const planes = rowPlanes(format, rows, cols);
    splitRows(format, ggml, data, rows, cols, planes);
    const weights = new Float32Array(rows * cols);
    unpackRows(format, planes, rows, cols, weights);
    const dims = [cols, ...rest];
    return { stored: { name, type, dims, data }, exact: { name, type: 0, dims, data: bytesOf(weights) } };
  });
  const others = [
    f32("output_norm.weight", 11, D),
    f32("blk.0.attn_norm.weight", 12, D),
    f32("blk.0.ffn_norm.weight", 13, D),
    f32("blk.0.attn_output.weight", 14, D, D),
    f32("blk.0.attn_v.weight", 15, D, D),
    f32("blk.0.ffn_gate_inp.weight", 16, D, EXPERTS),
    f32("output.weight", 17, D, V),
  ];
  return {
    stored: [...others, ...made.map(({ stored }) => stored)],
    exact: [...others, ...made.map(({ exact }) => exact)],
  };
}

function fileOf(tensors: readonly MadeTensor[]): File {
  return new File([ggufFile({ keys: KEYS, tensors }) as Uint8Array<ArrayBuffer>], "model.gguf");
}

async function logitsOf(tensors: readonly MadeTensor[], activations: "f32" | "int8"): Promise<Float32Array> {
  const model = await open([fileOf(tensors)], { backend: "cpu", threads: 1, activations });
  const logits = await model.logits(IDS);
  await model.close();
  return logits;
}

describe.each([
  ["IQ3_XXS", [18]],
  ["IQ3_S", [21]],
  ["IQ2_XXS, IQ2_XS and IQ2_S", [16, 22, 17]],
  ["IQ1_S and IQ1_M", [29, 19]],
])("%s", (_, types) => {
  it("gives the logits of its weights as f32", async () => {
    const { stored, exact } = models(types);
    const want = await logitsOf(exact, "f32");
    const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    expect(largest).toBeGreaterThan(0.1);
    const got = await logitsOf(stored, "f32");
    expect(Math.max(...got.map((value, i) => Math.abs(value - want[i]!)))).toBeLessThan(2e-5 * largest);
    const rounded = await logitsOf(stored, "int8");
    const error = rounded.reduce((sum, value, i) => sum + (value - want[i]!) ** 2, 0);
    expect(error / want.reduce((sum, value) => sum + value ** 2, 0)).toBeLessThan(5e-4);
  });
});

it.each([
  ["TQ1_0", 34],
  ["TQ2_0", 35],
  ["NVFP4", 40],
  ["Q1_0", 41],
  ["Q2_0", 42],
])("%s is refused by name, with what to do", async (name, type) => {
  const tensors = models([21]).exact.map((tensor) =>
    tensor.name === "output.weight" ? { name: tensor.name, type, dims: tensor.dims } : tensor,
  );
  await expect(open([fileOf(tensors)], { backend: "cpu" })).rejects.toThrow(
    new RegExp(`tensor output\\.weight is of type ${name}, which is not computed with .*IQ3_S.*take another`),
  );
});
