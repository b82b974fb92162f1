// RoPE that is asked for in place of config.json's: the checkpoints of families.test.ts that scale
// it, with config.json as if it were not scaled, give transformers' tokens again.

import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { open } from "../../src/index.ts";
import { readArchitecture } from "../../src/model/families/index.ts";
import { type RopeOptions, withRope } from "../../src/model/rope_options.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { collect } from "../support/pieces.ts";

const PLAIN = { max_position_embeddings: 4096, rope_theta: 1e4 };
const V5 = { max_position_embeddings: 4096, rope_parameters: { rope_type: "default", rope_theta: 1e4 } };
const GPT_OSS = {
  max_position_embeddings: 131_072,
  rope_scaling: {
    ...{ rope_type: "yarn", factor: 32, original_max_position_embeddings: 4096, truncate: false, beta_fast: 32 },
    attention_factor: 1.5,
  },
};

describe("config.json with the RoPE that is asked for", () => {
  it.each<[RopeOptions, object, object]>([
    [{}, GPT_OSS, GPT_OSS],
    [{ context: 9999 }, PLAIN, PLAIN],
    [{ ropeTheta: 5e5 }, PLAIN, { ...PLAIN, rope_theta: 5e5, rope_scaling: {} }],
    [{ ropeTheta: 5e5 }, V5, { ...V5, rope_theta: 5e5, rope_parameters: { rope_type: "default", rope_theta: 5e5 } }],
    [
      { ropeScaling: "linear", ropeScale: 2.5 },
      PLAIN,
      { ...PLAIN, max_position_embeddings: 10_240, rope_scaling: { rope_type: "linear", factor: 2.5 } },
    ],
    [
      { ropeScale: 2 },
      V5,
      { max_position_embeddings: 8192, rope_parameters: { rope_type: "linear", factor: 2, rope_theta: 1e4 } },
    ],
    [
      { ropeScaling: "yarn", context: 10_000 },
      PLAIN,
      {
        ...{ ...PLAIN, max_position_embeddings: 10_000 },
        rope_scaling: { rope_type: "yarn", factor: 10_000 / 4096, original_max_position_embeddings: 4096 },
      },
    ],
    [
      { ropeScale: 64 },
      GPT_OSS,
      {
        max_position_embeddings: 262_144,
        rope_scaling: {
          ...{ rope_type: "yarn", factor: 64, original_max_position_embeddings: 4096, truncate: false, beta_fast: 32 },
        },
      },
    ],
    [
      // the block that counts where there are two
      { ropeScale: 4, ropeTheta: 9 },
      { ...V5, rope_scaling: { type: "linear", factor: 2, rope_theta: 8 } },
      {
        ...{ ...V5, max_position_embeddings: 16_384, rope_theta: 9 },
        rope_scaling: { rope_type: "linear", factor: 4, rope_theta: 9 },
      },
    ],
    [{ ropeScaling: "none" }, GPT_OSS, { max_position_embeddings: 4096, rope_scaling: { rope_type: "default" } }],
  ])("%j", (options, config, wanted) => {
    expect(withRope(config, options)).toEqual(wanted);
  });

  it("is that of the text model of a model that also sees", () => {
    const text = { ...PLAIN, hidden_size: 64, num_hidden_layers: 1, vocab_size: 10, rms_norm_eps: 1e-5 };
    const sizes = { intermediate_size: 32, num_local_experts: 2, num_experts_per_tok: 1, num_attention_heads: 1 };
    const config = { model_type: "mixtral", text_config: { ...text, ...sizes, num_key_value_heads: 1 } };
    const { context, layers } = readArchitecture(config, "config.json", { ropeScale: 2 });
    expect([context, layers[0]!.attention!.rope.inverse[0]]).toEqual([8192, 0.5]);
    const { max_position_embeddings, ...without } = config.text_config;
    expect(() => readArchitecture({ ...config, text_config: without }, "config.json", { ropeScale: 2 })).toThrow(
      "config.json: max_position_embeddings: expected an integer",
    );
  });

  it.each<[RopeOptions, object, RegExp]>([
    [{ ropeScaling: "yarn" }, PLAIN, /ropeScaling yarn: expected ropeScale, .* the 4096 trained .* or a context/],
    [{ ropeScaling: "none", ropeScale: 2 }, PLAIN, /ropeScale: has no meaning with ropeScaling none/],
    ...["longrope", "llama3", "factors"].map((type): [RopeOptions, object, RegExp] => [
      { ropeScale: 2 },
      { ...PLAIN, rope_scaling: { type } },
      new RegExp(`trained with RoPE of type "${type}", which cannot be replaced`),
    ]),
    [
      { ropeScaling: "linear", ropeScale: 2 },
      { ...PLAIN, rope_scaling: { type: "yarn", factor: 40, mscale_all_dim: 1 } },
      /attention is scaled with its YaRN, expected yarn, found linear/,
    ],
    [
      { ropeTheta: 1e6 },
      { ...PLAIN, rope_parameters: { full_attention: { rope_type: "default" } } },
      /ropeTheta: this model has RoPE by the type of the layer/,
    ],
  ])("%j for %j is refused", (options, config, message) => {
    expect(() => withRope(config, options)).toThrow(message);
  });
});

describe("a model opened with it", () => {
  const [linear, yarn] = ["linear", "yarn"].map((kind) => inShared(`fixtures/families/mixtral-${kind}-a`));

  it.skipIf(linear!.skip).each([
    { kind: "linear", folder: linear!, ropeScale: 4 },
    { kind: "yarn", folder: yarn!, ropeScale: undefined },
  ] as const)(titled("$kind: writes transformers' tokens", linear!.skip), async ({ kind, folder, ropeScale }) => {
    const to = mkdtempSync(join(tmpdir(), "hotset-rope-"));
    onTestFinished(() => rmSync(to, { recursive: true }));
    cpSync(`${folder.path}/model.safetensors`, join(to, "model.safetensors"));
    const { rope_scaling, ...config } = JSON.parse(readFileSync(`${folder.path}/config.json`, "utf8"));
    const unscaled = { ...config, rope_theta: 77, max_position_embeddings: 64 };
    writeFileSync(join(to, "config.json"), JSON.stringify(unscaled));
    const exact = { backend: "cpu", weights: "f32", activations: "f32", threads: 1, context: 256 } as const;
    await expect(open(to, exact)).rejects.toThrow(/at most 64 positions, 256 were asked for; ropeScaling/);
    await expect(open(to, { ...exact, ropeScale: 0.5 })).rejects.toThrow(/ropeScale: expected a number of at least 1/);
    const options = { ropeScaling: kind, ropeTheta: config.rope_theta, ...(ropeScale && { ropeScale }) };
    const model = await open(to, { ...exact, ...options });
    try {
      expect(model.stats().context).toBe(256);
      const { cases } = JSON.parse(readFileSync(`${folder.path}/expected.json`, "utf8"));
      for (const { prompt_ids, greedy_ids } of cases) {
        const greedy = { maxTokens: 24, temperature: 0, ignoreEos: true };
        const { ids } = await collect(model.session().generate(prompt_ids, greedy));
        expect(ids).toEqual(greedy_ids);
      }
    } finally {
      await model.close();
    }
  });
});
