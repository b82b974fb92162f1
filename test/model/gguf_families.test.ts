// The small checkpoints of test/model/families.test.ts as GGUF files, with the keys and names of
// llama.cpp's converter, against transformers' outputs for the originals: what an architecture's
// keys mean (norms of q and k, the router, RoPE and its scalings).

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import type { WeightSource } from "../../src/tensor/types.ts";
import { openFolder } from "../../src/weights/folder.ts";
import { nodeFiles } from "../../src/weights/node_files.ts";
import { cpuOps } from "../support/cpu.ts";
import { readExpected, worst } from "../support/expected.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";
import { loadFolder } from "../support/model.ts";
import { type Given, ggufFile, type MadeTensor } from "../weights/gguf/make_gguf.ts";
import { gptOssTensors } from "../weights/gguf/make_gpt_oss.ts";
import { type Checkpoint, convert, type Weights } from "../weights/gguf/make_model.ts";

type Config = Readonly<Record<string, number>> & { readonly rope_scaling?: Readonly<Record<string, number>> };
type Keys = Readonly<Record<string, Given>>;

/** Keys that all files have. */
function common(a: string, c: Config): Keys {
  return {
    "general.architecture": ["string", a],
    [`${a}.block_count`]: ["u32", c.num_hidden_layers!],
    [`${a}.context_length`]: ["u32", c.max_position_embeddings!],
    [`${a}.embedding_length`]: ["u32", c.hidden_size!],
    [`${a}.feed_forward_length`]: ["u32", c.intermediate_size!],
    [`${a}.attention.head_count`]: ["u32", c.num_attention_heads!],
    [`${a}.attention.head_count_kv`]: ["u32", c.num_key_value_heads!],
    ...(c.head_dim && {
      [`${a}.attention.key_length`]: ["u32", c.head_dim],
      [`${a}.attention.value_length`]: ["u32", c.head_dim],
    }),
    [`${a}.attention.layer_norm_rms_epsilon`]: ["f32", c.rms_norm_eps ?? 1e-5],
    [`${a}.rope.freq_base`]: ["f32", c.rope_theta!],
    [`${a}.expert_count`]: ["u32", c.num_local_experts ?? c.num_experts ?? c.n_routed_experts ?? c.moe_num_experts!],
    [`${a}.expert_used_count`]: ["u32", c.num_experts_per_tok ?? c.moe_k!],
    [`${a}.vocab_size`]: ["u32", c.vocab_size!],
  };
}

/** The divisors of frequencies that the converter writes for llama3 scaling. */
function llama3Factors(c: Config): MadeTensor {
  const {
    factor,
    low_freq_factor: low,
    high_freq_factor: high,
    original_max_position_embeddings: trained,
  } = c.rope_scaling as Readonly<Record<string, number>>;
  const dim = c.hidden_size! / c.num_attention_heads!;
  const factors = Float32Array.from({ length: dim / 2 }, (_, i) => {
    const wave = 2 * Math.PI * c.rope_theta! ** ((2 * i) / dim);
    if (wave < trained! / high!) return 1;
    if (wave > trained! / low!) return factor!;
    const smooth = (trained! / wave - low!) / (high! - low!);
    return 1 / ((1 - smooth) / factor! + smooth);
  });
  return { name: "rope_freqs.weight", type: 0, dims: [factors.length], data: new Uint8Array(factors.buffer) };
}

const yarn = (a: string, c: Config): Keys => ({
  [`${a}.rope.scaling.type`]: ["string", "yarn"],
  [`${a}.rope.scaling.factor`]: ["f32", c.rope_scaling!.factor!],
  [`${a}.rope.scaling.original_context_length`]: ["u32", c.rope_scaling!.original_max_position_embeddings!],
});

const qwen3 = (c: Config): Keys => ({ "qwen3moe.expert_feed_forward_length": ["u32", c.moe_intermediate_size!] });

/** With the layer that predicts several tokens at once. */
const glm4 = (c: Config): Keys => ({
  "glm4moe.block_count": ["u32", c.num_hidden_layers! + c.num_nextn_predict_layers!],
  "glm4moe.nextn_predict_layers": ["u32", c.num_nextn_predict_layers!],
  "glm4moe.rope.dimension_count": ["u32", c.head_dim! * c.partial_rotary_factor!],
  "glm4moe.expert_group_count": ["u32", c.n_group!],
  "glm4moe.expert_group_used_count": ["u32", c.topk_group!],
  "glm4moe.expert_feed_forward_length": ["u32", c.moe_intermediate_size!],
  "glm4moe.expert_shared_count": ["u32", c.n_shared_experts!],
  "glm4moe.leading_dense_block_count": ["u32", c.first_k_dense_replace!],
  "glm4moe.expert_gating_func": ["u32", 2],
  "glm4moe.expert_weights_scale": ["f32", c.routed_scaling_factor!],
  "glm4moe.expert_weights_norm": ["bool", true],
});

/** With latent attention: as older files have it, or with heads' products split. */
const deepseek2 = (c: Config, split: boolean): Keys => {
  const a = "deepseek2";
  const { qk_nope_head_dim: nope, qk_rope_head_dim: turned, v_head_dim: value, kv_lora_rank: kv } = c;
  const own = [nope! + turned!, value!] as const;
  const lengths = (of: string, [key, values]: readonly [number, number]): Keys => ({
    [`${a}.attention.key_length${of}`]: ["u32", key],
    [`${a}.attention.value_length${of}`]: ["u32", values],
  });
  return {
    ...(split
      ? { ...lengths("", [kv! + turned!, kv!]), ...lengths("_mla", own), [`${a}.attention.head_count_kv`]: ["u32", 1] }
      : lengths("", own)),
    [`${a}.attention.kv_lora_rank`]: ["u32", kv!],
    ...(c.q_lora_rank && { [`${a}.attention.q_lora_rank`]: ["u32", c.q_lora_rank] }),
    [`${a}.rope.dimension_count`]: ["u32", turned!],
    ...(c.rope_scaling && {
      [`${a}.rope.scaling.type`]: ["string", "yarn"],
      [`${a}.rope.scaling.factor`]: ["f32", c.rope_scaling.factor!],
      [`${a}.rope.scaling.original_context_length`]: ["u32", c.rope_scaling.original_max_position_embeddings!],
      [`${a}.rope.scaling.yarn_log_multiplier`]: ["f32", 0.1 * c.rope_scaling.mscale_all_dim!],
    }),
    [`${a}.expert_feed_forward_length`]: ["u32", c.moe_intermediate_size!],
    [`${a}.expert_shared_count`]: ["u32", c.n_shared_experts!],
    [`${a}.expert_weights_scale`]: ["f32", c.routed_scaling_factor!],
    [`${a}.leading_dense_block_count`]: ["u32", c.first_k_dense_replace!],
  };
};
/** Its router, as files of DeepSeek-V3 and GLM-4.7-Flash have it. */
const sigmoid = (c: Config): Keys => ({
  "deepseek2.expert_gating_func": ["u32", 2],
  "deepseek2.expert_weights_norm": ["bool", true],
  "deepseek2.expert_group_count": ["u32", c.n_group!],
  "deepseek2.expert_group_used_count": ["u32", c.topk_group!],
});

/** Granite's stacked experts as a matrix each. */
function asMixtral(weights: Checkpoint): Checkpoint {
  const renamed = new Map<string, Weights>();
  for (const [name, weight] of weights) {
    const [, of, linear] = /^(.+\.block_sparse_moe\.)(input|output)_linear\.weight$/.exec(name) ?? [];
    const [E, rows, cols] = weight.shape as [number, number, number];
    const matrices = linear === "input" ? ["w1", "w3"] : ["w2"];
    const own = rows / matrices.length;
    if (!of) renamed.set(name.replace("router.layer", "gate"), weight);
    else
      for (let e = 0; e < E; e++)
        for (const [i, matrix] of matrices.entries()) {
          const first = (e * rows + i * own) * cols;
          const data = weight.data.subarray(first, first + own * cols);
          renamed.set(`${of}experts.${e}.${matrix}.weight`, { shape: [own, cols], data });
        }
  }
  return renamed;
}

interface Case {
  readonly folder: string;
  /** Whether it is in the repository. */
  readonly own?: true;
  readonly architecture: string;
  readonly keys: (c: Config) => Keys;
  readonly tensors?: (c: Config) => MadeTensor[];
  /** Whether products of heads are split. */
  readonly split?: true;
  /** Names that it has otherwise than most. */
  readonly renamed?: Readonly<Record<string, string>>;
  /** The checkpoint with the names and the layout of Mixtral's. */
  readonly rename?: (weights: Checkpoint) => Checkpoint;
  /** All tensors, of an architecture whose layers are not the usual ones. */
  readonly make?: (source: WeightSource) => Promise<MadeTensor[]>;
}
const cases: readonly Case[] = [
  {
    folder: "qwen3_moe-a",
    architecture: "qwen3moe",
    keys: qwen3,
  },
  { folder: "qwen3_moe-biased", own: true, architecture: "qwen3moe", keys: qwen3 },
  { folder: "olmoe-a", architecture: "olmoe", keys: () => ({}) },
  {
    folder: "minimax_m2-a",
    architecture: "minimax-m2",
    keys: (c) => ({
      "minimax-m2.expert_feed_forward_length": ["u32", c.intermediate_size!],
      "minimax-m2.rope.dimension_count": ["u32", c.rotary_dim!],
      "minimax-m2.expert_gating_func": ["u32", 2],
    }),
  },
  {
    folder: "qwen2_moe-a",
    architecture: "qwen2moe",
    keys: (c) => ({
      "qwen2moe.expert_feed_forward_length": ["u32", c.moe_intermediate_size!],
      "qwen2moe.expert_shared_feed_forward_length": ["u32", c.shared_expert_intermediate_size!],
    }),
  },
  {
    folder: "ernie4_5_moe-a",
    architecture: "ernie4_5-moe",
    keys: (c) => ({
      "ernie4_5-moe.expert_feed_forward_length": ["u32", c.moe_intermediate_size!],
      "ernie4_5-moe.expert_shared_count": ["u32", c.moe_num_shared_experts!],
      // what the converter writes
      "ernie4_5-moe.expert_shared_feed_forward_length": ["u32", c.intermediate_size! / c.num_key_value_heads!],
      "ernie4_5-moe.leading_dense_block_count": ["u32", c.moe_layer_start_index!],
      "ernie4_5-moe.interleave_moe_layer_step": ["u32", c.moe_layer_interval!],
    }),
  },
  {
    folder: "glm4_moe-a",
    architecture: "glm4moe",
    keys: glm4,
    renamed: { "ffn_norm.weight": "post_attention_norm.weight" },
  },
  {
    folder: "dots1",
    own: true,
    architecture: "dots1",
    keys: (c) => ({
      "dots1.expert_feed_forward_length": ["u32", c.moe_intermediate_size!],
      "dots1.expert_group_count": ["u32", c.n_group!],
      "dots1.expert_group_used_count": ["u32", c.topk_group!],
      "dots1.leading_dense_block_count": ["u32", c.first_k_dense_replace!],
      "dots1.expert_shared_count": ["u32", c.n_shared_experts!],
      "dots1.expert_weights_scale": ["f32", c.routed_scaling_factor!],
      "dots1.expert_weights_norm": ["bool", true],
      "dots1.expert_gating_func": ["u32", 2],
    }),
  },
  { folder: "deepseek_v2-a", architecture: "deepseek2", keys: (c) => deepseek2(c, false) },
  { folder: "deepseek_v2-a", architecture: "deepseek2", keys: (c) => deepseek2(c, true), split: true },
  {
    folder: "deepseek_v3-a",
    architecture: "deepseek2",
    keys: (c) => ({ ...deepseek2(c, true), ...sigmoid(c) }),
    split: true,
  },
  {
    folder: "glm4_moe_lite-a",
    architecture: "deepseek2",
    keys: (c) => ({
      ...deepseek2(c, true),
      ...sigmoid(c),
      "deepseek2.block_count": ["u32", c.num_hidden_layers! + c.num_nextn_predict_layers!],
      "deepseek2.nextn_predict_layers": ["u32", c.num_nextn_predict_layers!],
    }),
    split: true,
  },
  {
    folder: "mixtral-linear-a",
    architecture: "llama",
    keys: (c) => ({
      "llama.rope.scaling.type": ["string", "linear"],
      "llama.rope.scaling.factor": ["f32", c.rope_scaling!.factor!],
    }),
  },
  { folder: "mixtral-yarn-a", architecture: "llama", keys: (c) => yarn("llama", c) },
  {
    folder: "gpt_oss-a",
    architecture: "gpt-oss",
    keys: (c) => ({
      ...yarn("gpt-oss", c),
      "gpt-oss.attention.sliding_window": ["u32", c.sliding_window!],
      "gpt-oss.expert_feed_forward_length": ["u32", c.intermediate_size!],
    }),
    make: gptOssTensors,
  },
  {
    folder: "granitemoe-a",
    architecture: "granitemoe",
    keys: (c) => ({
      "granitemoe.attention.scale": ["f32", c.attention_multiplier!],
      "granitemoe.embedding_scale": ["f32", c.embedding_multiplier!],
      "granitemoe.residual_scale": ["f32", c.residual_multiplier!],
      "granitemoe.logit_scale": ["f32", c.logits_scaling!],
      "granitemoe.rope.dimension_count": ["u32", c.hidden_size! / c.num_attention_heads!],
    }),
    rename: asMixtral,
  },
  { folder: "mixtral-llama3-a", architecture: "llama", keys: () => ({}), tensors: (c) => [llama3Factors(c)] },
];

/** LongRoPE as the converter writes it: its attn_factor, not short_mscale and long_mscale. */
const phimoe: Case = {
  folder: "phimoe-a",
  architecture: "phimoe",
  keys: (c) => ({
    "phimoe.rope.scaling.original_context_length": ["u32", c.rope_scaling!.original_max_position_embeddings!],
    "phimoe.rope.scaling.attn_factor": ["f32", PHIMOE_GROWTH],
    "phimoe.attention.sliding_window": ["u32", c.sliding_window!],
    "phimoe.rope.dimension_count": ["u32", c.hidden_size! / c.num_attention_heads!],
  }),
  tensors: ({ rope_scaling }) =>
    (["long", "short"] as const).map((which) => {
      const factors = Float32Array.from((rope_scaling as unknown as Record<string, number[]>)[`${which}_factor`]!);
      const data = new Uint8Array(factors.buffer);
      return { name: `rope_factors_${which}.weight`, type: 0, dims: [factors.length], data };
    }),
};
/** sqrt(1 + ln(2048 / 64) / ln 64), which is 1.3540. */
const PHIMOE_GROWTH = Math.sqrt(1 + 5 / 6);

/** The folder's checkpoint as a GGUF file of F32. */
async function converted(path: string, given: Case): Promise<Uint8Array> {
  const { architecture, keys, tensors, make, rename, split, renamed = {} } = given;
  const { source, config, close } = await openFolder(await nodeFiles(path));
  const c = config as Config;
  const all = Object.entries({ ...common(architecture, c), ...keys(c) });
  if (make) {
    const made = await make(source);
    await close();
    return ggufFile({ keys: all, tensors: made });
  }
  const weights = new Map<string, Weights>();
  for (const name of source.names()) {
    const matrix = source.matrix(name);
    const data = new Float32Array(matrix.rows * matrix.cols);
    await matrix.readRows(0, matrix.rows, data);
    weights.set(name, { shape: source.shape(name), data });
  }
  await close();
  const sizes = { heads: c.num_attention_heads!, kvHeads: c.num_key_value_heads! };
  const { qk_nope_head_dim: nope, v_head_dim: value } = c;
  const made = convert(rename?.(weights) ?? weights, {
    ...sizes,
    permute: architecture === "llama" || architecture === "granitemoe",
    ...(split && { split: { nope: nope!, value: value! } }),
    renamed,
  });
  const own = keys(c);
  // The converter leaves layers that predict several tokens away, or says how many there are.
  const written = made.filter(({ name }) => !name.includes(".nextn.") || own[`${architecture}.nextn_predict_layers`]);
  return ggufFile({
    keys: all,
    tensors: [...written, ...(tensors?.(c) ?? [])],
  });
}

describe("architectures of GGUF files", () => {
  for (const given of cases) {
    const own = { path: inRepo(`test/fixtures/${given.folder}`), skip: null };
    const { path, skip } = given.own ? own : inShared(`fixtures/families/${given.folder}`);
    it.skipIf(skip)(
      titled(
        `${given.architecture}, ${given.folder}${given.split ? ", heads split" : ""}: logits of transformers`,
        skip,
      ),
      async () => {
        const folder = mkdtempSync(join(tmpdir(), "hotset-gguf-"));
        onTestFinished(() => rmSync(folder, { recursive: true }));
        writeFileSync(join(folder, "m.gguf"), await converted(path, given));
        const expected = await readExpected(path);
        const model = await loadFolder(folder, await cpuOps({ maxTokens: 64, activations: "f32" }), "f32", "f32");
        try {
          const { cases: prompts } = JSON.parse(readFileSync(`${path}/expected.json`, "utf8"));
          for (const [n, { prompt_ids, greedy_ids }] of prompts.entries()) {
            const want = await expected.floats(`p${n}.logits_f32`);
            const { logits } = await model.run(prompt_ids);
            expect(worst(logits.subarray(-want.length), want), `prompt ${n}`).toBeLessThan(2e-4);
            expect(await model.greedy(greedy_ids.length), `prompt ${n}`).toEqual(greedy_ids);
          }
        } finally {
          model.close();
        }
      },
    );
  }

  const { path, skip } = inShared("fixtures/families/phimoe-a");
  it.skipIf(skip)(titled("phimoe: what the folder gives with the file's attn_factor", skip), async () => {
    const folder = mkdtempSync(join(tmpdir(), "hotset-gguf-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    mkdirSync(join(folder, "gguf"));
    writeFileSync(join(folder, "gguf/m.gguf"), await converted(path, phimoe));
    const { rope_scaling, ...config } = JSON.parse(readFileSync(`${path}/config.json`, "utf8"));
    const { short_mscale, long_mscale, short_factor, long_factor, ...own } = rope_scaling;
    // the file has them in f32
    const [short, long] = [short_factor, long_factor].map((list) => list.map(Math.fround));
    const rounded = { ...config, rope_scaling: { ...own, short_factor: short, long_factor: long } };
    writeFileSync(join(folder, "config.json"), JSON.stringify(rounded));
    cpSync(`${path}/model.safetensors`, join(folder, "model.safetensors"));
    const { cases: prompts } = JSON.parse(readFileSync(`${path}/expected.json`, "utf8"));
    const results = [];
    for (const from of [folder, join(folder, "gguf")]) {
      const model = await loadFolder(from, await cpuOps({ maxTokens: 64, activations: "f32" }), "f32", "f32");
      const all = [];
      for (const { prompt_ids } of prompts) all.push((await model.run(prompt_ids)).logits, await model.greedy(24));
      model.close();
      results.push(all);
    }
    expect(results[1]).toEqual(results[0]);
  });
});
