import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WeightsError } from "../../../src/errors.ts";
import { bindSources, readArchitecture } from "../../../src/model/families/index.ts";
import type { Architecture } from "../../../src/model/family.ts";
import { type Format, rowPlanes } from "../../../src/tensor/format.ts";
import { openFolder, type WeightsFolder } from "../../../src/weights/folder.ts";
import { GGML_TYPES, type GgmlType } from "../../../src/weights/gguf/types.ts";
import { generator } from "../../support/random.ts";
import { memoryFiles } from "../memory_files.ts";
import { type Given, ggufFile, type MadeTensor } from "./make_gguf.ts";
import { type Checkpoint, checkpoint, convert, F, HEAD_DIM, HEADS, keysOf, modelFile } from "./make_model.ts";

const openFile = (file: Uint8Array): Promise<WeightsFolder> => openFolder(memoryFiles({ "m.gguf": file }), "m.gguf");

/** Opens and binds: every name and shape is checked. */
async function bound(file: Uint8Array): Promise<{ folder: WeightsFolder; architecture: Architecture }> {
  const folder = await openFile(file);
  const architecture = readArchitecture(folder.config, folder.label);
  bindSources(architecture, folder.source);
  return { folder, architecture };
}

const messageOf = async (promise: Promise<unknown>): Promise<string> => {
  const error = await promise.then(
    () => new Error("nothing was refused"),
    (error: Error) => error,
  );
  expect([error.name, error.message]).toEqual(["WeightsError", error.message]);
  return error.message;
};

async function expectSame(file: Uint8Array, original: Checkpoint): Promise<void> {
  const { source } = (await bound(file)).folder;
  expect([...source.names()].sort()).toEqual([...original.keys()].sort());
  for (const [name, { shape, data }] of original) {
    expect([name, ...source.shape(name)]).toEqual([name, ...shape]);
    const matrix = source.matrix(name);
    const { rows, cols } = matrix;
    const values = new Float32Array(rows * cols);
    await matrix.readRows(0, rows, values);
    expect([name, values]).toEqual([name, data]);
    const bytes = new Uint8Array(4 * rows * cols);
    await matrix.readBlocks!(0, rows, bytes);
    expect([name, new Float32Array(bytes.buffer)]).toEqual([name, data]);
    // ranges that begin and end within a head
    for (const [first, count] of [
      [0, 1],
      [3, 7],
      [rows - 5, 5],
    ] as const) {
      if (rows < 10) break;
      const some = new Float32Array(count * cols);
      await matrix.readRows(first, count, some);
      expect(some).toEqual(data.subarray(first * cols, (first + count) * cols));
      const cut = source.matrix(name, first, count);
      await cut.readRows(0, count, some.fill(0));
      expect(some).toEqual(data.subarray(first * cols, (first + count) * cols));
      await cut.readBlocks!(1, count - 1, new Uint8Array(some.buffer));
    }
  }
}

describe("tensors under the model hub's names, rows of q and k put back", () => {
  it.each([
    ["merged experts", {}],
    ["one tensor an expert, as in 2023", { single: true }],
    ["fused q, k, v and gate, up, as of 2026", { fused: true }],
  ])("%s", async (_, conversion) => {
    const original = checkpoint();
    await expectSame(modelFile({}, convert(original, conversion)), original);
  });

  it("a head that is the embedding", async () => {
    const original = checkpoint(undefined, undefined, true);
    await expectSame(modelFile({}, convert(original)), original);
    const { folder } = await bound(modelFile({}, convert(original)));
    expect(folder.config).toMatchObject({ tie_word_embeddings: true });
  });

  it("a bias of q and k, too", async () => {
    const bias = Float32Array.from({ length: HEADS * HEAD_DIM }, (_, i) => i);
    const tensors = convert(checkpoint());
    tensors.push({ name: "blk.0.attn_q.bias", type: 0, dims: [bias.length], data: new Uint8Array(bias.buffer) });
    const { source } = await openFile(modelFile({}, tensors));
    const values = new Float32Array(bias.length);
    await source.matrix("model.layers.0.self_attn.q_proj.bias").readRows(0, 1, values);
    expect([...values.subarray(0, HEAD_DIM)]).toEqual([0, 2, 4, 6, 1, 3, 5, 7]);
  });

  it("refuses a weight that is not finite, with its place", async () => {
    const tensors = convert(checkpoint());
    const up = tensors.find(({ name }) => name === "blk.0.ffn_up_exps.weight")!;
    new Float32Array(up.data!.buffer)[F * 32 + 33] = Number.NaN;
    const { source } = await openFile(modelFile({}, tensors));
    const matrix = source.matrix("model.layers.0.block_sparse_moe.experts.1.w3.weight");
    const message = await messageOf(matrix.readRows(0, F, new Float32Array(F * 32)));
    expect(message).toMatch(/experts\.1\.w3\.weight \(blk\.0\.ffn_up_exps\.weight\) holds NaN at \[1, 1\]/);
    expect(await messageOf(matrix.readBlocks!(0, F, new Uint8Array(4 * F * 32)))).toBe(message);
  });

  const computed = [...GGML_TYPES.values()].filter(({ format }) => format !== null);
  it.each(computed.map((type) => [type.name, type] as const))("%s: wherever a block may hold it", async (_, type) => {
    const { elements, bytes, format } = type as GgmlType & { readonly format: Format };
    const cols = elements === 1 ? 65 : Math.max(elements, 64);
    const length = (cols / elements) * bytes;
    // Row r has its byte r set: by the format's definition some have an infinity or a NaN.
    const random = generator(type.id);
    const data = Uint8Array.from({ length: length * length }, () => 256 * random());
    for (let r = 0; r < length; r++) data[r * length + r] = 255;
    const tensors = convert(checkpoint()).filter(({ name }) => name !== "token_embd.weight");
    tensors.push({ name: "token_embd.weight", type: type.id, dims: [cols, length], data });
    const matrix = (await openFile(modelFile({}, tensors))).source.matrix("model.embed_tokens.weight");
    const planes = rowPlanes(format, 1, cols);
    const row = new Float32Array(cols);
    let finite = 0;
    for (let r = 0; r < length; r++) {
      const blocks = data.subarray(r * length, (r + 1) * length);
      type.blocks!.split(blocks, planes);
      format.unpack(planes, cols, row);
      const read = new Uint8Array(length);
      if (row.every(Number.isFinite)) {
        finite++;
        await matrix.readBlocks!(r, 1, read);
        expect(read).toEqual(blocks);
      } else
        for (const _ of ["first", "again"])
          expect(await messageOf(matrix.readBlocks!(r, 1, read))).toContain(`at [${r}, `);
    }
    expect(finite).toBeGreaterThan(0);
    expect(finite).toBeLessThan(length);
  });
});

describe("architectures", () => {
  const norms = (...names: [string, number][]): MadeTensor[] =>
    names.map(([name, size]) => ({ name, type: 0, dims: [size] }));
  const mlp = (): MadeTensor[] =>
    convert(checkpoint("mlp.", ["gate_proj", "up_proj", "down_proj"]), { permute: false });

  it("qwen3moe, with a size of heads of its own", async () => {
    const keys = keysOf("qwen3moe", {
      "qwen3moe.expert_feed_forward_length": ["u32", F],
      "qwen3moe.attention.key_length": ["u32", HEAD_DIM],
      "qwen3moe.attention.value_length": ["u32", HEAD_DIM],
      "qwen3moe.rope.freq_base": ["f32", 1e6],
    });
    const tensors = [
      ...mlp(),
      ...norms(["blk.0.attn_q_norm.weight", HEAD_DIM], ["blk.0.attn_k_norm.weight", HEAD_DIM]),
    ];
    const { architecture: a } = await bound(ggufFile({ keys, tensors }));
    expect(a.layers[0]).toMatchObject({
      qkNorm: "head",
      experts: { count: 3, intermediate: F, rule: { normalize: true } },
    });
    expect(a.config).toMatchObject({ model_type: "qwen3_moe", rope_theta: 1e6, rms_norm_eps: 1e-5 });
  });

  it("olmoe", async () => {
    const tensors = [...mlp(), ...norms(["blk.0.attn_q_norm.weight", 32], ["blk.0.attn_k_norm.weight", 16])];
    const { architecture: a } = await bound(ggufFile({ keys: keysOf("olmoe"), tensors }));
    expect(a.layers[0]).toMatchObject({ qkNorm: "whole", experts: { rule: { normalize: false } } });
    const clamped = ggufFile({ keys: keysOf("olmoe", { "olmoe.attention.clamp_kqv": ["f32", 8] }), tensors });
    expect(await messageOf(openFile(clamped))).toMatch(/olmoe\.attention\.clamp_kqv: expected 0, found 8/);
  });

  it("minimax-m2, of whose heads a part turns", async () => {
    const keys = keysOf("minimax-m2", {
      "minimax-m2.expert_feed_forward_length": ["u32", F],
      "minimax-m2.rope.dimension_count": ["u32", 4],
      "minimax-m2.expert_gating_func": ["u32", 2],
    });
    const tensors = [
      ...convert(checkpoint(), { permute: false }),
      ...norms(["blk.0.attn_q_norm.weight", 32], ["blk.0.attn_k_norm.weight", 16], ["blk.0.exp_probs_b.bias", 3]),
    ];
    const { architecture: a } = await bound(ggufFile({ keys, tensors }));
    expect(a.layers[0]!.attention!.rope.inverse).toHaveLength(2);
    expect(a.layers[0]!.experts!.rule.score).toBe("sigmoid");
  });
});

describe("metadata becomes config.json", () => {
  const scaling = async (changes: Readonly<Record<string, Given>>, extra: MadeTensor[] = []) =>
    ((await openFile(modelFile(changes, [...convert(checkpoint()), ...extra]))).config as Record<string, unknown>)
      .rope_scaling;

  it("with defaults for what a file may leave away", async () => {
    const { config } = await openFile(modelFile({ "llama.attention.head_count_kv": undefined }, []));
    expect(config).toEqual({
      model_type: "mixtral",
      hidden_size: 32,
      intermediate_size: 64,
      num_hidden_layers: 1,
      num_attention_heads: 4,
      num_key_value_heads: 4,
      head_dim: 8,
      vocab_size: 5,
      max_position_embeddings: 64,
      rms_norm_eps: 1e-5,
      rope_theta: 10_000,
      num_local_experts: 3,
      num_experts_per_tok: 2,
      hidden_act: "silu",
      sliding_window: null,
      tie_word_embeddings: true,
      bos_token_id: null,
      eos_token_id: null,
    });
  });

  it("with numbers a layer, if they are equal; a window; ids; the vocabulary's size", async () => {
    const { config } = await openFile(
      modelFile({
        "llama.attention.head_count_kv": ["array", "i32", [2]],
        "llama.feed_forward_length": ["array", "u32", [64, 64]],
        "llama.attention.sliding_window": ["u64", 4096n],
        "llama.vocab_size": undefined,
        "tokenizer.ggml.tokens": ["array", "string", ["a", "b"]],
        "tokenizer.ggml.bos_token_id": ["u32", 1],
        "tokenizer.ggml.eos_token_id": ["i32", -1],
      }),
    );
    expect(config).toMatchObject({ num_key_value_heads: 2, intermediate_size: 64, sliding_window: 4096 });
    expect(config).toMatchObject({ vocab_size: 2, bos_token_id: 1, eos_token_id: null });
  });

  it("more tokens than the vocabulary has are refused before they are read", async () => {
    const tokens = Array.from({ length: 6 }, (_, i) => `t${i}`);
    const file = modelFile({ "tokenizer.ggml.tokens": ["array", "string", tokens] });
    expect(await messageOf(openFile(file))).toMatch(/llama\.vocab_size: expected at least the 6 tokens .*, found 5$/);
  });

  it("a vocabulary that may be misread is noted", async () => {
    const words = { "tokenizer.ggml.model": ["string", "gpt2"] } as const satisfies Record<string, Given>;
    expect((await openFile(modelFile(words))).tokenizerNote).toMatch(/^tokenizer\.ggml\.pre is missing: /);
    const named = { ...words, "tokenizer.ggml.pre": ["string", "qwen2"] } as const satisfies Record<string, Given>;
    expect((await openFile(modelFile(named))).tokenizerNote).toBeNull();
  });

  it("with scaled RoPE: linear in three spellings, YaRN", async () => {
    expect(await scaling({ "llama.rope.scaling.type": ["string", "none"] })).toBeUndefined();
    const linear = { rope_type: "linear", factor: 4 };
    expect(
      await scaling({ "llama.rope.scaling.type": ["string", "linear"], "llama.rope.scaling.factor": ["f32", 4] }),
    ).toEqual(linear);
    expect(await scaling({ "llama.rope.scaling.factor": ["f32", 4] })).toEqual(linear);
    expect(await scaling({ "llama.rope.scale_linear": ["f32", 4] })).toEqual(linear);
    const yarn = {
      "llama.rope.scaling.type": ["string", "yarn"],
      "llama.rope.scaling.factor": ["f32", 4],
      "llama.rope.scaling.original_context_length": ["u32", 16],
    } as const satisfies Record<string, Given>;
    expect(await scaling(yarn)).toEqual({
      rope_type: "yarn",
      factor: 4,
      original_max_position_embeddings: 16,
      beta_fast: 32,
      beta_slow: 1,
    });
    const grown = await scaling({ ...yarn, "llama.rope.scaling.attn_factor": ["f32", 0.5] });
    expect(grown).toMatchObject({ attention_factor: 0.5 * (0.1 * Math.log(4) + 1) });
  });

  it("with the divisors of llama3's frequencies", async () => {
    const factors = Float32Array.of(1, 2, 4, 8);
    const tensor = { name: "rope_freqs.weight", type: 0, dims: [4], data: new Uint8Array(factors.buffer) };
    const { architecture } = await bound(modelFile({}, [...convert(checkpoint()), tensor]));
    const plain = (await bound(modelFile())).architecture.layers[0]!.attention!.rope.inverse;
    const { inverse } = architecture.layers[0]!.attention!.rope;
    expect([...inverse]).toEqual([...plain].map((value, i) => Math.fround(value / factors[i]!)));
    const bad = { ...tensor, dims: [2], data: new Uint8Array(8) };
    expect(await messageOf(bound(modelFile({}, [...convert(checkpoint()), bad])))).toMatch(/factors: expected 4/);
  });

  it.each<[string, Readonly<Record<string, Given | undefined>>, RegExp]>([
    ["no architecture", { "general.architecture": undefined }, /general\.architecture: is missing/],
    [
      "another architecture",
      { "general.architecture": ["string", "grok"] },
      /"grok" is not supported; .*llama, qwen3moe/,
    ],
    ["a dense model", { "llama.expert_count": undefined }, /no Mixture-of-Experts model/],
    ["no experts", { "llama.expert_count": ["u32", 0] }, /no Mixture-of-Experts model/],
    ["an adapter", { "general.type": ["string", "adapter"] }, /is an adapter \(LoRA\)/],
    ["a projector", { "general.type": ["string", "mmproj"] }, /projector of a vision model/],
    ["an old projector", { "general.architecture": ["string", "clip"] }, /vision encoder/],
    ["an importance matrix", { "general.type": ["string", "imatrix"] }, /importance matrix/],
    ["another kind", { "general.type": ["string", "x"] }, /general\.type: expected "model", found "x"/],
    ["no layers", { "llama.block_count": ["u32", 0] }, /llama\.block_count: expected a whole number from 1 to 512/],
    ["too many layers", { "llama.block_count": ["u32", 513] }, /llama\.block_count/],
    ["too many experts", { "llama.expert_count": ["u32", 1025] }, /llama\.expert_count: .* 1 to 1024/],
    ["no heads", { "llama.attention.head_count": ["u32", 0] }, /attention\.head_count: expected/],
    ["negative heads", { "llama.attention.head_count": ["i32", -4] }, /attention\.head_count: expected/],
    ["a float", { "llama.embedding_length": ["f32", 32] }, /embedding_length: expected a whole number, found f32/],
    ["a key that is missing", { "llama.embedding_length": undefined }, /llama\.embedding_length is missing/],
    ["another size of values", { "llama.attention.value_length": ["u32", 4] }, /value_length: expected key_length/],
    ["unequal layers", { "llama.attention.head_count_kv": ["array", "u32", [2, 4]] }, /the same number in every layer/],
    ["no number a layer", { "llama.attention.head_count_kv": ["array", "u32", []] }, /an empty array/],
    ["a part of a head", { "llama.rope.dimension_count": ["u32", 4] }, /dimension_count: expected 8/],
    ["a scale of experts", { "llama.expert_weights_scale": ["f32", 2.5] }, /expert_weights_scale: expected 0 or 1/],
    ["another router", { "llama.expert_gating_func": ["u32", 2] }, /expert_gating_func: expected 0 or 1, found 2/],
    ["shared experts", { "llama.expert_shared_count": ["u32", 1] }, /expert_shared_count/],
    ["dense layers", { "llama.leading_dense_block_count": ["u32", 1] }, /leading_dense_block_count/],
    ["another scaling", { "llama.rope.scaling.type": ["string", "longrope"] }, /expected none, linear or yarn/],
    [
      "a negative count",
      { "llama.attention.sliding_window": ["i32", -1] },
      /sliding_window: expected .* from 0 on, found -1/,
    ],
    ["a context of nothing", { "llama.context_length": ["u32", 0] }, /context_length/],
  ])("refuses %s by name", async (_, changes, problem) => {
    expect(await messageOf(openFile(modelFile(changes)))).toMatch(problem);
  });

  it("refuses quantized tensors of an old version, and types that nothing computes with", async () => {
    const tensors = convert(checkpoint()).map((tensor) =>
      tensor.name === "blk.0.attn_v.weight" ? { name: tensor.name, type: 8, dims: tensor.dims } : tensor,
    );
    await bound(modelFile({}, tensors));
    const old = modelFile({ "general.quantization_version": ["u32", 1] }, tensors);
    expect(await messageOf(openFile(old))).toMatch(/quantization_version: expected 2, found 1/);
    const int8 = tensors.map((tensor) => (tensor.type === 8 ? { ...tensor, type: 24 } : tensor));
    expect(await messageOf(bound(modelFile({}, int8)))).toMatch(/attn_v\.weight is of type I8, which is not computed/);
  });

  it("refuses tensors that the family does not have, by name", async () => {
    const extra = (name: string, dims = [32]): Uint8Array =>
      modelFile({}, [...convert(checkpoint()), { name, type: 0, dims }]);
    expect(await messageOf(bound(extra("blk.0.attn_sinks.weight")))).toMatch(/blk\.0\.attn_sinks\.weight/);
    expect(await messageOf(bound(extra("blk.0.ffn_up_exps.scale", [3])))).toMatch(/ffn_up_exps\.scale/);
    expect(await messageOf(bound(extra("rope_factors_long.weight", [4])))).toMatch(/rope_factors_long/);
    expect(await messageOf(bound(extra("blk.1.attn_norm.weight")))).toMatch(/: blk\.1\.attn_norm\.weight;/);
    expect(await messageOf(openFile(extra("blk.00.attn_norm.weight")))).toMatch(
      /tensors blk\.0\.attn_norm\.weight and blk\.00\.attn_norm\.weight are the same/,
    );
    const short = convert(checkpoint()).filter(({ name }) => name !== "blk.0.ffn_up_exps.weight");
    expect(await messageOf(bound(modelFile({}, short)))).toMatch(/experts\.0\.w3\.weight \[64,32\] is missing/);
  });
});

describe("mutations of a model", () => {
  const valid = modelFile({ "llama.rope.scaling.type": ["string", "yarn"], "llama.rope.scaling.factor": ["f32", 2] });
  const front = valid.length - convert(checkpoint()).reduce((sum, { data }) => sum + data!.length, 0);

  it("give a model or a WeightsError, and nothing else", { timeout: 20_000 }, async () => {
    await bound(valid);
    const place = fc.nat(front - 8);
    const word = fc.constantFrom(0n, 1n, 2n, 4n, 255n, 2n ** 31n, 2n ** 32n, 2n ** 63n, 2n ** 64n - 1n);
    const change = fc.oneof(
      fc.tuple(place, fc.nat(255)).map(([at, value]) => [at, 1, BigInt(value)] as const),
      fc.tuple(place, word).map(([at, value]) => [at, 4, value] as const),
      fc.tuple(place, word).map(([at, value]) => [at, 8, value] as const),
    );
    let opened = 0;
    const check = async (changes: readonly (readonly [number, number, bigint])[]): Promise<void> => {
      const file = valid.slice();
      for (const [at, bytes, value] of changes)
        for (let i = 0; i < bytes; i++) file[at + i] = Number((value >> BigInt(8 * i)) & 255n);
      try {
        const { folder, architecture } = await bound(file);
        const embed = folder.source.matrix("model.embed_tokens.weight");
        await embed.readRows(0, 1, new Float32Array(architecture.hidden));
        opened++;
      } catch (error) {
        if (!(error instanceof WeightsError)) throw error;
      }
    };
    await fc.assert(fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), check), {
      seed: 14,
      numRuns: 5000,
      interruptAfterTimeLimit: 2000,
    });
    expect(opened).toBeGreaterThan(0);
  });
});
