// Conformance of multi-head latent attention: each head's own product, queries and key in the
// absorbed form, and attention whose values are a part of keys.

import { describe, expect, it } from "vitest";
import { FORMATS, type PackableName } from "../../kernels/formats/index.ts";
import { headBytes } from "../../src/backend/kv_block.ts";
import type { KvPrecision, Ops } from "../../src/backend/ops.ts";
import { held, memorySource } from "../support/memory_source.ts";
import { uniform } from "../support/random.ts";
import * as reference from "../support/reference.ts";
import { expectClose } from "../support/reference.ts";
import { allowedNmse, attentionOf, batchOf, inputTable } from "../support/steps.ts";

const BLOCK = 16;

/** One matrix [rows, cols] a head, and what a format holds of them. */
async function headsOf(ops: Ops, H: number, rows: number, cols: number, precision: PackableName, seed: number) {
  const format = FORMATS[precision];
  const all = Array.from({ length: H }, (_, h) => uniform(rows * cols, seed + h, 2 / Math.sqrt(cols)));
  const before = ops.memory().weights;
  const loaded = await ops.loadHeads(
    all.map((w, h) => memorySource(`head ${h}`, w, rows, cols)),
    format,
  );
  expect(loaded).toMatchObject({ heads: H, rows, cols });
  expect(ops.memory().weights).toBe(before + loaded.bytes);
  return { loaded, weights: all.map((w) => held(format, w, rows, cols)) };
}

interface Sizes {
  readonly H: number;
  readonly nope: number;
  readonly turned: number;
  readonly kv: number;
}

/** Few: a software adapter compiles attention anew for each size of a key. */
const CASES: readonly (Sizes & { readonly store: KvPrecision; readonly precision: PackableName })[] = [
  { H: 3, nope: 12, turned: 6, kv: 40, store: "f32", precision: "f32" },
  { H: 18, nope: 64, turned: 16, kv: 96, store: "f16", precision: "q8" },
  { H: 18, nope: 64, turned: 16, kv: 96, store: "q8", precision: "f32" },
  // A little more than a latent of published models: two slabs of values.
  { H: 5, nope: 24, turned: 64, kv: 520, store: "f16", precision: "f32" },
];

export function latentConformance(ops: () => Ops): void {
  describe("heads", () => {
    it.each([
      { H: 4, rows: 20, cols: 32, T: 1, precision: "f32" },
      { H: 3, rows: 9, cols: 12, T: 5, precision: "f32" },
      { H: 5, rows: 64, cols: 96, T: 33, precision: "q8" },
    ] as const)("$H matrices [$rows, $cols], $T tokens, $precision", async ({ H, rows, cols, T, precision }) => {
      const { loaded, weights } = await headsOf(ops(), H, rows, cols, precision, 500);
      const x = uniform(T * H * cols, 510);
      const input = await inputTable(ops(), x, H * cols);
      ops().begin(batchOf(T));
      const y = ops().heads(ops().embed(input), loaded);
      expect(y.shape).toEqual([T, H * rows]);
      const got = await ops().read(y);
      expectClose(got, reference.heads(x, weights, H, cols), H * rows, allowedNmse(ops(), FORMATS[precision]));
    });
  });

  describe("latent", () => {
    it.each(CASES)(
      "$H heads of $nope + $turned over latents of $kv, cached as $store, $precision",
      async ({ store, precision, ...sizes }) => {
        await play(ops(), sizes, store, precision);
      },
    );
  });
}

/** Two sequences over block edges, on two layers. */
async function play(ops: Ops, sizes: Sizes, stored: KvPrecision, precision: PackableName): Promise<void> {
  const { H, nope, turned, kv } = sizes;
  const size = turned + kv;
  const V = 61;
  const eps = 1e-2; // so large that it matters
  const [q, c] = [uniform(V * H * (nope + turned), 520, 2), uniform(V * size, 521, 2)];
  const tables = [await inputTable(ops, q, H * (nope + turned)), await inputTable(ops, c, size)] as const;
  const w = uniform(kv, 522, 2);
  const norm = await ops.loadVector(memorySource("norm", w, 1, kv));
  const { loaded: absorb, weights } = await headsOf(ops, H, kv, nope, precision, 530);
  const rope = { inverse: reference.inverseFrequencies(1e4, turned), factor: 1 };
  const shape = attentionOf(H, 1, size, { latent: kv, rope, scale: 0.7 / Math.sqrt(nope + turned) });
  const store = ops.createKv({ layers: 2, kvHeads: 1, headDim: size, keysOnly: true }, stored, BLOCK);
  await store.reserve(9);
  expect((await store.readBlock(1)).length).toBe(2 * BLOCK * headBytes(size, stored));
  const timelines = [new reference.Timeline(stored, shape), new reference.Timeline(stored, shape)];
  const blocks = [Uint32Array.of(4, 0, 2), Uint32Array.of(1, 5, 3, 8, 6, 7)];
  const steps = [
    [0, 0, 30],
    [0, 30, 1],
    [1, 0, 1],
    [0, 31, 2],
    [1, 1, 35],
    [1, 36, 59], // sees more than one tile of positions
  ] as const;
  for (const [sequence, from, T] of steps) {
    const tokens = Uint32Array.from({ length: T }, (_, i) => (sequence * 13 + (from + i) * 7) % V);
    const positions = Uint32Array.from({ length: T }, (_, i) => from + i);
    ops.begin(batchOf(T, { tokens, positions, tables: [blocks[sequence]!] }));
    const [own, latents] = [ops.embed(tables[0]), ops.embed(tables[1])];
    for (const [layer, timeline] of timelines.entries()) {
      const made = ops.latent(own, latents, { absorb, norm, eps }, shape);
      expect(made.shape).toEqual([T, (H + 1) * size]);
      ops.append(store, layer, made, shape);
      const y = ops.attention(store, layer, made, shape);
      expect(y.shape).toEqual([T, H * kv]);
      const got = await ops.read(y);
      const rows = await ops.read(made);
      const taken = (table: Float32Array, width: number) =>
        Float32Array.from([...tokens].flatMap((id) => [...table.subarray(id * width, (id + 1) * width)]));
      const want = reference.latent(
        taken(q, H * (nope + turned)),
        taken(c, size),
        { ...sizes, weights, norm: w, eps },
        positions,
        shape,
      );
      expectClose(rows, want, size, allowedNmse(ops, FORMATS[precision]));
      const row = (t: number) => rows.subarray(t * (H + 1) * size, (t + 1) * (H + 1) * size);
      for (let t = 0; t < T; t++) timeline.append(sequence, from + t, row(t).subarray(H * size));
      const attended = Array.from({ length: T }, (_, t) => [...timeline.attend(sequence, from + t, row(t), shape)]);
      expectClose(got, Float64Array.from(attended.flat()), H * kv, stored === "q8" ? 3e-5 : undefined);
    }
  }
  store.close();
}
