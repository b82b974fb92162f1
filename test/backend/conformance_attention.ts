// Conformance of qkv, append and attention: RoPE, GQA, paged blocks, ragged
// batches, sliding windows.

import { describe, expect, it } from "vitest";
import { AUTOMATIC, FORMATS } from "../../kernels/formats/index.ts";
import type { Attention, Batch, KvPrecision, Matrix, Ops } from "../../src/backend/ops.ts";
import type { Rope } from "../../src/backend/rope.ts";
import { held, memorySource, sourceFor, withBias } from "../support/memory_source.ts";
import { Panes, type Run } from "../support/panes.ts";
import { uniform } from "../support/random.ts";
import * as reference from "../support/reference.ts";
import { expectClose } from "../support/reference.ts";
import { allowedNmse, attentionOf, batchOf, inputTable } from "../support/steps.ts";
import { BLOCK, BLOCK_EDGES, LONG, MANY, RAGGED, ROLLBACK, type Scenario, TILE_EDGES } from "./attention_scenarios.ts";

/** RoPE of the first `dimensions` of a head. */
function partialRope(dimensions: number, factor = 1, theta = 1e4) {
  return { inverse: reference.inverseFrequencies(theta, dimensions), factor };
}

interface Case {
  readonly scenario: Scenario;
  readonly D: number;
  /** How each layer attends. */
  readonly layers: readonly [Layer, Layer];
  readonly kv: KvPrecision;
}

/** How a layer attends; `normed`: with norms of q and k, by the head or over all heads. */
interface Layer extends Attention {
  readonly normed?: "head" | "whole";
  /** [H]: loaded as sinks. */
  readonly logits?: Float32Array;
}

/** The layer on a backend, and what it makes of projected rows [T, (H + 2 Hkv) Dh], in float64. */
async function layerOn(ops: Ops, layer: Layer, seed: number) {
  const { heads, kvHeads, headDim, normed, logits } = layer;
  const load = (w: Float32Array) => ops.loadVector(memorySource("vector", w, 1, w.length));
  const sinks = logits ? await load(logits) : null;
  const turn = (qkv: Float64Array, positions: Uint32Array) =>
    reference.rope(reference.clip(qkv, layer.clip), positions, layer);
  if (!normed) return { attention: { ...layer, sinks } as Attention, made: turn };
  const [q, k] = [heads, kvHeads].map((n, i) => uniform(normed === "head" ? headDim : n * headDim, seed + i, 2));
  const eps = 1e-2; // so large that it matters
  const attention: Attention = { ...layer, sinks, qkNorm: { q: await load(q!), k: await load(k!), eps } };
  const made = (qkv: Float64Array, positions: Uint32Array) =>
    turn(reference.qkNorm(qkv, layer, q!, k!, eps), positions);
  return { attention, made };
}

/** A window, the same in both layers or each layer's own, and other parts of attention. */
function layersOf(heads: number, kvHeads: number, headDim: number, ...parts: Partial<Layer>[]): Case["layers"] {
  const [first = {}, second = first] = parts;
  return [attentionOf(heads, kvHeads, headDim, first), attentionOf(heads, kvHeads, headDim, second)];
}

const CASES: readonly Case[] = [
  [RAGGED, 60, layersOf(4, 4, 6)],
  [RAGGED, 64, layersOf(4, 2, 16)],
  [RAGGED, 64, layersOf(8, 2, 16)],
  [RAGGED, 256, layersOf(8, 1, 32)],
  [RAGGED, 64, layersOf(3, 1, 128)],
  [RAGGED, 64, layersOf(4, 2, 16, { window: 16 })],
  [RAGGED, 64, layersOf(4, 2, 16, { window: 7, scale: 0.11 }, { scale: 0.6 })],
  [RAGGED, 64, layersOf(4, 2, 32, { rope: partialRope(16) }, { rope: partialRope(32, 1.3466), window: 9 })],
  [RAGGED, 64, layersOf(4, 2, 16, { normed: "head" }, { normed: "whole", rope: partialRope(8), clip: 0.8 })],
  [RAGGED, 64, layersOf(4, 2, 16, { logits: uniform(4, 60, 5) }, { window: 16, logits: uniform(4, 61, 5) })],
  [BLOCK_EDGES, 64, layersOf(4, 2, 16)],
  [BLOCK_EDGES, 60, layersOf(6, 3, 10, { window: 5 })],
  [BLOCK_EDGES, 60, layersOf(6, 3, 12, { rope: partialRope(6, 0.8) }, { window: 20, scale: 1 / 64 })],
  [LONG, 256, layersOf(8, 4, 32)],
  [LONG, 64, layersOf(4, 2, 16, { window: 17 })],
  [LONG, 60, layersOf(4, 1, 6, { window: 1 })],
  [LONG, 64, layersOf(4, 2, 16, { window: 130, scale: 0.4 }, { window: 3, rope: partialRope(8) })],
  [LONG, 64, layersOf(4, 2, 24, { normed: "head", window: 40 }, {})],
  [LONG, 64, layersOf(10, 1, 16, { logits: uniform(10, 62, 5) }, {})],
  [TILE_EDGES, 64, layersOf(4, 1, 128)],
  [TILE_EDGES, 64, layersOf(12, 2, 16, { window: 33 })],
  [ROLLBACK, 64, layersOf(4, 2, 16)],
  [MANY, 64, layersOf(4, 2, 16)],
].flatMap(([scenario, D, layers]) => (["f32", "f16"] as const).map((kv) => ({ scenario, D, layers, kv }) as Case));

/** Heads of one group, of several, and of a part of one; of blocks that are rotated apart. */
const Q8_CASES: readonly Case[] = [
  [RAGGED, 60, layersOf(4, 4, 6)],
  [RAGGED, 64, layersOf(2, 1, 80)],
  [RAGGED, 64, layersOf(8, 2, 64, { logits: uniform(8, 60, 5) }, { window: 16, logits: uniform(8, 61, 5) })],
  [LONG, 64, layersOf(5, 1, 96, { normed: "head", window: 40 }, {})],
  [TILE_EDGES, 64, layersOf(4, 1, 128)],
  [BLOCK_EDGES, 64, layersOf(2, 2, 256)],
  [ROLLBACK, 64, layersOf(4, 2, 16)],
  [MANY, 64, layersOf(4, 2, 16)],
].map(([scenario, D, layers]) => ({ scenario, D, layers, kv: "q8" }) as Case);

/** What a case's title says of a layer beyond its heads. */
function titleOf({ headDim, window, scale, rope, normed, logits, clip }: Layer): string {
  const turned = 2 * rope.inverse.length;
  return [
    `window ${window}`,
    ...(scale === 1 / Math.sqrt(headDim) ? [] : [`scale ${scale}`]),
    ...(turned === headDim ? [] : [`${turned} turned`]),
    ...(normed ? [`normed by ${normed}`] : []),
    ...(logits ? ["sinks"] : []),
    ...(clip ? [`clipped at ${clip}`] : []),
    ...(rope.factor === 1 ? [] : [`factor ${rope.factor}`]),
  ].join(", ");
}

export function attentionConformance(ops: () => Ops): void {
  describe("qkv", () => {
    const positions = Uint32Array.of(0, 1, 15, 31, 1000, 4095, 32767, 65535);
    const T = positions.length;
    it.each(
      [
        attentionOf(4, 4, 6),
        attentionOf(8, 2, 16),
        attentionOf(8, 1, 32),
        attentionOf(3, 1, 128),
        attentionOf(4, 2, 32, { rope: partialRope(16, 1.3466) }),
        { ...attentionOf(4, 2, 24), normed: "head" } as Layer,
        { ...attentionOf(8, 2, 16), clip: 0.7 } as Layer,
        { ...attentionOf(3, 1, 6), normed: "whole" } as Layer,
        { ...attentionOf(16, 2, 32), normed: "whole" } as Layer,
      ].flatMap((shape) => AUTOMATIC.map((precision) => ({ shape, precision, ...shape, parts: titleOf(shape) }))),
    )(
      "turns q and k by position, $heads + 2 x $kvHeads heads of $headDim, $parts, $precision",
      async ({ shape, precision }) => {
        const D = 60;
        const rows = (shape.heads + 2 * shape.kvHeads) * shape.headDim;
        const x = uniform(T * D, 31);
        const w = uniform(rows * D, 32, 0.3);
        const input = await inputTable(ops(), x, D);
        const m = await ops().loadMatrix(memorySource("qkv", w, rows, D), FORMATS[precision]);
        ops().begin(batchOf(T, { positions }));
        const { attention, made } = await layerOn(ops(), shape, 33);
        const y = ops().qkv(ops().embed(input), [m], attention);
        expect(y.shape).toEqual([T, rows]);
        const want = made(reference.matmul(x, held(FORMATS[precision], w, rows, D), D), positions);
        expectClose(await ops().read(y), want, rows, allowedNmse(ops(), FORMATS[precision]));
      },
    );
  });

  describe("qkv of texts whose RoPE depends on their length", () => {
    /** From 41 tokens on, a frequency of its own for every length. */
    const byLength = (dimensions: number): Rope => {
      const plain = partialRope(dimensions);
      const at = (n: number) => (n <= 40 ? plain : partialRope(dimensions, 1 + n / 100, 1e4 * n));
      return { ...plain, lengths: { at, key: (n) => n, until: () => Number.POSITIVE_INFINITY } };
    };
    // A prompt of 60 tokens in pieces, beside a text that is decoded past 40 and a short prompt.
    const PLACES = [
      { sequence: 0, from: 1, to: 5, anchor: 60 },
      { sequence: 1, from: 44, to: 45, anchor: 12 },
      { sequence: 2, from: 0, to: 3, anchor: 3 },
    ];
    it.each([
      { turned: 16, places: PLACES },
      { turned: 16, places: [{ sequence: 0, from: 57, to: 58, anchor: 60 }] },
      { turned: 8, places: [{ sequence: 0, from: 2, to: 62, anchor: 60 }] }, // 60 and 61 were decoded
    ])("$turned of 16 dimensions, $places", async ({ turned, places }) => {
      const shape = attentionOf(4, 2, 16, { rope: byLength(turned) });
      const [D, rows] = [64, 8 * 16];
      const all = places.flatMap(({ sequence, from, to, anchor }) =>
        Array.from({ length: to - from }, (_, i) => ({ sequence, position: from + i, anchor })),
      );
      const positions = Uint32Array.from(all, ({ position }) => position);
      const x = uniform(all.length * D, 91);
      const w = uniform(rows * D, 92, 0.3);
      const input = await inputTable(ops(), x, D);
      const m = await ops().loadMatrix(memorySource("qkv", w, rows, D), FORMATS.f32);
      const store = ops().createKv({ layers: 1, kvHeads: 2, headDim: 16 }, "f32", 32);
      await store.reserve(6);
      const [sequence, anchors] = [
        Uint32Array.from(all, (token) => token.sequence),
        Uint32Array.from(places, ({ anchor }) => anchor),
      ];
      const tables = places.map((_, i) => Uint32Array.of(2 * i, 2 * i + 1));
      for (const given of [anchors, null]) {
        ops().begin(batchOf(all.length, { positions, sequence, tables, ...(given && { anchors: given }) }));
        const y = ops().qkv(ops().embed(input), [m], shape);
        ops().append(store, 0, y, shape); // fused with it where that is possible
        const products = reference.matmul(x, w, D);
        const want = all.flatMap(({ position, anchor }, t) => {
          const rope = shape.rope.lengths!.at(Math.max(given ? anchor : 0, position + 1));
          const row = products.subarray(t * rows, (t + 1) * rows);
          return [...reference.rope(row, Uint32Array.of(position), { ...shape, rope })];
        });
        expectClose(await ops().read(y), Float64Array.from(want), rows);
      }
      store.close();
    });
  });

  describe("qkv in parts", () => {
    // Those of the second have biases, but for k.
    const mixes = [
      ["q4_k", "q8", "q6_k"],
      ["q8", "f32", "q4"],
    ] as const;
    it.each(
      [
        { shape: attentionOf(8, 2, 16), D: 256, T: 3, cache: true },
        { shape: attentionOf(4, 4, 6), D: 60, T: 1, cache: false },
        { shape: { ...attentionOf(6, 2, 24), normed: "head" } as Layer, D: 64, T: 5, cache: true },
        { shape: attentionOf(4, 2, 32, { rope: partialRope(16) }), D: 64, T: 2, cache: false },
        { shape: attentionOf(8, 2, 16), D: 256, T: 33, cache: true },
      ].flatMap((c) => mixes.map((names) => ({ ...c, ...c.shape, names, parts: titleOf(c.shape) }))),
    )(
      "of $names, $heads + 2 x $kvHeads heads of $headDim, $parts, $T tokens, cached $cache",
      async ({ shape, names, D, T, cache }) => {
        const { heads, kvHeads, headDim } = shape;
        const width = (heads + 2 * kvHeads) * headDim;
        const x = uniform(T * D, 71);
        const input = await inputTable(ops(), x, D);
        const norm = uniform(D, 72, 1);
        const loaded = await ops().loadVector(memorySource("norm", norm, 1, D));
        const parts = [heads, kvHeads, kvHeads].map((n, i) => {
          const w = uniform(n * headDim * D, 73 + i, 0.3);
          const rows = n * headDim;
          const bias = names === mixes[1] && i !== 1 ? uniform(rows, 83 + i, 2) : null;
          return { format: FORMATS[names[i]!], w, rows, bias };
        });
        const matrices: Matrix[] = [];
        for (const [i, { format, w, rows, bias }] of parts.entries()) {
          const source = sourceFor(format, `part ${i}`, w, rows, D);
          matrices.push(await ops().loadMatrix(bias ? withBias(source, bias) : source, format));
        }
        const positions = Uint32Array.from({ length: T }, (_, t) => t + 30);
        const tables = [Uint32Array.of(0, 1, 2, 3)];
        const store = ops().createKv({ layers: 1, kvHeads, headDim }, "f32", 32);
        await store.reserve(4);
        const { attention, made } = await layerOn(ops(), shape, 77);
        ops().begin(batchOf(T, { positions, tables }));
        const y = ops().qkv(ops().rmsNorm(ops().embed(input), loaded, 1e-5), matrices, attention);
        if (cache) ops().append(store, 0, y, attention);
        expect(y.shape).toEqual([T, width]);
        const got = await ops().read(y);
        const normed = reference.rmsNorm(x, norm, 1e-5);
        const products = parts.map(({ format, w, rows, bias }) =>
          reference.matmul(normed, held(format, w, rows, D), D, bias),
        );
        const rows = Array.from({ length: T }, (_, t) =>
          products.flatMap((all, i) => [...all.subarray(t * parts[i]!.rows, (t + 1) * parts[i]!.rows)]),
        );
        const want = made(Float64Array.from(rows.flat()), positions);
        const nmse = Math.max(...parts.map(({ format }) => allowedNmse(ops(), format)));
        expectClose(got, want, width, nmse);
        if (cache) {
          // Keys and values of the cache are the columns of the result.
          const block = new Float32Array((await store.readBlock(1)).slice().buffer);
          const kv = kvHeads * headDim;
          for (const [t, position] of positions.entries()) {
            if (position < 32 || position >= 64) continue;
            const own = got.subarray(t * width + heads * headDim, (t + 1) * width);
            const at = (position - 32) * kv;
            expect(block.slice(at, at + kv)).toEqual(own.slice(0, kv));
            expect(block.slice(32 * kv + at, 32 * kv + at + kv)).toEqual(own.slice(kv));
          }
        }
        store.close();
      },
    );
  });

  describe("append and attention", () => {
    it.each(
      [...CASES, ...Q8_CASES].map((c) => ({
        ...c,
        ...c.layers[0],
        name: c.scenario.name,
        parts: c.layers.map(titleOf).join("; "),
      })),
    )("$name: H $heads, Hkv $kvHeads, Dh $headDim, $parts, kv $kv", (c) => play(ops(), c));
  });
}

/**
 * Plays a scenario on two layers with their own projections; the store grows to just what
 * each step needs. Layers with windows have panes.
 */
async function play(ops: Ops, { scenario, D, layers, kv }: Case): Promise<void> {
  const { heads, kvHeads, headDim } = layers[0];
  const width = (heads + 2 * kvHeads) * headDim;
  const V = 97;
  const inputs = uniform(V * D, 41);
  const table = await inputTable(ops, inputs, D);
  const weights: Float32Array[] = [];
  const projections: Matrix[] = [];
  const placed = await Promise.all(layers.map((layer, i) => layerOn(ops, layer, 50 + 2 * i)));
  for (let layer = 0; layer < layers.length; layer++) {
    const w = uniform(width * D, 42 + layer, 5 / Math.sqrt(D)); // scores spread over several units
    weights.push(w);
    projections.push(await ops.loadMatrix(memorySource(`qkv ${layer}`, w, width, D), FORMATS.f32));
  }
  const window = Math.max(...layers.map((layer) => layer.window ?? 0));
  const geometry = { layers: layers.length, kvHeads, headDim };
  const windows = { positions: window, layers: layers.map((layer) => layer.window !== null) };
  const store = ops.createKv(window > 0 ? { ...geometry, windows } : geometry, kv, BLOCK);
  const panes = new Panes(store, scenario.tables);
  const timelines = projections.map(() => new reference.Timeline(kv, layers[0]));
  for (const [index, runs] of scenario.steps.entries()) {
    const batch = batchOfRuns(scenario, runs, index, V);
    await store.reserve(Math.max(...batch.tables.flatMap((ids) => [...ids])) + 1);
    await panes.place(runs);
    ops.begin(batch);
    const x = ops.embed(table);
    for (const [layer, projection] of projections.entries()) {
      const { attention: shape, made } = placed[layer]!;
      const qkv = ops.qkv(x, [projection], shape);
      ops.append(store, layer, qkv, shape);
      const y = ops.attention(store, layer, qkv, shape);
      const got = await ops.read(y);
      const rows = await ops.read(qkv);
      expect(y.shape).toEqual([batch.tokens.length, heads * headDim]);
      const taken = Float32Array.from([...batch.tokens].flatMap((id) => [...inputs.subarray(id * D, (id + 1) * D)]));
      expectClose(rows, made(reference.matmul(taken, weights[layer]!, D), batch.positions), width);
      const sequences = runs.flatMap(([sequence, , count]) => Array<number>(count).fill(sequence));
      const row = (t: number) => rows.subarray(t * width, (t + 1) * width);
      sequences.forEach((s, t) => {
        timelines[layer]!.append(s, batch.positions[t]!, row(t).subarray(heads * headDim));
      });
      const want = sequences.flatMap((s, t) => [
        ...timelines[layer]!.attend(s, batch.positions[t]!, row(t), layers[layer]!),
      ]);
      // Rows are read from another kernel than the one that turned the keys of the cache: one that
      // lies between two f16, or two levels, may be the other one there. Without rounding they are
      // equal enough.
      expectClose(got, Float64Array.from(want), heads * headDim, { f32: undefined, f16: 1e-7, q8: 3e-5 }[kv]);
    }
  }
  store.close();
}

function batchOfRuns(scenario: Scenario, runs: readonly Run[], step: number, V: number): Batch {
  const places = runs.flatMap(([sequence, from, count], b) =>
    Array.from({ length: count }, (_, i) => ({
      b,
      position: from + i,
      token: (sequence * 13 + (from + i) * 7 + step) % V,
    })),
  );
  return batchOf(places.length, {
    tokens: Uint32Array.from(places, (p) => p.token),
    positions: Uint32Array.from(places, (p) => p.position),
    sequence: Uint32Array.from(places, (p) => p.b),
    tables: runs.map(([sequence, from, count]) =>
      Uint32Array.from(scenario.tables[sequence]!.slice(0, Math.ceil((from + count) / BLOCK))),
    ),
  });
}
