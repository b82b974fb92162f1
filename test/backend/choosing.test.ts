// Choosing on the device against the host's sampler: the same tokens from the same seed,
// step after step.

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Chooser, type Matrix, type Ops, UNDECIDED } from "../../src/backend/ops.ts";
import type { WebGpuOps } from "../../src/backend/webgpu/webgpu.ts";
import type { SamplingOptions } from "../../src/engine/api.ts";
import { createSampler, type Sampler } from "../../src/engine/sampler.ts";
import { RequestError } from "../../src/errors.ts";
import { adapters, NO_ADAPTER, noAdapter } from "../support/adapters.ts";
import { generator } from "../support/random.ts";
import { some } from "../support/some.ts";
import { attentionOf, inputTable, range } from "../support/steps.ts";

/** n logits as a model has them: normal, with a standard deviation of `scale`. */
function normal(n: number, seed: number, scale: number): Float32Array {
  const next = generator(seed);
  return Float32Array.from(
    { length: n },
    () => scale * Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next()),
  );
}

/**
 * One decoded token a sequence: token `ids[r]` at `position`, so that the rows of the step are
 * those of the table.
 */
function decode(ids: readonly number[], choosers: readonly Chooser[], position = 0) {
  const R = ids.length;
  return {
    tokens: Uint32Array.from(ids),
    positions: new Uint32Array(R).fill(position),
    sequence: range(R),
    tables: Array.from({ length: R }, () => Uint32Array.of(0)),
    outputs: range(R),
    choosers,
  };
}

/** A step whose logits are the rows of `table` that its tokens name. */
function choose(ops: Ops, table: Matrix): Promise<Uint32Array> {
  return ops.choosing!.choose(ops.rows(ops.embed(table)));
}

function chooserOf(ops: Ops, sampler: Sampler): Chooser {
  const chooser = ops.choosing!.create(sampler.chooser());
  if (!chooser) throw new Error("these settings should be honoured");
  return chooser;
}

const SETTINGS: readonly SamplingOptions[] = [
  {},
  { logitBias: { 5: 30, 7: 31.5, 8: -1 } },
  { repeatPenalty: 1.3 },
  { frequencyPenalty: 0.37, presencePenalty: 0.21 },
  { temperature: 1 },
  { temperature: 0.7, topK: 1 },
  { temperature: 1.5, topK: 2 },
  { temperature: 0.8, topK: 40 },
  { temperature: 1, topK: 256 },
  { temperature: 1, topP: 0.9 },
  { temperature: 1, topP: 0 },
  { temperature: 2, topK: 50, topP: 0.7 },
  { temperature: 1.2, minP: 0.1 },
  { temperature: 1.2, minP: 1 },
  { temperature: 0.9, topK: 100, topP: 0.95, minP: 0.02 },
  { temperature: 1, topK: 20, repeatPenalty: 1.2, frequencyPenalty: 0.5, presencePenalty: -0.3, logitBias: { 3: 12 } },
];

/**
 * Lets choosers of all settings go `steps` steps side by side over rows of `logits` [rows, V], and
 * holds each against its host sampler. What the device leaves undecided the host decides, and a new
 * chooser goes on from there. Returns how many.
 */
async function compare(ops: Ops, V: number, logits: Float32Array, steps: number, settings = SETTINGS) {
  const rows = logits.length / V;
  const table = await inputTable(ops, logits, V);
  const samplers = settings.map((s, i) => createSampler({ ...s, seed: 100 + i }, V, [1, 2, V - 1]));
  const choosers = samplers.map((sampler) => chooserOf(ops, sampler));
  const pick = generator(V);
  const undecided = settings.map(() => 0);
  for (let step = 0; step < steps; step++) {
    const ids = settings.map(() => Math.floor(pick() * rows));
    ops.begin(decode(ids, choosers));
    const found = await choose(ops, table);
    for (const [i, sampler] of samplers.entries()) {
      const expected = sampler.next(logits.subarray(ids[i]! * V, (ids[i]! + 1) * V));
      if (found[i] === UNDECIDED) {
        undecided[i]!++;
        choosers[i]!.close();
        choosers[i] = chooserOf(ops, sampler);
      } else expect(found[i], `step ${step}, ${JSON.stringify(settings[i])}`).toBe(expected);
    }
  }
  for (const chooser of choosers) chooser.close();
  return undecided;
}

/** One choice for each of `rows`, with choosers of the same settings. */
async function once(ops: Ops, rows: readonly Float32Array[], settings: SamplingOptions): Promise<number[]> {
  const V = rows[0]!.length;
  const table = await inputTable(ops, Float32Array.from(rows.flatMap((row) => [...row])), V);
  const choosers = rows.map((_, r) => chooserOf(ops, createSampler({ seed: r, ...settings }, V, [])));
  ops.begin(decode([...rows.keys()], choosers));
  const ids = await choose(ops, table);
  for (const chooser of choosers) chooser.close();
  return [...ids];
}

/** A row of `value` but for some tokens. */
function flat(V: number, value: number, others: Readonly<Record<number, number>> = {}): Float32Array {
  const row = new Float32Array(V).fill(value);
  for (const [id, x] of Object.entries(others)) row[Number(id)] = x;
  return row;
}

// No choosing kernel uses what is optional: the two adapters are the variants that there are.
describe.skipIf(noAdapter)(`choosing on WebGPU${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (adapters.length === 0) it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));
  describe.each(adapters)("webgpu $name", (adapter) => {
    let ops: WebGpuOps;
    beforeAll(async () => {
      ops = await adapter.open({ maxTokens: 16 });
    });
    afterAll(() => ops?.close());

    const sizes = [
      { V: 97, rows: 97, steps: 300 },
      { V: 4096, rows: 64, steps: 100 },
      { V: 32000, rows: 8, steps: 20 },
    ];
    it.each(some(sizes, 1))(
      "gives the sampler's tokens from the same seeds, seldom undecided: V = $V",
      async ({ V, rows, steps: most }) => {
        const steps = adapter.leftToFaster ? most / 4 : most;
        const undecided = await compare(ops, V, normal(rows * V, V, 4), steps);
        const total = undecided.reduce((sum, n) => sum + n, 0);
        expect(total, `undecided by settings: ${undecided}`).toBeLessThanOrEqual((SETTINGS.length * steps) / 50);
        // Without temperature there is nothing that rounding could leave open.
        expect(undecided.slice(0, 4)).toEqual([0, 0, 0, 0]);
      },
    );

    it("gives the sampler's tokens of a chain, up to the one that is not the next of the batch", async () => {
      const V = 97;
      const logits = normal(V * V, 3, 4);
      const table = await inputTable(ops, logits, V);
      let decided = 0;
      for (const [i, settings] of SETTINGS.entries())
        for (const wrong of [1, 4, 8]) {
          const asked = { ...settings, seed: 50 + i };
          const sampler = createSampler(asked, V, [1, 2, V - 1]);
          const tokens = [i];
          const expected: number[] = [];
          while (tokens.length <= 8) {
            const [at] = tokens.slice(-1) as [number];
            const id = sampler.next(logits.subarray(at * V, (at + 1) * V));
            expected.push(id);
            tokens.push(expected.length === wrong ? (id + 1) % V : id);
          }
          const chooser = chooserOf(ops, createSampler(asked, V, [1, 2, V - 1]));
          ops.begin({
            tokens: Uint32Array.from(tokens.slice(0, 8)),
            positions: range(8),
            sequence: new Uint32Array(8),
            tables: [Uint32Array.of(0)],
            outputs: range(8),
            choosers: Array.from({ length: 8 }, () => chooser),
            chain: true,
          });
          const found = [...(await choose(ops, table))];
          chooser.close();
          const right = found.indexOf(UNDECIDED) < 0 ? 8 : found.indexOf(UNDECIDED);
          expect(right).toBeLessThanOrEqual(wrong);
          expect(found).toEqual([...expected.slice(0, right), ...new Array(8 - right).fill(UNDECIDED)]);
          decided += Number(right === wrong);
        }
      expect(decided).toBeGreaterThan(SETTINGS.length * 3 * 0.9);
    });

    it("refuses a chain of several choosers", () => {
      const choosers = [0, 1].map((seed) => chooserOf(ops, createSampler({ seed }, 97, [])));
      const batch = { ...decode([1, 2], choosers), chain: true };
      expect(() => ops.begin(batch)).toThrow(/all the same; found 2, 2 of them different/);
      for (const chooser of choosers) chooser.close();
    });

    it("gives the sampler's token or none where the mass lies behind the 256 best", async () => {
      const settings = [
        { temperature: 1 },
        { temperature: 1, topP: 0.5 },
        { temperature: 1, minP: 0.1 },
        { temperature: 3, topK: 9 },
      ];
      const undecided = await compare(ops, 4096, normal(16 * 4096, 5, 0.5), 30, settings);
      for (const n of undecided.slice(0, 3)) expect(n).toBeGreaterThan(0);
      expect(undecided[3]).toBe(0);
    });

    it("takes the lowest id of equal logits", async () => {
      const rows = [flat(5000, 1), flat(5000, -2, { 3000: 4, 4999: 4, 2047: 4 }), flat(5000, -0, { 7: 0 })];
      expect(await once(ops, rows, {})).toEqual([0, 2047, 0]);
      expect(await once(ops, rows, { temperature: 1, topK: 1 })).toEqual([0, 2047, 0]);
    });

    it("draws among equal logits in order of id, as the sampler does", async () => {
      await compare(ops, 5000, flat(5000, 1), 20, [
        { temperature: 1, topK: 256 },
        { temperature: 1, topK: 3 },
      ]);
    });

    it("passes over banned tokens, and leaves what is not a number to the host", async () => {
      const none = Number.NEGATIVE_INFINITY;
      const rows = [
        flat(3000, none, { 2999: -5, 17: -6 }),
        flat(3000, none),
        flat(3000, 0, { 2500: Number.NaN }),
        flat(3000, 0, { 1: Number.POSITIVE_INFINITY }),
        flat(3000, none, { 12: -3.4e38 }),
      ];
      const expected = [2999, UNDECIDED, UNDECIDED, UNDECIDED, 12];
      expect(await once(ops, rows, {})).toEqual(expected);
      expect(await once(ops, rows, { temperature: 0.01 })).toEqual(expected);
      expect(await once(ops, rows, { logitBias: { 17: 100 } })).toEqual([17, ...expected.slice(1)]);
    });

    it("mixes greedy and sampled rows, and leaves prompts without output alone", async () => {
      const V = 300;
      const logits = normal(4 * V, 3, 4);
      const table = await inputTable(ops, logits, V);
      const samplers = [createSampler({}, V, []), createSampler({ temperature: 1, topK: 9, seed: 5 }, V, [])];
      const choosers = samplers.map((sampler) => chooserOf(ops, sampler));
      ops.begin({
        tokens: Uint32Array.of(0, 1, 2, 3),
        positions: Uint32Array.of(0, 1, 2, 9),
        sequence: Uint32Array.of(0, 0, 0, 1),
        tables: [Uint32Array.of(0), Uint32Array.of(1)],
        outputs: Uint32Array.of(2, 3),
        choosers,
      });
      const ids = await choose(ops, table);
      const expected = samplers.map((sampler, i) => sampler.next(logits.subarray((2 + i) * V, (3 + i) * V)));
      expect([...ids]).toEqual(expected);
      expect(() => ops.begin("next")).toThrow(RequestError); // not one token a sequence
      for (const chooser of choosers) chooser.close();
    });

    it("goes on from its own tokens, several steps ahead of the host", async () => {
      const V = 97;
      const logits = normal(V * V, 11, 3);
      const table = await inputTable(ops, logits, V);
      const settings: SamplingOptions[] = [
        {},
        { temperature: 0.8, topK: 40 },
        { repeatPenalty: 1.5, temperature: 0.5, topK: 5 },
      ];
      const samplers = settings.map((s, i) => createSampler({ ...s, seed: i }, V, []));
      const choosers = samplers.map((sampler) => chooserOf(ops, sampler));
      const last = [3, 50, 96];
      const waiting: Promise<Uint32Array>[] = [];
      for (let step = 0; step < 60; step++) {
        ops.begin(step === 0 ? decode(last, choosers) : "next");
        waiting.push(choose(ops, table));
        if (step === 20) choosers[1]!.close(); // a place that a step still uses is not given away
        if (step === 20) chooserOf(ops, createSampler({ temperature: 1, seed: 99 }, V, []));
      }
      const before = ops.counters();
      const found = await Promise.all(waiting);
      expect(ops.counters().submits).toBe(before.submits);
      for (const [step, ids] of found.entries()) {
        for (const [row, sampler] of samplers.entries()) {
          const at = last[row]! * V;
          last[row] = sampler.next(logits.subarray(at, at + V));
          expect(ids[row], `step ${step}, row ${row}`).toBe(last[row]);
        }
      }
    });

    it("continues where a host sampler stands, and the host where it stands", async () => {
      const V = 97;
      const logits = normal(V * V, 12, 3);
      const table = await inputTable(ops, logits, V);
      const options = { temperature: 0.9, topK: 30, repeatPenalty: 1.2, frequencyPenalty: 0.3, seed: 4 };
      const alone = createSampler(options, V, [1]);
      const shared = createSampler(options, V, [1]);
      const row = (id: number) => logits.subarray(id * V, (id + 1) * V);
      let id = 1;
      for (let turn = 0; turn < 20; turn++) {
        const chooser = chooserOf(ops, shared);
        for (let i = 0; i < 3; i++) {
          ops.begin(decode([id], [chooser]));
          const [found] = await choose(ops, table);
          const expected = alone.next(row(id));
          expect(found).toBe(expected);
          shared.accept(expected);
          id = expected;
        }
        chooser.close();
        const expected = alone.next(row(id));
        expect(shared.next(row(id))).toBe(expected);
        id = expected;
      }
    });

    it("creates nothing and reads four bytes a row once warm, in two dispatches more", async () => {
      const V = 5000;
      const table = await inputTable(ops, normal(2 * V, 1, 3), V);
      for (const settings of [{}, { temperature: 1, topK: 20, repeatPenalty: 1.1 }]) {
        let before = ops.counters();
        for (let generation = 0; generation < 3; generation++) {
          if (generation === 1) before = ops.counters();
          const chooser = chooserOf(ops, createSampler({ ...settings, seed: generation }, V, []));
          for (let step = 0; step < 3; step++) {
            ops.begin(decode([step % 2], [chooser]));
            await choose(ops, table);
          }
          chooser.close();
        }
        const after = ops.counters();
        expect(after.buffersCreated - before.buffersCreated).toBe(0);
        expect(after.bindGroupsCreated - before.bindGroupsCreated).toBe(0);
        expect(after.pipelinesCreated - before.pipelinesCreated).toBe(0);
        expect(after.submits - before.submits).toBe(6);
        expect(after.bytesRead - before.bytesRead).toBe(6 * 4);
        expect(after.dispatches - before.dispatches).toBe(6 * 4); // embed, rows, and two to choose
      }
    });

    it("serves more choosers at once than there was room for, and keeps what they remember", async () => {
      const V = 97;
      const logits = normal(V * V, 13, 3);
      const table = await inputTable(ops, logits, V);
      const options = { temperature: 1, topK: 10, repeatPenalty: 2 };
      const samplers = Array.from({ length: 80 }, (_, seed) => createSampler({ ...options, seed }, V, []));
      const choosers: Chooser[] = [];
      for (const [i, sampler] of samplers.entries()) {
        choosers.push(chooserOf(ops, sampler));
        const rows = i === 0 ? [0] : [0, i];
        ops.begin(
          decode(
            rows,
            rows.map((r) => choosers[r]!),
          ),
        );
        const found = await choose(ops, table);
        const expected = rows.map((r) => samplers[r]!.next(logits.subarray(r * V, (r + 1) * V)));
        expect([...found]).toEqual(expected);
      }
      for (const chooser of choosers) chooser.close();
    });

    it("says what it does not take", async () => {
      const V = 97;
      const table = await inputTable(ops, normal(2 * V, 14, 3), V);
      const sampler = (options: SamplingOptions) => createSampler(options, V, []);
      expect(ops.choosing.create(sampler({ temperature: 1, topK: 257 }).chooser())).toBeNull();
      expect(ops.choosing.create(sampler({ temperature: 1e-40 }).chooser())).toBeNull();
      expect(ops.choosing.create(sampler({ logitBias: { 3: 1e300 } }).chooser())).toBeNull();
      const chooser = chooserOf(ops, sampler({ topK: 257 }));

      ops.begin(decode([0], [chooser]));
      expect(() => ops.begin("next")).toThrow(RequestError); // nothing is chosen
      const first = choose(ops, table);
      await expect(choose(ops, table)).rejects.toThrow(/chosen already/);
      await first;
      expect(() => ops.begin(decode([0, 1], [chooser]))).toThrow(/as many choosers/);
      expect(() => ops.begin(decode([0, 1], [chooser, chooser]))).toThrow(/each its own/);
      const { choosers: _, ...without } = decode([0], []);
      ops.begin(without);
      await expect(choose(ops, table)).rejects.toThrow(RequestError);
      chooser.close();
      expect(() => ops.begin(decode([0], [chooser]))).toThrow(/closed/);
      const wide = chooserOf(ops, createSampler({}, V + 1, []));
      ops.begin(decode([0], [wide]));
      await expect(choose(ops, table)).rejects.toThrow(/vocabulary/);
      wide.close();
    });

    it("stops at the end of a block table", async () => {
      const V = 96;
      const attention = attentionOf(2, 1, 24);
      const kv = ops.createKv({ layers: 1, kvHeads: 1, headDim: 24 }, "f32", 4);
      await kv.reserve(1);
      const table = await inputTable(ops, normal(V * V, 15, 3), V);
      const chooser = chooserOf(ops, createSampler({}, V, []));
      const step = (batch: Parameters<Ops["begin"]>[0]) => {
        ops.begin(batch);
        const x = ops.embed(table);
        ops.append(kv, 0, x, attention);
        return ops.choosing.choose(ops.rows(x));
      };
      await step(decode([1], [chooser], 2));
      await step("next");
      expect(() => step("next")).toThrow(/position 4 needs 2 blocks/);
      chooser.close();
      kv.close();
    });
  });
});
