import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { RequestError } from "../../src/errors.ts";
import { bindSources, readArchitecture } from "../../src/model/families/index.ts";
import { parametersOf } from "../../src/model/footprint.ts";
import { concatRows } from "../../src/model/sources.ts";
import { packRows, rowPlanes, unpackRows } from "../../src/tensor/format.ts";
import type { MatrixSource, WeightSource } from "../../src/tensor/types.ts";
import { isSynthetic, parseSynthetic } from "../../src/weights/synthetic.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { some } from "../support/some.ts";

const NARROW =
  "synthetic:mixtral-8x7b?layers=32&hidden_size=128&intermediate_size=192&num_attention_heads=4&num_key_value_heads=2&vocab_size=256";

/** The source of a model whose family has asked for its tensors. */
function made(url: string): WeightSource {
  const { config, source } = parseSynthetic(url);
  bindSources(readArchitecture(config, url), source);
  return source;
}

async function read(matrix: MatrixSource, first = 0, count = matrix.rows): Promise<Float32Array> {
  const into = new Float32Array(count * matrix.cols);
  await matrix.readRows(first, count, into);
  return into;
}

/** Bit for bit. */
function same(a: ArrayBufferView, b: ArrayBufferView): boolean {
  const bytes = (x: ArrayBufferView) => new Uint8Array(x.buffer, x.byteOffset, x.byteLength);
  return Buffer.compare(bytes(a), bytes(b)) === 0;
}

describe("a synthetic URL", () => {
  // Parameter counts as published with the models ("46.7B", "12.9B active"; "141B", "39B active";
  // "30.5B", "3.3B", which is 3.35; "235B", "22B"; "6.92B", "1.28B"; "20.91B", "3.61B" and
  // "116.83B", "5.13B", which leave out the embedding's 0.58B; "35B", "3B"; "80B", "3B";
  // "29.9B", "3B"; "15.7B", "2.4B" without the embedding's 0.2B; "1.3B", "400M" with it once;
  // "8.3B", "1.5B", which is 1.56; "14.3B", "2.7B"; "41.9B", "6.6B"; "230B", "10B" and
  // "106B", "12B" without embedding and head; "21B", "3B"; "671B", "37B": rounded here to one
  // decimal).
  const shapes: [string, number, number, number][] = [
    ["synthetic:mixtral-8x7b", 32, 46.7, 12.9],
    ["synthetic:mixtral-8x22b", 56, 140.6, 39.2],
    ["synthetic:qwen3-30b-a3b", 48, 30.5, 3.4],
    ["synthetic:qwen3-235b-a22b", 94, 235.1, 22.2],
    ["synthetic:olmoe-1b-7b", 16, 6.9, 1.3],
    ["synthetic:gpt-oss-20b", 24, 20.9, 4.2],
    ["synthetic:gpt-oss-120b", 36, 116.8, 5.7],
    ["synthetic:qwen3.6-35b-a3b", 40, 34.7, 3.5],
    ["synthetic:qwen3-next-80b-a3b", 48, 79.7, 3.9],
    ["synthetic:glm-4.7-flash", 47, 29.9, 3.9],
    ["synthetic:deepseek-v2-lite", 27, 15.7, 2.7],
    ["synthetic:granite-3.1-1b-a400m", 24, 1.3, 0.4],
    ["synthetic:lfm2-8b-a1b", 24, 8.3, 1.6],
    ["synthetic:qwen1.5-moe-a2.7b", 24, 14.3, 2.7],
    ["synthetic:minimax-m2", 62, 228.7, 11],
    ["synthetic:phi-3.5-moe", 32, 41.9, 6.6],
    ["synthetic:glm-4.5-air", 46, 106.9, 13.4],
    ["synthetic:ernie-4.5-21b-a3b", 28, 21.8, 3.4],
    ["synthetic:deepseek-v3", 61, 671, 37.6],
  ];
  it.each(some(shapes, 5))("%s has the model's true shapes", (url, layers, total, active) => {
    const { config, source } = parseSynthetic(url);
    const c = readArchitecture(config, url);
    const sources = bindSources(c, source);
    expect(c.layers).toHaveLength(layers);
    expect(parametersOf(c, sources).total / 1e9).toBeCloseTo(total, 1);
    expect(parametersOf(c, sources).active / 1e9).toBeCloseTo(active, 1);
    for (const name of source.names()) expect(source.has(name)).toBe(true);
  });

  it("takes layers, seed and sizes", () => {
    const url = "synthetic:mixtral-8x22b?layers=3&num_local_experts=5&head_dim=64&seed=9&sliding_window=100";
    const { config, source } = parseSynthetic(url);
    const c = readArchitecture(config, url);
    const { attention, experts } = c.layers[0]!;
    expect([c.layers.length, experts!.count, attention!.headDim, attention!.window]).toEqual([3, 5, 64, 100]);
    bindSources(c, source);
    expect(source.label).toBe(url);
    expect(source.has("model.layers.3.input_layernorm.weight")).toBe(false);
    expect(source.has("model.layers.0.block_sparse_moe.experts.5.w1.weight")).toBe(false);
    expect(() => source.matrix("lm_head")).toThrow("tensor lm_head is missing");
  });

  it.each([
    ["synthetic:", "one of mixtral-8x7b, mixtral-8x22b"],
    ["synthetic:mixtral-9x9b", "one of mixtral-8x7b"],
    ["synthetic:constructor", "one of mixtral-8x7b"],
    ["mixtral-8x7b", "expected synthetic:"],
    ["synthetic:mixtral-8x7b?layer=2", "unknown option layer; there are layers"],
    ["synthetic:mixtral-8x7b?__proto__=2", "unknown option __proto__"],
    ["synthetic:mixtral-8x7b?num_experts=4", "unknown option num_experts; there are layers, hidden_size"],
    ["synthetic:qwen3-30b-a3b?sliding_window=100", "unknown option sliding_window"],
    ["synthetic:mixtral-8x7b?layers=0", "from 1 to 1024"],
    ["synthetic:mixtral-8x7b?layers=99999999999", "from 1 to 1024"],
    ["synthetic:mixtral-8x7b?layers=1.5", 'found "1.5"'],
    ["synthetic:mixtral-8x7b?layers=", 'found ""'],
    ["synthetic:mixtral-8x7b?layers=2&layers=3", "found two"],
    ["synthetic:mixtral-8x7b?seed=-1", "from 0"],
  ])("%s is refused", (url, text) => {
    expect(() => parseSynthetic(url)).toThrow(RequestError);
    expect(() => parseSynthetic(url)).toThrow(text);
  });

  it("is told from a folder", () => {
    expect([isSynthetic("synthetic:x"), isSynthetic("./synthetic:x"), isSynthetic("models/tales")]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe("synthetic weights", () => {
  it("are the same for any range of rows, in any order, in another source of the same seed", async () => {
    const name = "model.layers.7.block_sparse_moe.experts.3.w2.weight";
    const whole = await read(made(NARROW).matrix(name));
    const source = made(NARROW);
    await fc.assert(
      fc.asyncProperty(fc.nat(127), fc.nat(127), fc.nat(127), async (cut, f, c) => {
        const matrix = source.matrix(name, cut, 128 - cut);
        const first = f % matrix.rows;
        const count = Math.min(c, matrix.rows - first);
        const from = (cut + first) * matrix.cols;
        const got = await read(matrix, first, count);
        expect(same(got, whole.subarray(from, from + count * matrix.cols))).toBe(true);
      }),
    );
  });

  it("differ by seed, tensor and row", async () => {
    const name = "model.layers.0.self_attn.q_proj.weight";
    const source = made(NARROW);
    const rows = await read(source.matrix(name));
    const first = rows.slice(0, 128);
    for (let r = 1; r < 128; r++) expect(same(rows.subarray(r * 128, r * 128 + 128), first)).toBe(false);
    expect(same(await read(source.matrix(name.replace("q_proj", "k_proj")), 0, 1), first)).toBe(false);
    expect(same(await read(made(`${NARROW}&seed=2`).matrix(name), 0, 1), first)).toBe(false);
  });

  it("are normal, of the standard deviation that keeps activations level; norms are near one", async () => {
    const source = made("synthetic:mixtral-8x7b");
    const moments = async (name: string, rows: number) => {
      const x = await read(source.matrix(name), 0, rows);
      const mean = x.reduce((a, b) => a + b, 0) / x.length;
      const moment = (k: number) => x.reduce((a, b) => a + (b - mean) ** k, 0) / x.length;
      return { mean, std: Math.sqrt(moment(2)), kurtosis: moment(4) / moment(2) ** 2 };
    };
    // 2^18 samples: six standard errors of the mean are 0.012 std, of the deviation 0.0083 std, of
    // the kurtosis 0.057.
    const w1 = await moments("model.layers.0.block_sparse_moe.experts.0.w1.weight", 64);
    expect(Math.abs(w1.mean * 64)).toBeLessThan(0.012);
    expect(Math.abs(w1.std * 64 - 1)).toBeLessThan(0.0083);
    expect(Math.abs(w1.kurtosis - 3)).toBeLessThan(0.057);
    // Some of these rows run over the end of the pool: what is missed there would be left zero.
    const w2 = source.matrix("model.layers.0.block_sparse_moe.experts.0.w2.weight");
    expect((await read(w2, 0, 256)).includes(0)).toBe(false);
    const norm = await moments("model.layers.0.input_layernorm.weight", 1);
    expect(Math.abs(norm.mean - 1)).toBeLessThan(0.01);
    expect(norm.std).toBeLessThan(0.06);
  });

  const wide = made("synthetic:mixtral-8x7b?layers=1");
  // Rows of w2 are long enough that among 256 some run over the end of the pool; q4's search takes
  // its time, so one pool.
  it.each([
    ["f32", "experts.7.w2", 256],
    ["f16", "experts.7.w2", 256],
    ["q8", "experts.7.w2", 256],
    ["q4", "experts.7.w1", 8],
  ] as const)("come packed as %s just as packing the rows would give them", async (name, tensor, rows) => {
    const matrix = wide.matrix(`model.layers.0.block_sparse_moe.${tensor}.weight`);
    const format = FORMATS[name];
    const got = rowPlanes(format, rows, matrix.cols);
    expect(await matrix.readPlanes!(format, 5, rows, got)).toBe(true);
    const want = rowPlanes(format, rows, matrix.cols);
    packRows(format, await read(matrix, 5, rows), rows, matrix.cols, want);
    expect(got.every((plane, p) => same(plane, want[p]!))).toBe(true);
  });

  it("of gpt-oss's experts lie in blocks of four bits, whose values rows have", async () => {
    const { config, source } = parseSynthetic("synthetic:gpt-oss-20b?layers=1&num_local_experts=4");
    const { layers } = bindSources(readArchitecture(config, "config.json"), source);
    const { w1, w13, w2 } = layers[0]!.experts[3]!;
    for (const matrix of [w13!, w2]) {
      const { format, cols } = matrix;
      const planes = rowPlanes(format!, 40, cols);
      expect([format!.name, await matrix.readPlanes!(format!, 2840, 40, planes)]).toEqual(["mxfp4", true]);
      const unpacked = new Float32Array(40 * cols);
      unpackRows(format!, planes, 40, cols, unpacked);
      expect(same(unpacked, await read(matrix, 2840, 40))).toBe(true);
      expect(await matrix.readPlanes!(FORMATS.q8, 2840, 40, rowPlanes(FORMATS.q8, 40, cols))).toBe(false);
      const spread = Math.sqrt((unpacked.reduce((sum, x) => sum + x * x, 0) / unpacked.length) * cols);
      expect(Math.abs(spread - 1)).toBeLessThan(0.03);
    }
    expect(same(await read(w1, 7, 1), await read(w13!, 14, 1))).toBe(true);
  });

  it("are not packed where rows end within a group", async () => {
    const source = made("synthetic:mixtral-8x7b?layers=1&hidden_size=72&num_attention_heads=4&num_key_value_heads=2");
    const matrix = source.matrix("model.layers.0.block_sparse_moe.gate.weight");
    expect(matrix.cols).toBe(72);
    expect(await matrix.readPlanes!(FORMATS.q8, 0, 1, rowPlanes(FORMATS.q8, 1, 72))).toBe(false);
  });
});

describe("a plain f64 forward pass over 32 layers", () => {
  it.skipIf(leftToCi)(titled("stays finite and level, and routes to every expert", leftToCi), async () => {
    const { config, source } = parseSynthetic(NARROW);
    const c = readArchitecture(config, NARROW);
    const { hidden: D } = c;
    const [L, E] = [c.layers.length, c.layers[0]!.experts!.count];
    const { heads, kvHeads, headDim: Dh } = c.layers[0]!.attention!;
    const T = 48;
    const { embed, layers } = bindSources(c, source);
    const table = await read(embed);
    const x = Array.from({ length: T }, (_, t) => Float64Array.from(table.subarray(t * D, (t + 1) * D)));
    const counts = Array.from({ length: L }, () => new Array<number>(E).fill(0));
    for (const [l, layer] of layers.entries()) {
      const [n1, qkvW, wo, n2, gate] = await Promise.all(
        [layer.attnNorm, concatRows("qkv", layer.qkv), layer.wo, layer.ffnNorm, layer.gate!].map((m) => read(m)),
      );
      const qkv = x.map((row) => times(qkvW!, rmsNorm(row, n1!)));
      for (let t = T - 1; t >= 0; t--) add(x[t]!, times(wo!, attend(qkv, t, heads, kvHeads, Dh)));
      const experts = await Promise.all(
        layer.experts.map(async ({ w1, w2, w3 }) => [await read(w1), await read(w2), await read(w3)] as const),
      );
      for (const row of x) {
        const h = rmsNorm(row, n2!);
        const logits = times(gate!, h);
        const top = [...logits.keys()].sort((a, b) => logits[b]! - logits[a]!).slice(0, 2);
        const p = top.map((e) => Math.exp(logits[e]! - logits[top[0]!]!));
        const sum = Float64Array.from({ length: D }, () => 0);
        for (const [i, e] of top.entries()) {
          counts[l]![e]!++;
          const [w1, w2, w3] = experts[e]!;
          const up = times(w3, h);
          const mid = times(w1, h).map((g, j) => (g / (1 + Math.exp(-g))) * up[j]!);
          add(
            sum,
            times(w2, mid).map((y) => (y * p[i]!) / (p[0]! + p[1]!)),
          );
        }
        add(row, sum);
      }
    }
    const rms = x.map((row) => Math.sqrt(row.reduce((a, b) => a + b * b, 0) / D));
    // The embedding's 8, and at most 64 branches of 1 beside it.
    for (const value of rms) expect(value).toBeGreaterThan(7);
    for (const value of rms) expect(value).toBeLessThan(12);
    // 96 choices a layer, 12 an expert if evenly spread: none idle, none with half of them.
    for (const layer of counts) expect(Math.min(...layer)).toBeGreaterThan(0);
    for (const layer of counts) expect(Math.max(...layer)).toBeLessThan(T / 2 + 1);
  });
});

function times(w: Float32Array, x: Float64Array): Float64Array {
  const y = new Float64Array(w.length / x.length);
  for (let r = 0; r < y.length; r++) for (let i = 0; i < x.length; i++) y[r]! += w[r * x.length + i]! * x[i]!;
  return y;
}

function add(x: Float64Array, y: Float64Array): void {
  for (let i = 0; i < x.length; i++) x[i]! += y[i]!;
}

function rmsNorm(x: Float64Array, w: Float32Array): Float64Array {
  const scale = 1 / Math.sqrt(x.reduce((a, b) => a + b * b, 0) / x.length + 1e-5);
  return x.map((v, i) => v * scale * w[i]!);
}

/**
 * Causal attention of position `t`, without RoPE: positions do not matter to what is shown here.
 */
function attend(qkv: readonly Float64Array[], t: number, heads: number, kvHeads: number, dh: number): Float64Array {
  const out = new Float64Array(heads * dh);
  for (let h = 0; h < heads; h++) {
    const k = (heads + Math.floor((h * kvHeads) / heads)) * dh;
    const q = qkv[t]!.subarray(h * dh, (h + 1) * dh);
    const p = qkv.slice(0, t + 1).map((row) => Math.exp(q.reduce((a, v, i) => a + v * row[k + i]!, 0) / Math.sqrt(dh)));
    const total = p.reduce((a, b) => a + b, 0);
    for (let j = 0; j <= t; j++)
      for (let i = 0; i < dh; i++) out[h * dh + i]! += (p[j]! / total) * qkv[j]![k + kvHeads * dh + i]!;
  }
  return out;
}
