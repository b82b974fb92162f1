// The kernels that choose tokens, one by one: what they write, and that they write nothing else, on
// grids that are too large.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { UNDECIDED } from "../../src/backend/ops.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { type KernelBench, openKernels } from "../support/kernels.ts";
import { uniform } from "../support/random.ts";

const [V, R, SLICES] = [2500, 2, 2]; // a slice is 2,048 tokens
const STRIDE = 2528;
const FLOATS = new Float32Array(1);
const BITS = new Uint32Array(FLOATS.buffer);
function bits(x: number): number {
  FLOATS[0] = x;
  return BITS[0]!;
}

/**
 * Chooser 0 is greedy and has a table, chooser 1 takes the most likely of two. The step's tokens
 * name them the other way round.
 */
function inputs() {
  const choosers = new Uint32Array(32);
  choosers.set([1, 2, 3, 4, 0, 0, bits(1), 0, bits(2), bits(0.5), bits(0.25), bits(0.5), 0, 0]);
  choosers.set([5, 6, 7, 8, bits(1), 2, bits(0.5), 0, bits(1), bits(1), 0, 0, UNDECIDED, 0], 16);
  const logits = uniform(R * STRIDE, 1, 4) as Float32Array<ArrayBuffer>;
  // padding, never to be chosen
  for (let r = 0; r < R; r++) logits.fill(1e30, r * STRIDE + V, (r + 1) * STRIDE);
  logits[7] = 20; // row 0 goes to chooser 1
  logits[2300] = 18;
  // row 1 to chooser 0: token 9 was chosen twice and seen, (10 / 2) - (0.25 * 2 + 0.5) = 4
  logits[STRIDE + 9] = 10;
  logits[STRIDE + 2400] = 5;
  logits[STRIDE + 2401] = 4.5; // and a bias of 1
  const tables = new Uint32Array(2 * V);
  tables[2401] = bits(1);
  tables[V + 9] = 2 * 2 + 1;
  return {
    count: Uint32Array.of(R, 1),
    step: Uint32Array.of(3, 10, 8, 1, 4, 20, 9, 0, 77, 78),
    outputs: Uint32Array.of(0, 1),
    choosers,
    tables,
    logits,
    slices: new Uint32Array(R * SLICES * 4),
    ids: new Uint32Array(R),
  };
}

describe.skipIf(noAdapter)(`choosing kernels${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (adapters.length === 0) it("need an adapter", () => Promise.reject(new Error(NO_ADAPTER)));
  describe.each(adapters)("webgpu $name", ({ name }) => {
    let bench: KernelBench;
    beforeAll(async () => {
      bench = await openKernels(name, false);
    });
    afterAll(() => bench?.close());
    const params = { V, stride: STRIDE, slices: SLICES, first: 0 };

    it("without temperature: bias, penalties, the next tokens, the chooser's memory", async () => {
      const b = inputs();
      b.choosers.set(b.choosers.subarray(0, 16), 16); // both rows by choosers of the first kind
      b.choosers[28] = UNDECIDED; // the second without its table
      const { count, step, outputs, choosers, tables, logits, slices, ids } = b;
      const first = {
        name: "choose_best",
        n: R + 3,
        params,
        buffers: { count, step, outputs, choosers, tables, logits, slices },
      } as const;
      const second = {
        name: "choose_greedy",
        n: R + 3,
        params,
        buffers: { count, outputs, slices, step, choosers, tables, ids },
      } as const;
      await bench.run(first, second);
      expect([...ids]).toEqual([7, 2401]);
      expect([...step]).toEqual([7, 11, 8, 1, 2401, 21, 9, 0, 77, 78]);
      expect([...tables].flatMap((word, at) => (word === 0 ? [] : [[at, word]]))).toEqual([
        [2401, bits(1)],
        [V + 9, 5],
        [V + 2401, 3],
      ]);
      expect([...choosers.subarray(0, 4)]).toEqual([1, 2, 3, 4]); // takes no random numbers
    });

    it("with temperature: the best, the mass, the generator two numbers on; greedy rows beside", async () => {
      const { count, step, outputs, choosers, tables, logits, slices, ids } = inputs();
      count[1] = 0; // the tokens stay as they are
      const ranked = new Uint32Array(R * SLICES * 256 * 2).fill(9);
      const first = {
        name: "choose_top",
        n: R + 3,
        params,
        buffers: { count, step, outputs, choosers, tables, logits, slices, ranked },
      } as const;
      const second = {
        name: "choose_draw",
        n: R + 3,
        params,
        buffers: { count, outputs, slices, ranked, step, choosers, tables, ids },
      } as const;
      await bench.run(first, second);
      expect([...ids]).toEqual([7, 2401]);
      expect([...step]).toEqual([3, 10, 8, 1, 4, 20, 9, 0, 77, 78]);
      const taken = new Set<number>();
      for (let i = 0; i < 256; i++) taken.add(~ranked[2 * i + 1]! >>> 0);
      const best = [...logits.subarray(0, 2048).keys()].sort((a, b) => logits[b]! - logits[a]! || a - b).slice(0, 256);
      expect([...taken].sort((a, b) => a - b)).toEqual(best.sort((a, b) => a - b));
      let mass = 0;
      for (let id = 0; id < 2048; id++) mass += Math.exp(logits[id]! - 20);
      expect(new Float32Array(slices.buffer)[2]).toBeCloseTo(mass, 5);
      expect([...choosers.subarray(0, 4)]).toEqual([1, 2, 3, 4]);
      // from the published step of xoshiro128**, twice from (5, 6, 7, 8)
      expect([...choosers.subarray(16, 20)]).toEqual(xoshiro(xoshiro([5, 6, 7, 8])));
    });
  });
});

/** The published state transition of xoshiro128. */
function xoshiro(state: readonly number[]): number[] {
  let [s0, s1, s2, s3] = state as [number, number, number, number];
  const t = s1 << 9;
  s2 ^= s0;
  s3 ^= s1;
  s1 ^= s2;
  s0 ^= s3;
  s2 ^= t;
  s3 = (s3 << 11) | (s3 >>> 21);
  return [s0, s1, s2, s3].map((s) => s >>> 0);
}
