// place.wgsl against its plain form, and what it leaves to combine.wgsl: choices without a slot,
// whose rows may hold anything.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { place } from "../../kernels/place.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { type KernelBench, openKernels } from "../support/kernels.ts";
import { generator, uniform } from "../support/random.ts";

const NO = 0xffffffff;

describe.skipIf(noAdapter)(`place${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (adapters.length === 0) it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));

  describe.each(adapters.map(({ name }) => name))("%s", (name) => {
    let bench: KernelBench;
    beforeAll(async () => {
      bench = await openKernels(name, false);
    });
    afterAll(() => bench?.close());

    it.each([
      { what: "one token", T: 1, K: 2, layer: 0, own: [NO, 3, 0, NO], ADD: 0 },
      { what: "the second layer of two", T: 37, K: 3, layer: 1, own: [2, NO, 1, 0, NO], ADD: 0 },
      { what: "beside those of a pass before", T: 37, K: 3, layer: 1, own: [2, NO, 1, 0, NO], ADD: 1 },
      { what: "none in slots", T: 3, K: 1, layer: 2, own: [NO, NO], ADD: 0 },
      { what: "all in slots", T: 130, K: 2, layer: 0, own: [1, 0, 2], ADD: 1 },
    ])("$what: T $T, K $K", async ({ T, K, layer, own, ADD }) => {
      const E = own.length;
      const next = generator(T);
      const ids = Uint32Array.from({ length: T * K }, () => Math.floor(next() * E));
      const weights = new Float32Array(uniform(T * K, 2));
      const table = new Uint32Array(3 * E).fill(77);
      table.set(own, layer * E);
      const before = new Float32Array(uniform(T * K, 3));
      const [slots, shares] = [new Uint32Array(T * K), before.slice()];
      const count = new Uint32Array(4).fill(T);
      const params = { K, first: layer * E };
      const buffers = { count, ids, weights, table, slots, shares };
      await bench.run({ name: "place", n: T, params, overrides: { ADD }, buffers });
      const want = { slots: new Uint32Array(T * K), shares: before.slice() };
      place(ids, weights, Uint32Array.from(own), want.slots, want.shares, ADD === 1);
      expect([...slots]).toEqual([...want.slots]);
      expect([...shares]).toEqual([...want.shares]);
    });

    it.each([0, 1])("combine takes nothing from rows of weight 0: ADD %i", async (ADD) => {
      const [T, K, D] = [3, 2, 32];
      const x = new Float32Array(uniform(T * K * D, 1));
      const weights = Float32Array.of(7, 7, 0.25, 0, 0, 0, 0, 0.5);
      for (const slot of [1, 2, 3, 4])
        x.fill(slot % 2 === 0 ? Number.NaN : Number.POSITIVE_INFINITY, slot * D, (slot + 1) * D);
      const y = new Float32Array(T * D).fill(3);
      const run = { params: { K, vectors: D / 4, weights_at: 2, width: D }, overrides: { ADD } };
      await bench.run({ name: "combine", n: T, ...run, buffers: { count: new Uint32Array(4).fill(T), x, weights, y } });
      const row = (slot: number, weight: number) => [...x.subarray(slot * D, (slot + 1) * D)].map((v) => v * weight);
      const none = Array<number>(D).fill(0);
      const want = [...row(0, 0.25), ...none, ...row(5, 0.5)].map((value) => Math.fround(value + 3 * ADD));
      expect([...y]).toEqual(want);
    });
  });
});
