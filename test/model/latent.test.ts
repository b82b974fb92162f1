// Latent attention beyond transformers' outputs (families.test.ts): what the cache holds, sessions
// that share and restore it, mixes of formats, and fields that are refused.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { inspect } from "../../src/cli/inspect.ts";
import type { Model } from "../../src/engine/model.ts";
import { open, quantize } from "../../src/index.ts";
import { readArchitecture } from "../../src/model/families/index.ts";
import { kvGeometry } from "../../src/model/family.ts";
import { kvBlockBytes } from "../../src/model/footprint.ts";
import { defaultRope } from "../../src/model/rope.ts";
import { backends } from "../support/backends.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { collect } from "../support/pieces.ts";

const BASE = {
  hidden_size: 48,
  intermediate_size: 64,
  moe_intermediate_size: 18,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_experts_per_tok: 4,
  n_routed_experts: 12,
  vocab_size: 320,
  max_position_embeddings: 4096,
  kv_lora_rank: 32,
  qk_nope_head_dim: 16,
  qk_rope_head_dim: 8,
  v_head_dim: 20,
};
const V2 = { ...BASE, model_type: "deepseek_v2", q_lora_rank: null };
const V3 = { ...BASE, model_type: "deepseek_v3", n_group: 4, topk_group: 2, first_k_dense_replace: 1 };
const LITE = { ...BASE, model_type: "glm4_moe_lite" };

describe("config.json of a DeepSeek-V2", () => {
  it("has one key a position, whose end is the value", () => {
    const a = readArchitecture({ ...V2, first_k_dense_replace: 1 }, "config.json");
    expect(a.layers[1]).toEqual({
      attention: {
        heads: 4,
        kvHeads: 1,
        headDim: 40,
        latent: 32,
        scale: 1 / Math.sqrt(24),
        window: null,
        rope: defaultRope(1e4, 8),
      },
      latent: { rank: null, nope: 16, value: 20, interleaved: true },
      qkNorm: null,
      experts: {
        count: 12,
        perToken: 4,
        intermediate: 18,
        rule: { score: "softmax", groups: null, normalize: false, added: 0, least: 0, factor: 1 },
        biased: false,
      },
      dense: null,
      shared: { intermediate: 36, gated: false },
    });
    expect(a.layers.map(({ dense }) => dense)).toEqual([{ intermediate: 64 }, null, null]);
    expect(kvGeometry(a)).toEqual({ layers: 3, kvHeads: 1, headDim: 40, keysOnly: true });
    expect(kvBlockBytes(kvGeometry(a), "f16", 1)).toEqual({ blockBytes: 3 * 40 * 2, paneBytes: 0 });
  });

  it("keeps groups by their best expert, and grows scores with YaRN", () => {
    const grouped = { topk_method: "group_limited_greedy", n_group: 3, topk_group: 2, routed_scaling_factor: 16 };
    const rope_scaling = { type: "yarn", factor: 40, original_max_position_embeddings: 4096, mscale_all_dim: 0.9 };
    const [layer] = readArchitecture({ ...V2, ...grouped, rope_scaling }, "config.json").layers;
    expect(layer!.experts!.rule).toMatchObject({ groups: { count: 3, kept: 2, by: "max" }, factor: 16 });
    expect(layer!.attention!.scale).toBeCloseTo((0.09 * Math.log(40) + 1) ** 2 / Math.sqrt(24), 12);
  });

  it.each<[object, string]>([
    [{ norm_topk_prob: true }, "norm_topk_prob: expected false (weights are not renormalised), found true"],
    [{ topk_method: "noaux_tc" }, 'topk_method: expected "greedy" or "group_limited_greedy", found "noaux_tc"'],
    [{ scoring_func: "sigmoid" }, 'scoring_func: expected "softmax", found "sigmoid"'],
    [{ mlp_bias: 1 }, "mlp_bias: expected true or false, found 1"],
    [{ moe_layer_freq: 2 }, "moe_layer_freq: expected 1 (each layer after the dense ones has experts), found 2"],
    [{ qk_rope_head_dim: 7 }, "qk_rope_head_dim: expected an even number (RoPE rotates pairs), found 7"],
    [{ qk_head_dim: 16 }, "qk_head_dim: expected 24, found 16"],
    [{ num_key_value_heads: 2 }, "num_key_value_heads: expected num_attention_heads (4): heads share a latent"],
    [{ kv_lora_rank: 0 }, "kv_lora_rank: expected an integer"],
    [{ first_k_dense_replace: 3 }, "first_k_dense_replace: expected less than num_hidden_layers (3), found 3"],
    [
      { topk_method: "group_limited_greedy", n_group: 6, topk_group: 1 },
      "expected a router that can choose a token's experts, found 4 experts a token from 1 of 6 groups of 2",
    ],
  ])("with %j is refused", (change, message) => {
    expect(() => readArchitecture({ ...V2, ...change }, "config.json")).toThrow(`config.json: ${message}`);
  });
});

describe("config.json of a DeepSeek-V3 or a GLM-4.7-Flash", () => {
  it("chooses by sigmoids, with queries of low rank", () => {
    const [dense, layer] = readArchitecture(V3, "config.json").layers;
    expect(dense!.experts).toBeNull();
    expect(layer!.latent).toEqual({ rank: 1536, nope: 16, value: 20, interleaved: true });
    const rule = { score: "sigmoid", groups: { count: 4, kept: 2, by: "two" }, normalize: true, factor: 2.5 };
    expect(layer!.experts).toMatchObject({ biased: true, rule });
    const types = ["sparse", "dense", "sparse"];
    const lite = readArchitecture({ ...LITE, mlp_layer_types: types, rope_interleave: false }, "config.json").layers;
    expect(lite.map(({ dense }) => (dense ? "dense" : "sparse"))).toEqual(types);
    expect(lite[0]!.latent!.interleaved).toBe(false);
    expect(lite[0]!.experts!.rule).toMatchObject({ groups: null, factor: 1.8 });
    const eps = (own: object) => readArchitecture({ ...own, rms_norm_eps: undefined }, "config.json").eps;
    expect([eps(V3), eps(LITE)]).toEqual([1e-6, 1e-5]); // as in transformers
  });

  it.each<[object, string]>([
    [{ scoring_func: "softmax" }, 'scoring_func: expected "sigmoid", found "softmax"'],
    [{ topk_method: "greedy" }, 'topk_method: expected "noaux_tc", found "greedy"'],
    [{ topk_group: 1 }, "expected a router that can choose a token's experts, found 4 experts a token from 1 of 4"],
    [{ mlp_layer_types: ["dense"] }, 'mlp_layer_types: expected a list of 3, of "sparse" (once at least) and "dense"'],
    [{ mlp_layer_types: Array(3).fill("dense") }, 'mlp_layer_types: expected a list of 3, of "sparse" (once at least)'],
    [{ rope_interleave: 1 }, "rope_interleave: expected true or false, found 1"],
  ])("with %j is refused", (change, message) => {
    expect(() => readArchitecture({ ...V3, ...change }, "config.json")).toThrow(`config.json: ${message}`);
  });
});

const { path, skip } = inShared("fixtures/families/deepseek_v2-a");
const greedy = (maxTokens: number) => ({ temperature: 0, maxTokens, ignoreEos: true });

async function go(model: Model, ids: readonly number[], count: number) {
  const session = model.session();
  const { ids: next, finish } = await collect(session.generate(ids, greedy(count)));
  return { session, next, cached: finish.cachedTokens };
}

describe("a cache of latents", () => {
  it.skipIf(skip).each(backends)(
    titled("is shared by sessions with one beginning, saved and restored: $name", skip),
    async ({ options }) => {
      const model = await open(path, { ...options, weights: "f32", kv: "f32", context: 256, chunk: 32 });
      const [, , { prompt_ids, greedy_ids }] = JSON.parse(readFileSync(`${path}/expected.json`, "utf8")).cases;
      const first = await go(model, prompt_ids, greedy_ids.length);
      expect(first.next).toEqual(greedy_ids);
      const second = await go(model, prompt_ids, greedy_ids.length);
      expect(second.next).toEqual(greedy_ids);
      expect(second.cached).toBeGreaterThan(100);
      const bytes = await first.session.save();
      const restored = await model.restore(bytes);
      const all = [...prompt_ids, ...greedy_ids];
      const [old, young] = [
        await collect(first.session.generate(all, greedy(5))),
        await collect(restored.generate(all, greedy(5))),
      ];
      expect(young.ids).toEqual(old.ids);
      expect(young.finish.cachedTokens).toBe(all.length - 1);
      await model.close();
    },
  );

  it.skipIf(skip)(titled("runs in formats of each matrix's own, packed first or not", skip), async () => {
    const to = join(mkdtempSync(join(tmpdir(), "hotset-latent-")), "packed");
    onTestFinished(() => rmSync(join(to, ".."), { recursive: true }));
    await quantize(path, to, { threads: 1 });
    expect(await inspect(to)).toMatchObject({ problem: null });
    const model = await open(to, { backend: "cpu", threads: 1, context: 64 });
    const logits = await model.logits([1, 2, 3]);
    expect(logits.every(Number.isFinite)).toBe(true);
    await model.close();
  });
});
