// Checkpoints whose layers have states as GGUF files, with the keys, names and orders of
// llama.cpp's converter (conversion/qwen.py and lfm2.py of November 2026), against transformers'
// outputs.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { cpuOps } from "../support/cpu.ts";
import { readExpected, worst } from "../support/expected.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";
import { loadFolder } from "../support/model.ts";
import { type Given, ggufFile, type MadeTensor } from "../weights/gguf/make_gguf.ts";

interface Weights {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}
type Config = Readonly<Record<string, number>> & { readonly layer_types: readonly string[] };
type Keys = Readonly<Record<string, Given>>;

/** Parts of a layer by their names in the checkpoint. */
const PARTS: Readonly<Record<string, string>> = {
  input_layernorm: "attn_norm",
  operator_norm: "attn_norm",
  post_attention_layernorm: "post_attention_norm",
  ffn_norm: "ffn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  "self_attn.out_proj": "attn_output",
  "self_attn.q_norm": "attn_q_norm",
  "self_attn.k_norm": "attn_k_norm",
  "self_attn.q_layernorm": "attn_q_norm",
  "self_attn.k_layernorm": "attn_k_norm",
  "linear_attn.in_proj_qkv": "attn_qkv",
  "linear_attn.in_proj_z": "attn_gate",
  "linear_attn.in_proj_ba": "ssm_ba",
  "linear_attn.in_proj_b": "ssm_beta",
  "linear_attn.in_proj_a": "ssm_alpha",
  "linear_attn.conv1d": "ssm_conv1d",
  "linear_attn.norm": "ssm_norm",
  "linear_attn.out_proj": "ssm_out",
  "conv.conv": "shortconv.conv",
  "conv.in_proj": "shortconv.in_proj",
  "conv.out_proj": "shortconv.out_proj",
  "mlp.gate": "ffn_gate_inp",
  "feed_forward.gate": "ffn_gate_inp",
  "feed_forward.w1": "ffn_gate",
  "feed_forward.w2": "ffn_down",
  "feed_forward.w3": "ffn_up",
  "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
  "mlp.shared_expert.gate_proj": "ffn_gate_shexp",
  "mlp.shared_expert.up_proj": "ffn_up_shexp",
  "mlp.shared_expert.down_proj": "ffn_down_shexp",
};
/** Names that do not end in `.weight` there, or here. */
const WHOLE: Readonly<Record<string, string>> = {
  "linear_attn.A_log": "ssm_a",
  "linear_attn.dt_bias": "ssm_dt.bias",
  "feed_forward.expert_bias": "exp_probs_b.bias",
};
const OUTER: Readonly<Record<string, string>> = {
  "model.embed_tokens.weight": "token_embd.weight",
  "model.norm.weight": "output_norm.weight",
  "model.embedding_norm.weight": "token_embd_norm.weight",
  "lm_head.weight": "output.weight",
};
const EXPERTS: Readonly<Record<string, string>> = {
  ...{ gate_proj: "gate", w1: "gate", up_proj: "up", w3: "up", down_proj: "down", w2: "down" },
};

/** Rows of `size` in another order: row i is row order[i]. */
function inOrder({ shape, data }: Weights, order: readonly number[], size: number): Weights {
  const out = new Float32Array(data.length);
  for (const [i, from] of order.entries()) out.set(data.subarray(from * size, (from + 1) * size), i * size);
  return { shape, data: out };
}

/** Value heads by key head -> those of all key heads in turn, of `size` rows from `first` on. */
function tiled(c: Config, rows: number, size: number, first = 0): number[] {
  const [Hk, Hv] = [c.linear_num_key_heads!, c.linear_num_value_heads!];
  const each = Hv / Hk;
  return Array.from({ length: rows }, (_, row) => {
    if (row < first) return row;
    const head = Math.floor((row - first) / size);
    return first + ((head % Hk) * each + Math.floor(head / Hk)) * size + ((row - first) % size);
  });
}

/** What the converter does to a part's values. */
function converted(part: string, weights: Weights, c: Config, reorders: boolean): Weights {
  const { shape, data } = weights;
  const map = (of: (x: number) => number): Weights => ({ shape, data: data.map(of) });
  if (part === "linear_attn.norm") return weights;
  if (/norm$/.test(part) && c.linear_num_key_heads) return map((x) => x + 1);
  if (part.endsWith("conv1d") || part === "conv.conv") {
    const plain = { shape: [shape[0]!, shape[2]!], data };
    if (!reorders) return plain;
    const keys = 2 * c.linear_num_key_heads! * c.linear_key_head_dim!;
    return inOrder(plain, tiled(c, shape[0]!, c.linear_value_head_dim!, keys), shape[2]!);
  }
  const own = part === "linear_attn.A_log" ? map((x) => -Math.exp(x)) : weights;
  if (!reorders || !part.startsWith("linear_attn.")) return own;
  const [rows, cols = 1] = shape as [number, number?];
  const dv = c.linear_value_head_dim!;
  if (part.endsWith("qkv"))
    return inOrder(own, tiled(c, rows, dv, 2 * c.linear_num_key_heads! * c.linear_key_head_dim!), cols);
  if (part.endsWith("in_proj_z")) return inOrder(own, tiled(c, rows, dv), cols);
  if (/in_proj_[ab]$|A_log$|dt_bias$/.test(part)) return inOrder(own, tiled(c, rows, 1), cols);
  if (!part.endsWith("out_proj")) return own;
  const order = tiled(c, cols, dv);
  return { shape, data: data.map((_, i) => data[i - (i % cols) + order[i % cols]!]!) };
}

/** Qwen3-Next's matrix by key head as q, k and v of all, and z. */
function byKind({ shape: [, cols], data }: Weights, c: Config): Readonly<Record<"qkv" | "z", Weights>> {
  const [Hk, dk] = [c.linear_num_key_heads!, c.linear_key_head_dim!];
  const values = (c.linear_num_value_heads! / Hk) * c.linear_value_head_dim!;
  const group = 2 * (dk + values);
  const rows = (first: number, count: number): number[] =>
    Array.from({ length: Hk }, (_, h) => Array.from({ length: count }, (_, i) => h * group + first + i)).flat();
  const of = (order: number[]): Weights => ({
    shape: [order.length, cols!],
    data: Float32Array.from(order.flatMap((row) => [...data.subarray(row * cols!, (row + 1) * cols!)])),
  });
  return {
    qkv: of([...rows(0, dk), ...rows(dk, dk), ...rows(2 * dk, values)]),
    z: of(rows(2 * dk + values, values)),
  };
}

const f32 = (name: string, { shape, data }: Weights): MadeTensor => ({
  ...{ name, type: 0, dims: shape.toReversed() },
  data: new Uint8Array(Float32Array.from(data).buffer),
});

/** The tensors of a file. @param reorders whether value heads get another order */
function tensorsOf(weights: ReadonlyMap<string, Weights>, c: Config, reorders: boolean): MadeTensor[] {
  const made: MadeTensor[] = [];
  const stacks = new Map<string, Weights[]>();
  for (const [name, own] of weights) {
    if (OUTER[name]) {
      made.push(f32(OUTER[name], /norm/.test(name) ? converted("norm", own, c, reorders) : own));
      continue;
    }
    const [, layer, rest] = /^model\.layers\.(\d+)\.(.+)$/.exec(name)!;
    const b = `blk.${layer}.`;
    const [, e, matrix] = /\.experts\.(\d+)\.(\w+)\.weight$/.exec(name) ?? [];
    if (e && matrix) {
      const stack = `${b}ffn_${EXPERTS[matrix]}_exps.weight`;
      stacks.set(stack, [...(stacks.get(stack) ?? []), own]);
      expect(stacks.get(stack)).toHaveLength(Number(e) + 1); // in order
    } else if (rest === "linear_attn.in_proj_qkvz.weight") {
      const { qkv, z } = byKind(own, c);
      made.push(f32(`${b}attn_qkv.weight`, qkv), f32(`${b}attn_gate.weight`, z));
    } else {
      const part = rest!.replace(/\.weight$/, "");
      made.push(f32(b + (WHOLE[part] ?? `${PARTS[part]}.weight`), converted(part, own, c, reorders)));
    }
  }
  for (const [name, all] of stacks)
    made.push(
      f32(name, {
        shape: [all.length, ...all[0]!.shape],
        data: Float32Array.from(all.flatMap(({ data }) => [...data])),
      }),
    );
  return made;
}

/** Keys that all three have. */
const common = (a: string, c: Config): Keys => ({
  "general.architecture": ["string", a],
  [`${a}.block_count`]: ["u32", c.num_hidden_layers!],
  [`${a}.context_length`]: ["u32", c.max_position_embeddings!],
  [`${a}.embedding_length`]: ["u32", c.hidden_size!],
  [`${a}.attention.head_count`]: ["u32", c.num_attention_heads!],
  [`${a}.attention.layer_norm_rms_epsilon`]: ["f32", c.rms_norm_eps ?? c.norm_eps!],
  [`${a}.expert_count`]: ["u32", c.num_experts!],
  [`${a}.expert_used_count`]: ["u32", c.num_experts_per_tok!],
  [`${a}.expert_feed_forward_length`]: ["u32", c.moe_intermediate_size!],
  [`${a}.vocab_size`]: ["u32", c.vocab_size!],
});

const delta = (a: string, c: Config): Keys => ({
  [`${a}.attention.head_count_kv`]: ["u32", c.num_key_value_heads!],
  [`${a}.attention.key_length`]: ["u32", c.head_dim!],
  [`${a}.attention.value_length`]: ["u32", c.head_dim!],
  [`${a}.rope.freq_base`]: ["f32", 1e7],
  [`${a}.rope.dimension_count`]: ["u32", c.head_dim! / 4],
  [`${a}.expert_shared_feed_forward_length`]: ["u32", c.shared_expert_intermediate_size!],
  [`${a}.ssm.conv_kernel`]: ["u32", c.linear_conv_kernel_dim!],
  [`${a}.ssm.state_size`]: ["u32", c.linear_key_head_dim!],
  [`${a}.ssm.group_count`]: ["u32", c.linear_num_key_heads!],
  [`${a}.ssm.time_step_rank`]: ["u32", c.linear_num_value_heads!],
  [`${a}.ssm.inner_size`]: ["u32", c.linear_num_value_heads! * c.linear_value_head_dim!],
  [`${a}.attention.recurrent_layers`]: ["array", "bool", c.layer_types.map((type) => type === "linear_attention")],
  [`${a}.full_attention_interval`]: ["u32", 4],
});

const cases = [
  {
    ...{ architecture: "qwen35moe", folder: inShared("fixtures/families/qwen3_5_moe-a"), reorders: true },
    keys: (c: Config): Keys => ({
      ...delta("qwen35moe", c),
      "qwen35moe.rope.dimension_sections": ["array", "i32", [2, 1, 1, 0]],
    }),
    within: 1e-3,
  },
  {
    ...{ architecture: "qwen3next", reorders: false, within: 1e-3 },
    folder: { path: inRepo("test/fixtures/hybrids/qwen3_next"), skip: null },
    keys: (c: Config): Keys => delta("qwen3next", c),
  },
  {
    ...{ architecture: "lfm2moe", reorders: false, within: 2e-4 },
    folder: { path: inRepo("test/fixtures/hybrids/lfm2_moe"), skip: null },
    keys: (c: Config): Keys => ({
      "lfm2moe.attention.head_count_kv": [
        ...(["array", "i32"] as const),
        c.layer_types.map((type) => (type === "conv" ? 0 : c.num_key_value_heads!)),
      ],
      "lfm2moe.rope.freq_base": ["f32", 1e6],
      "lfm2moe.feed_forward_length": ["u32", c.intermediate_size!],
      "lfm2moe.leading_dense_block_count": ["u32", c.num_dense_layers!],
      "lfm2moe.expert_gating_func": ["u32", 2],
      "lfm2moe.expert_weights_scale": ["f32", c.routed_scaling_factor!], // the converter leaves it away
      "lfm2moe.shortconv.l_cache": ["u32", c.conv_L_cache!],
    }),
  },
] as const;

describe.each(cases)("$architecture", ({ architecture, folder: { path, skip }, keys, reorders, within }) => {
  it.skipIf(skip)(titled("logits and tokens of transformers", skip), async () => {
    const { source, config, close } = await openFolder(await nodeFiles(path));
    const c = config as Config;
    const weights = new Map<string, Weights>();
    for (const name of source.names()) {
      const matrix = source.matrix(name);
      const data = new Float32Array(matrix.rows * matrix.cols);
      await matrix.readRows(0, matrix.rows, data);
      weights.set(name, { shape: source.shape(name), data });
    }
    await close();
    const folder = mkdtempSync(join(tmpdir(), "hotset-gguf-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const all = { ...common(architecture, c), ...keys(c) };
    const file = ggufFile({ keys: Object.entries(all), tensors: tensorsOf(weights, c, reorders) });
    writeFileSync(join(folder, "m.gguf"), file);
    const expected = await readExpected(path);
    const model = await loadFolder(folder, await cpuOps({ maxTokens: 64, activations: "f32" }), "f32", "f32");
    onTestFinished(() => model.close());
    const { cases: prompts } = JSON.parse(readFileSync(`${path}/expected.json`, "utf8"));
    for (const [n, { prompt_ids, greedy_ids }] of prompts.entries()) {
      const want = await expected.floats(`p${n}.logits_f32`);
      const { logits } = await model.run(prompt_ids);
      expect(worst(logits.subarray(-want.length), want), `prompt ${n}`).toBeLessThan(within);
      expect(await model.greedy(greedy_ids.length), `prompt ${n}`).toEqual(greedy_ids);
    }
  });
});
