// Small steps through every kernel of a backend, for comparing it with the plain kernels: what a
// changed kernel is judged by within seconds. The conformance suite (test/backend) holds both to
// float64 over all shapes.

import { it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { createPlainOps } from "../../src/backend/cpu/plain/plain.ts";
import type { Attention, Experts, Ops } from "../../src/backend/ops.ts";
import type { Format } from "../../src/tensor/format.ts";
import { SOFTMAX } from "../../src/tensor/route_rule.ts";
import type { Tensor } from "../../src/tensor/types.ts";
import { expertSource, memorySource, sourceFor } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import { expectClose } from "../support/reference.ts";
import { firsts, some } from "../support/some.ts";
import { allowedNmse, attentionOf, batchOf, inputTable } from "../support/steps.ts";

export const MAX_TOKENS = 33;
/** Rows for the kernels for few tokens, and for those for many. */
const [FEW, MANY] = [2, MAX_TOKENS];
// Shapes that end within a panel, a group and a tile.
const [D, F, V, E, K] = [96, 80, 100, 5, 2];
const HEADS = [4, 2, 16] as const; // H, Hkv, Dh

/** A step, and the kernels by their files' names that it goes through on WebGPU. */
export interface Twin {
  readonly name: string;
  readonly kernels: readonly string[];
  /** The format of the weights. */
  readonly format: Format;
  /** What keys and values are held in, where there are any. */
  readonly kv?: "f32" | "f16";
  run(ops: Ops): Promise<Float32Array>;
}

const EPS = 1e-5;
/**
 * NMSE that keys and values in f16 may have beside the arithmetic's: one that differs by an f32's
 * last bit can be rounded to the next f16.
 */
const F16_KV_NMSE = 1e-8;
const rows = (count: number, seed: number, scale = 2 / Math.sqrt(D)) => uniform(count * D, seed, scale);
const matrix = (ops: Ops, n: number, seed: number, format: Format) =>
  ops.loadMatrix(sourceFor(format, "matrix", rows(n, seed), n, D), format);
const vector = (ops: Ops, n: number, seed: number) => ops.loadVector(memorySource("vector", uniform(n, seed), 1, n));

/** x [T, D] of a step that has begun. */
async function begin(ops: Ops, T: number): Promise<Tensor> {
  const table = await inputTable(ops, rows(MAX_TOKENS, 1, 1), D);
  ops.begin(batchOf(T));
  return ops.embed(table);
}

function embedding(format: Format): Twin {
  return {
    name: "rows of the embedding",
    kernels: ["embed"],
    format,
    async run(ops) {
      const table = await matrix(ops, V, 2, format);
      ops.begin(batchOf(5, { tokens: Uint32Array.of(99, 0, 41, 7, 99) }));
      return ops.read(ops.embed(table));
    },
  };
}

/** A norm, a product, and the residual. */
function product(format: Format, T: number, kernels: readonly string[]): Twin {
  return {
    name: `a product of ${T} rows`,
    kernels,
    format,
    async run(ops) {
      const w = await matrix(ops, D, 3, format);
      const norm = await vector(ops, D, 4);
      const x = await begin(ops, T);
      return ops.read(ops.add(x, ops.matmul(ops.rmsNorm(x, norm, EPS), w)));
    },
  };
}

/**
 * A layer's attention, after a step that filled the cache before it; then the rows that are wanted.
 * @param second the format of the matrix of k and v, if they have their own
 */
function attention(
  format: Format,
  T: number,
  kv: "f32" | "f16",
  parts: Partial<Attention>,
  kernels: string[],
  second?: Format,
): Twin {
  const [H, kvHeads, headDim] = HEADS;
  const normed = parts.qkNorm === undefined ? "" : ", q and k normed";
  return {
    name: `attention of ${T} rows over ${kv} keys${normed}${second ? `, k and v by ${second.name}` : ""}`,
    kernels,
    format,
    kv,
    async run(ops) {
      const [ofQ, ofKv] = [H * headDim, 2 * kvHeads * headDim];
      const w = second
        ? [await matrix(ops, ofQ, 5, format), await matrix(ops, ofKv, 9, second)]
        : [await matrix(ops, ofQ + ofKv, 5, format)];
      const norm = await vector(ops, D, 6);
      const [q, k] = [await vector(ops, headDim, 7), await vector(ops, headDim, 8)];
      const way = attentionOf(...HEADS, {
        ...parts,
        ...(parts.qkNorm !== undefined && { qkNorm: { q, k, eps: EPS } }),
      });
      const table = await inputTable(ops, rows(MAX_TOKENS, 1, 1), D);
      const store = ops.createKv({ layers: 1, kvHeads, headDim }, kv, 16);
      await store.reserve(5);
      const tables = [Uint32Array.of(4, 0, 2, 1, 3)];
      let out = new Float32Array(0);
      for (const [first, count] of [
        [0, MAX_TOKENS],
        [MAX_TOKENS, T],
      ] as const) {
        const positions = Uint32Array.from({ length: count }, (_, i) => first + i);
        const outputs = Uint32Array.from(new Set([0, count - 1]));
        ops.begin(batchOf(count, { positions, tables, outputs }));
        const qkv = ops.qkv(ops.rmsNorm(ops.embed(table), norm, EPS), w, way);
        ops.append(store, 0, qkv, way);
        out = Float32Array.from(await ops.read(ops.rows(ops.attention(store, 0, qkv, way))));
      }
      store.close();
      return out;
    },
  };
}

/** Attention over latents, after a step that filled the cache before it. */
function latent(format: Format, T: number, kv: "f32" | "f16"): Twin {
  const [H, nope, turned, size, value] = [3, 12, 8, 40, 20];
  return {
    name: `attention of ${T} rows over latents in ${kv}`,
    kernels: ["head_rows", "heads", "latent_turn", "attention_split"],
    format,
    kv,
    async run(ops) {
      const heads = (rows: number, cols: number, seed: number) =>
        ops.loadHeads(
          Array.from({ length: H }, (_, h) => {
            return sourceFor(format, `head ${h}`, uniform(rows * cols, seed + h, 2 / Math.sqrt(cols)), rows, cols);
          }),
          format,
        );
      const [absorb, expand] = [await heads(size, nope, 50), await heads(value, size, 60)];
      const norm = await vector(ops, size, 70);
      const q = await inputTable(ops, uniform(MAX_TOKENS * H * (nope + turned), 71), H * (nope + turned));
      const c = await inputTable(ops, uniform(MAX_TOKENS * (size + turned), 72), size + turned);
      const { inverse } = attentionOf(1, 1, turned).rope;
      const way = attentionOf(H, 1, turned + size, { latent: size, rope: { inverse, factor: 1 }, scale: 0.2 });
      const store = ops.createKv({ layers: 1, kvHeads: 1, headDim: turned + size, keysOnly: true }, kv, 16);
      await store.reserve(5);
      const tables = [Uint32Array.of(4, 0, 2, 1, 3)];
      let out = new Float32Array(0);
      for (const [first, count] of [
        [0, MAX_TOKENS],
        [MAX_TOKENS, T],
      ] as const) {
        ops.begin(batchOf(count, { positions: Uint32Array.from({ length: count }, (_, i) => first + i), tables }));
        const made = ops.latent(ops.embed(q), ops.embed(c), { absorb, norm, eps: EPS }, way);
        ops.append(store, 0, made, way);
        out = Float32Array.from(await ops.read(ops.heads(ops.attention(store, 0, made, way), expand)));
      }
      store.close();
      return out;
    },
  };
}

function experts(format: Format, T: number, kernels: readonly string[], ordered = false): Twin {
  return {
    name: `experts of ${T} rows${ordered ? ", each with an order of its inputs" : ""}`,
    kernels,
    format,
    async run(ops) {
      const gate = await matrix(ops, E, 9, FORMATS.f32);
      const norm = await vector(ops, D, 10);
      const loaded: Experts = await ops.loadExperts(
        Array.from({ length: E }, (_, e) => {
          const data = { w1: rows(F, 20 + e), w3: rows(F, 30 + e), w2: uniform(D * F, 40 + e, 0.2) };
          return expertSource(`expert ${e}`, data, D, F);
        }),
        format,
        format,
      );
      const lists = Uint32Array.from({ length: E * D }, (_, i) => (i * 7 + 5 * Math.floor(i / D)) % D); // 7 and D: coprime
      const order = ordered ? await ops.loadOrder(lists, D) : null;
      const one = order && (await ops.loadOrder(lists.slice(0, D), D));
      const x = await begin(ops, T);
      const h = ops.rmsNorm(x, norm, EPS);
      const routes = ops.route(one ? ops.reorder(h, one) : h, { gate, k: K, rule: SOFTMAX, bias: null });
      return ops.read(ops.add(x, await ops.moe(h, routes, loaded, order)));
    },
  };
}

/** Two tensors that nothing fuses. */
const sum: Twin = {
  name: "a sum",
  kernels: ["add"],
  format: FORMATS.f32,
  async run(ops) {
    const table = await inputTable(ops, rows(MAX_TOKENS, 1, 1), D);
    ops.begin(batchOf(MANY));
    const x = ops.embed(table);
    return ops.read(ops.add(x, ops.embed(table)));
  },
};

const layerNorm: Twin = {
  name: "a layer norm",
  kernels: ["layer_norm"],
  format: FORMATS.f32,
  async run(ops) {
    const [w, bias] = [await vector(ops, D, 4), await vector(ops, D, 5)];
    return ops.read(ops.layerNorm(await begin(ops, MANY), w, bias, EPS));
  },
};

const norm: Twin = {
  name: "a norm by itself",
  kernels: ["rms_norm"],
  format: FORMATS.f32,
  async run(ops) {
    const w = await vector(ops, D, 4);
    return ops.read(ops.rmsNorm(await begin(ops, MANY), w, EPS));
  },
};

/** A convolution, the delta rule and its gate, over two steps; then a gate without a norm. */
const recurrence: Twin = {
  name: "a layer with states",
  kernels: ["conv", "delta_factors", "delta_rule", "gated_norm", "gate"],
  format: FORMATS.f32,
  async run(ops) {
    const [shape, taps] = [{ keyHeads: 1, valueHeads: 2, keyDim: 16, valueDim: 32, tiled: false }, 3]; // 96 channels
    const [weights, w] = [await vector(ops, taps * D, 11), await vector(ops, 32, 14)];
    const delta = { ...shape, aLog: await vector(ops, 2, 12), dtBias: await vector(ops, 2, 13) };
    const [gates, z] = [await matrix(ops, 4, 15, FORMATS.f32), await matrix(ops, 64, 16, FORMATS.f32)];
    const table = await inputTable(ops, rows(MAX_TOKENS, 1, 1), D);
    const store = ops.createKv({ layers: 1, kvHeads: 1, headDim: 8, states: [2 * D, 1024] }, "f32", 16);
    const states = store.states!;
    await states.reserve(2);
    let out = new Float32Array(0);
    for (const [first, count] of [
      [0, MANY],
      [MANY, FEW],
    ] as const) {
      const positions = Uint32Array.from({ length: count }, (_, i) => first + i);
      ops.begin(batchOf(count, { positions, states: Uint32Array.of(1) }));
      const x = ops.embed(table);
      const verbs = ops.recurrent!;
      const mixed = verbs.conv(states, 0, x, { channels: D, taps, weights, gated: false });
      const o = verbs.delta(states, 1, mixed, ops.matmul(x, gates), delta);
      const y = verbs.gatedNorm(o, ops.matmul(x, z), w, EPS);
      out = Float32Array.from(await ops.read(verbs.gate(y, ops.matmul(x, z))));
    }
    store.close();
    return out;
  },
};

/**
 * What `vitest related` asks for: kernels that depend on a changed file, formats whose own files
 * have changed; all of them otherwise.
 */
const [askedKernels, askedFormats] = [process.env.HOTSET_KERNELS?.split(","), process.env.HOTSET_FORMATS?.split(",")];

/** The twins that go through a kernel and a format that are asked for. */
export function wanted(all: readonly Twin[]): readonly Twin[] {
  return all.filter(
    ({ kernels, format }) =>
      (askedKernels === undefined || kernels.some((kernel) => askedKernels.includes(kernel))) &&
      (askedFormats === undefined || askedFormats.includes(format.name)),
  );
}

/** So many of the twins that are wanted; all of them where a kernel or a format has changed. */
export function few(all: readonly Twin[], count: number): readonly Twin[] {
  return askedKernels === undefined && askedFormats === undefined ? some(all, count) : wanted(all);
}

/** The twins that are wanted: one for each kernel where no kernel and no format has changed. */
export function once(all: readonly Twin[]): readonly Twin[] {
  if (askedKernels !== undefined || askedFormats !== undefined) return wanted(all);
  const seen = new Set<string>();
  return firsts(all, ({ kernels }) => kernels.filter((kernel) => seen.size < seen.add(kernel).size).length > 0);
}

/**
 * Products in every format, and all else in one: a software adapter takes a second to
 * compile a kernel.
 */
export const TWINS: readonly Twin[] = [
  sum,
  norm,
  recurrence,
  layerNorm,
  ...Object.values(FORMATS).flatMap((format): Twin[] => [
    embedding(format),
    product(format, FEW, ["matmul_vec"]),
    product(format, MANY, ["matmul"]),
  ]),
  experts(FORMATS.q4, FEW, ["route", "expert_up_vec", "expert_down_vec"]),
  experts(FORMATS.q4_k, FEW, ["route", "expert_up_vec", "expert_down_vec"]),
  experts(FORMATS.iq4_nl, FEW, ["route", "expert_up_vec", "expert_down_vec"]),
  experts(FORMATS.q4, MANY, ["route", "group", "expert_up", "expert_down", "combine"]),
  experts(FORMATS.q4, FEW, ["reorder", "route", "expert_up_vec", "expert_down_vec"], true),
  experts(FORMATS.q4, MANY, ["reorder", "route", "group", "expert_up", "expert_down", "combine"], true),
  attention(FORMATS.f32, FEW, "f16", {}, ["qkv_vec", "attention_split", "rows"]),
  attention(FORMATS.f32, MANY, "f32", { window: 20 }, ["matmul", "qkv_turn", "attention", "rows"]),
  attention(FORMATS.f16, FEW, "f16", { qkNorm: null }, ["qkv_turn", "attention_split", "rows"]),
  attention(FORMATS.f16, 1, "f16", { qkNorm: null }, ["matmul_vec", "attention_turn", "rows"]),
  attention(FORMATS.f16, 1, "f16", {}, ["qkv_mixed", "attention_turn", "rows"], FORMATS.f32),
  latent(FORMATS.f32, FEW, "f16"),
];

/**
 * Declares a test for each twin: the same numbers as from the plain kernels, within what the
 * backend's arithmetic allows.
 * @param check looks at what the step ran; `run` runs it
 * @param nmse what the arithmetic allows, where it is known better than from the backend's features
 */
export function twins(
  ops: () => Ops,
  check: (twin: Twin, run: () => Promise<Float32Array>) => Promise<Float32Array>,
  of: readonly Twin[] = TWINS,
  nmse?: number,
): void {
  const named = of.map((twin) => ({ ...twin, weights: twin.format.name, by: twin.kernels.join(", ") }));
  it.each(named)("$name, $weights: $by", async (twin) => {
    const want = await twin.run(createPlainOps(MAX_TOKENS, "plain"));
    const got = await check(twin, () => twin.run(ops()));
    const allowed = nmse ?? allowedNmse(ops(), twin.format);
    expectClose(got, want, want.length, twin.kv === "f16" ? Math.max(allowed, F16_KV_NMSE) : allowed);
  });
}
