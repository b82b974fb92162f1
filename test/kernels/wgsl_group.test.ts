// group.wgsl against its plain form: exact, whatever the routing.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { group } from "../../kernels/group.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { type KernelBench, openKernels } from "../support/kernels.ts";
import { integers } from "../support/random.ts";

const random = (slots: number, E: number): Uint32Array =>
  Uint32Array.from(integers(slots, E, 1000), (value) => Math.abs(value) % E);

describe.skipIf(noAdapter)(`group${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (adapters.length === 0) it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));

  describe.each(adapters.map(({ name }) => name))("%s", (name) => {
    let bench: KernelBench;
    beforeAll(async () => {
      bench = await openKernels(name, false);
    });
    afterAll(() => bench?.close());

    it.each([
      { what: "random", E: 8, K: 2, ids: random(1024, 8) },
      { what: "one token", E: 8, K: 2, ids: Uint32Array.of(7, 0) },
      { what: "all to one expert", E: 8, K: 1, ids: new Uint32Array(513).fill(5) },
      { what: "none to the first and the last", E: 8, K: 2, ids: random(130, 6).map((e) => e + 1) },
      { what: "more experts than slots", E: 40, K: 2, ids: random(6, 40) },
      { what: "some to none", E: 3, K: 2, ids: random(300, 5).map((e) => (e < 3 ? e : 0xffffffff)) },
      { what: "all to none", E: 3, K: 2, ids: new Uint32Array(10).fill(0xffffffff) },
      { what: "one expert", E: 1, K: 1, ids: new Uint32Array(65) },
    ])("$what: E $E, K $K", async ({ E, K, ids }) => {
      const [starts, sorted] = [new Uint32Array(E + 1), new Uint32Array(ids.length)];
      const count = new Uint32Array(4).fill(ids.length / K);
      await bench.run({
        name: "group",
        n: ids.length / K,
        params: { E, K },
        buffers: { count, ids: new Uint32Array(ids), starts, sorted },
      });
      const want = { starts: new Uint32Array(E + 1), sorted: new Uint32Array(ids.length) };
      group(ids, E, want.starts, want.sorted);
      expect([...starts]).toEqual([...want.starts]);
      const placed = want.starts[E]!;
      expect(placed).toBe(ids.filter((id) => id < E).length);
      expect([...sorted.subarray(0, placed)]).toEqual([...want.sorted.subarray(0, placed)]);
    });
  });
});
