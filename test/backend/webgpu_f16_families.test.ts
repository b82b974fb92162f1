// What families compute beside plain products, in f16 and over keys and values in f16: attention
// with sinks, latents, the delta rule, gated norms, clamped SwiGLU, relu2. Residuals so small that
// f16 would lose them, outliers of 1e5, and no denormals of f16.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import type { ExpertRule } from "../../src/backend/ops.ts";
import type { WebGpuOps } from "../../src/backend/webgpu/webgpu.ts";
import { HALF_TO_FLOAT, toFiniteHalf } from "../../src/tensor/half.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import { adapters } from "../support/adapters.ts";
import { openWithoutDenormals, withoutDenormals } from "../support/flushed_f16.ts";
import { expertSource, held, memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import * as reference from "../support/reference.ts";
import { expectClose, HALF_NMSE } from "../support/reference.ts";
import * as recurrent from "../support/reference_recurrent.ts";
import { attentionOf, batchOf, inputTable, range } from "../support/steps.ts";

const adapter = adapters.find(({ features }) => features.has("shader-f16"));
const NO_F16 = "skipped: no adapter here has shader-f16";

/** Rows for the kernels of single rows, and for tiles. */
const ROWS = [2, 33] as const;
const MOST = 33;
const D = 64;
const EPS = 1e-9;
/** A first layer's residuals, and such that their outliers are 1e5. */
const SIZES = [0.003, 2500] as const;
const CASES = ROWS.flatMap((T) => SIZES.map((size) => ({ T, size })));
const q8 = FORMATS.q8;

/** Like a residual stream: a few outliers among values around 0. */
const residual = (n: number, seed: number, size: number): Float32Array<ArrayBuffer> =>
  Float32Array.from(uniform(n, seed), (value, i) => value * size * (i % 61 === 7 ? 40 : 1));

it("every number in f16 is flushed", () => {
  const code = "enable f16;\nfn one_row() -> f32 { return f32(dot(levels2(lo), u.a)) + unpack2x16float(x).x; }";
  expect(withoutDenormals(code)).toContain("return f32(flushed_dot(levels2(lo), u.a)) + unpacked(x).x;");
  const cells = "enable f16;\nalias Cell = vec4h;\nlet c = Cells(Cell(bitcast<vec4h>(x[i]).x, (a + b)), vec4h(y));";
  expect(withoutDenormals(cells)).toContain(
    "let c = Cells(flushed4(Cell(flushed4(bitcast<vec4h>(x[i])).x, (a + b))), flushed4(vec4h(y)));",
  );
  expect(withoutDenormals("fn main() {}")).toBe("fn main() {}");
});

describe.skipIf(!adapter)(`forms of families in f16 on ${adapter?.name ?? NO_F16}`, () => {
  let ops: WebGpuOps;
  beforeAll(async () => {
    ops = await openWithoutDenormals(adapter!.name, { maxTokens: MOST, arithmetics: ["f16"], tile: "half64" });
  });
  afterAll(() => ops?.close());

  const vector = (data: Float32Array) => ops.loadVector(memorySource("vector", data, 1, data.length));
  /** A matrix [rows, cols] in q8, and what is held of it. */
  async function matrix(rows: number, cols: number, seed: number) {
    const w = uniform(rows * cols, seed, 2 / Math.sqrt(cols));
    const loaded = await ops.loadMatrix(memorySource("w", w, rows, cols), q8);
    return { loaded, weights: held(q8, w, rows, cols) };
  }
  /** Residuals [T, D], their norm's weights, and the normed rows. */
  async function rows(T: number, size: number) {
    const x = residual(T * D, 6, size);
    const w = uniform(D, 5, 0.1);
    return { input: await inputTable(ops, x, D), norm: await vector(w), normed: reference.rmsNorm(x, w, EPS) };
  }

  it.each(CASES)("attention with sinks: $T rows of $size", async ({ T, size }) => {
    const [H, kvHeads, headDim] = [4, 2, 16];
    const logits = uniform(H, 60, 5);
    const way = attentionOf(H, kvHeads, headDim, { sinks: await vector(logits) });
    const width = (H + 2 * kvHeads) * headDim;
    const [qkv, out] = [await matrix(width, D, 10), await matrix(D, H * headDim, 11)];
    const { input, norm, normed } = await rows(T, size);
    const store = ops.createKv({ layers: 1, kvHeads, headDim }, "f16", 16);
    await store.reserve(3);
    ops.begin(batchOf(T, { outputs: range(T) }));
    const made = ops.qkv(ops.rmsNorm(ops.embed(input), norm, EPS), [qkv.loaded], way);
    ops.append(store, 0, made, way);
    const attended = ops.attention(store, 0, made, way);
    const [projected, heads, y] = [
      await ops.read(made),
      await ops.read(attended),
      await ops.read(ops.matmul(attended, out.loaded)),
    ];
    const products = reference.matmul(normed, qkv.weights, D);
    expectClose(projected, reference.rope(products, range(T), way), width, HALF_NMSE);
    expectClose(heads, attend(projected, T, { ...way, logits }), H * headDim, HALF_NMSE);
    expectClose(y, reference.matmul(heads, out.weights, H * headDim), D, HALF_NMSE);
    store.close();
  });

  /** Attention of rows q | k | v over themselves, keys and values in f16. */
  function attend(qkv: Float32Array, T: number, way: reference.Geometry): Float64Array {
    const width = qkv.length / T;
    const q = way.heads * way.headDim;
    const timeline = new reference.Timeline("f16");
    const all = Array.from({ length: T }, (_, t) => {
      const row = qkv.subarray(t * width, (t + 1) * width);
      timeline.append(
        0,
        t,
        Float32Array.from(row.subarray(q), (value) => HALF_TO_FLOAT[toFiniteHalf(value)]!),
      );
      return [...timeline.attend(0, t, row, way)];
    });
    return Float64Array.from(all.flat());
  }

  it.each(ROWS)("keys and values past f16 are its largest number: %i rows", async (T) => {
    const [H, kvHeads, headDim] = [4, 2, 16];
    const way = attentionOf(H, kvHeads, headDim);
    const width = (H + 2 * kvHeads) * headDim;
    const w = uniform(width * D, 12, 0.3);
    const loaded = await ops.loadMatrix(memorySource("qkv", w, width, D), q8);
    const input = await inputTable(ops, uniform(T * D, 13, 2e5), D);
    const store = ops.createKv({ layers: 1, kvHeads, headDim }, "f16", 16);
    await store.reserve(3);
    ops.begin(batchOf(T, { outputs: range(T) }));
    const made = ops.qkv(ops.embed(input), [loaded], way);
    ops.append(store, 0, made, way);
    const got = await ops.read(ops.attention(store, 0, made, way));
    const projected = await ops.read(made);
    expect(Math.max(...projected.map(Math.abs))).toBeGreaterThan(1e5);
    expectClose(got, attend(projected, T, way), H * headDim, 1e-7);
    store.close();
  });

  it.each(CASES)("latents: $T rows of $size", async ({ T, size }) => {
    const [H, nope, turned, kv] = [3, 16, 8, 32];
    const key = turned + kv;
    const heads = (count: number, cols: number, seed: number) =>
      Array.from({ length: H }, (_, h) => uniform(count * cols, seed + h, 2 / Math.sqrt(cols)));
    const load = (all: Float32Array[], count: number, cols: number) =>
      ops.loadHeads(
        all.map((w, h) => memorySource(`head ${h}`, w, count, cols)),
        q8,
      );
    const [absorb, expand] = [heads(kv, nope, 30), heads(nope, kv, 40)];
    const of = { absorb: await load(absorb, kv, nope), norm: await vector(uniform(kv, 35, 1)), eps: EPS };
    const expanding = await load(expand, nope, kv);
    const [wq, wc] = [await matrix(H * (nope + turned), D, 36), await matrix(key, D, 37)];
    const { input, norm, normed } = await rows(T, size);
    const rope = { inverse: reference.inverseFrequencies(1e4, turned), factor: 1 };
    const way = attentionOf(H, 1, key, { latent: kv, rope, scale: 0.2 });
    const store = ops.createKv({ layers: 1, kvHeads: 1, headDim: key, keysOnly: true }, "f16", 16);
    await store.reserve(3);
    ops.begin(batchOf(T, { outputs: range(T) }));
    const h = ops.rmsNorm(ops.embed(input), norm, EPS);
    const [q, c] = [ops.matmul(h, wq.loaded), ops.matmul(h, wc.loaded)];
    const made = ops.latent(q, c, of, way);
    ops.append(store, 0, made, way);
    const attended = ops.attention(store, 0, made, way);
    const expanded = ops.heads(attended, expanding);
    const [gotQ, gotC, gotMade, got, y] = [
      await ops.read(q),
      await ops.read(c),
      await ops.read(made),
      await ops.read(attended),
      await ops.read(expanded),
    ];
    expectClose(gotQ, reference.matmul(normed, wq.weights, D), H * (nope + turned), HALF_NMSE);
    expectClose(gotC, reference.matmul(normed, wc.weights, D), key, HALF_NMSE);
    const weights = absorb.map((w) => held(q8, w, kv, nope));
    const sizes = { H, nope, turned, kv, weights, norm: uniform(kv, 35, 1), eps: EPS };
    expectClose(gotMade, reference.latent(gotQ, gotC, sizes, range(T), way), key, HALF_NMSE);
    const rowOf = (t: number) => gotMade.subarray(t * (H + 1) * key, (t + 1) * (H + 1) * key);
    const timeline = new reference.Timeline("f16");
    const want = Array.from({ length: T }, (_, t) => {
      timeline.append(0, t, rowOf(t).subarray(H * key));
      return [...timeline.attend(0, t, rowOf(t), { ...way, heads: H, kvHeads: 1, headDim: key, latent: kv })];
    });
    expectClose(got, Float64Array.from(want.flat()), H * kv, 1e-7);
    const expandedBy = expand.map((w) => held(q8, w, nope, kv));
    expectClose(y, reference.heads(got, expandedBy, H, kv), H * nope, HALF_NMSE);
    store.close();
  });

  it.each(CASES)("the delta rule and its gated norm: $T rows of $size", async ({ T, size }) => {
    const shape = { keyHeads: 1, valueHeads: 2, keyDim: 16, valueDim: 16, tiled: false };
    const [channels, values, taps] = [64, 32, 3];
    const [mix, gate, z, out] = [
      await matrix(channels, D, 50),
      await matrix(4, D, 51),
      await matrix(values, D, 52),
      await matrix(D, values, 53),
    ];
    const [conv, aLog, dtBias, w] = [uniform(taps * channels, 54), uniform(2, 55), uniform(2, 56), uniform(16, 57, 2)];
    const weights = await vector(conv);
    const delta = { ...shape, aLog: await vector(aLog), dtBias: await vector(dtBias) };
    const gated = await vector(w);
    const { input, norm, normed } = await rows(T, size);
    const store = ops.createKv({ layers: 1, kvHeads: 1, headDim: 8, states: [2 * channels, 512] }, "f16", 16);
    const states = store.states!;
    await states.reserve(1);
    ops.begin(batchOf(T, { states: Uint32Array.of(0), outputs: range(T) }));
    const h = ops.rmsNorm(ops.embed(input), norm, EPS);
    const verbs = ops.recurrent!;
    const [mixed, gates, by] = [ops.matmul(h, mix.loaded), ops.matmul(h, gate.loaded), ops.matmul(h, z.loaded)];
    const parts = [await ops.read(mixed), await ops.read(gates), await ops.read(by)] as const;
    const made = verbs.conv(states, 0, mixed, { channels, taps, weights, gated: false });
    const o = verbs.gatedNorm(verbs.delta(states, 1, made, gates, delta), by, gated, EPS);
    const [got, y] = [await ops.read(o), await ops.read(ops.matmul(o, out.loaded))];
    for (const [i, one] of [mix, gate, z].entries())
      expectClose(parts[i]!, reference.matmul(normed, one.weights, D), parts[i]!.length / T, HALF_NMSE);
    const rule = recurrent.deltaRule(recurrent.conv(parts[0], conv, channels, false), parts[1], aLog, dtBias, shape);
    const want = reference
      .rmsNorm(rule, w, EPS)
      .map((value, i) => (value * parts[2][i]!) / (1 + Math.exp(-parts[2][i]!)));
    expectClose(got, want, values, 1e-7);
    expectClose(y, reference.matmul(got, out.weights, values), D, HALF_NMSE);
    store.close();
  });

  const [E, K, F] = [4, 2, 40];
  const own = Array.from({ length: E }, (_, e) => ({
    w1: uniform(F * D, 100 + e, 4 / Math.sqrt(D)),
    w3: uniform(F * D, 200 + e, 2 / Math.sqrt(D)),
    w2: uniform(D * F, 300 + e, 2 / Math.sqrt(F)),
  }));
  it.each((["swiglu_oai", "relu2"] as const).flatMap((activation) => CASES.map((one) => ({ activation, ...one }))))(
    "experts with $activation: $T rows of $size",
    async ({ activation, T, size }) => {
      const rule: ExpertRule = { activation, limit: 7, biases: null };
      const sources = own.map((e, i) => expertSource(`expert ${i}`, e, D, F));
      const experts = await ops.loadExperts(sources, q8, q8, rule);
      const gate = await ops.loadMatrix(memorySource("gate", uniform(E * D, 90), E, D), FORMATS.f32);
      const x = residual(T * D, 91, size);
      const input = await inputTable(ops, x, D);
      // A limit far below what f16 rounds from its inputs would say nothing of f16.
      const [normed, ones] = [activation === "swiglu_oai", new Float32Array(D).fill(1)];
      const norm = await vector(ones);
      ops.begin(batchOf(T, { outputs: range(T) }));
      const h = normed ? ops.rmsNorm(ops.embed(input), norm, EPS) : ops.embed(input);
      const routes = ops.route(h, { gate, k: K, rule: SOFTMAX, bias: null });
      const y = await ops.read(await ops.moe(h, routes, experts));
      const weights = own.map(({ w1, w3, w2 }) => ({
        w1: held(q8, w1, F, D),
        w3: held(q8, w3, F, D),
        w2: held(q8, w2, D, F),
      }));
      const [ids, shares] = [await ops.read(routes.ids), await ops.read(routes.weights)];
      const rows = normed ? reference.rmsNorm(x, ones, EPS) : x;
      const want = reference.moe(rows, ids, shares, weights, D, new Map(), {
        activation,
        limit: 7,
        up: null,
        down: null,
      });
      expectClose(y, want, D, HALF_NMSE);
    },
  );
});
