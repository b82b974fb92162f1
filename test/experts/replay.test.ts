// The replay: policies by hand, the two optimal ones against every possible choice, and figures.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { figuresOf, means, slotsFor } from "../../bench/experts/figures.ts";
import { CONTESTANTS, replay } from "../../bench/experts/replay.ts";
import { splits } from "../../bench/experts/split.ts";
import type { Trace } from "../../src/experts/trace.ts";

/** Steps of one layer, each the experts of one decoded token. */
function traceOf(experts: number, steps: readonly (readonly number[])[]): Trace {
  const layers = steps.map((ids) => ({ tokens: 1, sequences: 1, layers: [Uint32Array.from(ids)] }));
  return { model: "m", layers: 1, experts, k: steps[0]?.length ?? 1, steps: layers };
}

const contestant = (name: string) => CONTESTANTS.find((one) => one.name === name)!;
const hits = (trace: Trace, name: string, slots: number): number => replay(trace, contestant(name), slots).decode.hits;
const single = (text: string): number[][] => [...text].map((id) => [Number(id)]);

describe("policies, by hand", () => {
  // 0 is used often, then 1 and 2 in turns.
  const trace = traceOf(4, single("0001201210"));

  it.each([
    // 1 and 2 alternately evict 0 once both are used: hits of the second and third 0, and of the
    // last 1
    ["LRU", 3],
    // 0 has the most uses and stays: the second, third, fourth and fifth of it hit; 1 and 2
    // evict each other
    ["LFU", 4],
    // never evicts: 0 and 1, used five times and three times, always hit
    ["static", 8],
    // 2 evicts 1, which is needed later than 0; then 1 evicts 0: two hits of 0, one, then those of
    // 2 and 1
    ["Belady", 5],
  ] as const)("%s", (name, expected) => {
    expect(hits(trace, name, 2)).toBe(expected);
  });

  it("ClassLRU: of two counts between 2 and 4 the expert that was used longest ago is evicted, used more or not", () => {
    const trace = traceOf(4, single("000011121"));
    expect(hits(trace, "ClassLRU", 2)).toBe(6); // 2 evicts 0, so that the last 1 hits
    expect(hits(trace, "LFU", 2)).toBe(5);
  });

  it("keep the experts that the same step uses", () => {
    // With two slots and two experts a token, what is admitted is the token's own pair: policies
    // have no choice.
    const pairs = traceOf(4, [
      [0, 1],
      [1, 2],
      [2, 3],
      [0, 2],
      [2, 1],
    ]);
    for (const name of ["random", "LRU", "LFU", "ClassLRU", "Belady"]) expect(hits(pairs, name, 2), name).toBe(4);
  });

  it("count uploads, and steps without a miss, of decoded tokens and prompts apart", () => {
    const prompt = { tokens: 3, sequences: 1, layers: [Uint32Array.of(0, 1, 2)] };
    const trace: Trace = { ...traceOf(4, single("0133")), steps: [prompt, ...traceOf(4, single("0133")).steps] };
    const { decode, prefill, layers } = replay(trace, contestant("LRU"), 3);
    expect(prefill).toEqual({ tokens: 3, hits: 0, misses: 3, admissions: 3, layerSteps: 1, complete: 0 });
    expect(decode).toEqual({ tokens: 4, hits: 3, misses: 1, admissions: 1, layerSteps: 4, complete: 3 });
    expect(layers).toEqual([0.75]);
  });

  it("leave out a layer that no row of a step reaches", () => {
    const none = { tokens: 3, sequences: 1, layers: [new Uint32Array(0)] };
    expect(replay({ ...traceOf(4, single("0")), steps: [none] }, contestant("LRU"), 2).prefill.layerSteps).toBe(0);
  });
});

/** The most hits of any choice of residents. `forced`: every miss is admitted. */
function best(steps: readonly (readonly number[])[], slots: number, forced: boolean): number {
  const known = new Map<string, number>();
  const from = (at: number, residents: readonly number[]): number => {
    const use = steps[at];
    if (use === undefined) return 0;
    const key = `${at}:${residents}`;
    const found = known.get(key);
    if (found !== undefined) return found;
    const hit = use.filter((expert) => residents.includes(expert)).length;
    const all = [...new Set([...residents, ...use])].sort((a, b) => a - b);
    let most = 0;
    for (let set = 0; set < 2 ** all.length; set++) {
      const next = all.filter((_, i) => (set >> i) & 1);
      if (next.length > slots || (forced && !use.every((expert) => next.includes(expert)))) continue;
      most = Math.max(most, from(at + 1, next));
    }
    known.set(key, hit + most);
    return hit + most;
  };
  return from(0, []);
}

it("memory without slots is an LRU of pages, memory of slots alone the engine's tier, and between them both", () => {
  const trace = traceOf(5, single("0123401231102240312040123"));
  const misses = (name: string): number => replay(trace, contestant(name), 3).decode.misses / 25;
  const [none, one, two, all] = splits([trace], [3]);
  expect(none!.disk).toBe(misses("LRU"));
  expect(none!.disk + none!.cached).toBeCloseTo(1);
  expect(all).toEqual({ memory: 3, slots: 3, disk: misses("hotset, RAM"), cached: 0 });
  for (const { slots, disk, cached } of [one!, two!]) {
    const hitRate = replay(trace, contestant("hotset, RAM"), slots).decode.hits / 25;
    expect(disk + cached + hitRate).toBeCloseTo(1);
  }
});

describe("on random traces", () => {
  const E = 5;
  const traces = fc.integer({ min: 1, max: 2 }).chain((k) =>
    fc.record({
      steps: fc.array(fc.uniqueArray(fc.nat(E - 1), { minLength: k, maxLength: k }), { minLength: 1, maxLength: 14 }),
      slots: fc.integer({ min: k, max: 4 }),
    }),
  );

  it("Belady hits as often as the best of all choices, with and without bypass", () => {
    fc.assert(
      fc.property(traces, ({ steps, slots }) => {
        const trace = traceOf(E, steps);
        expect(hits(trace, "Belady", slots)).toBe(best(steps, slots, true));
        expect(hits(trace, "Belady+bypass", slots)).toBe(best(steps, slots, false));
      }),
      { numRuns: 200 },
    );
  });

  it("no policy that admits every miss beats Belady, and none at all beats Belady with bypass", () => {
    const long = fc.record({
      steps: fc.array(fc.uniqueArray(fc.nat(7), { minLength: 2, maxLength: 2 }), { minLength: 1, maxLength: 200 }),
      slots: fc.integer({ min: 2, max: 8 }),
    });
    fc.assert(
      fc.property(long, ({ steps, slots }) => {
        const trace = traceOf(8, steps);
        const belady = hits(trace, "Belady", slots);
        const bypass = hits(trace, "Belady+bypass", slots);
        for (const name of ["random", "LRU", "LFU", "ClassLRU"])
          expect(belady).toBeGreaterThanOrEqual(hits(trace, name, slots));
        for (const name of ["EWMA+bypass", "hotset, device", "hotset, RAM", "Belady"])
          expect(bypass).toBeGreaterThanOrEqual(hits(trace, name, slots));
        for (const one of CONTESTANTS) {
          const { decode } = replay(trace, one, slots);
          expect(decode.hits + decode.misses).toBe(2 * steps.length);
        }
      }),
    );
  });
});

describe("figures", () => {
  it("slotsFor inverts a curve", () => {
    const curve = [0, 0.1, 0.3, 0.3, 1];
    expect([0, 0.1, 0.2, 0.3, 0.65, 1, 2].map((rate) => slotsFor(rate, curve))).toEqual([0, 1, 1.5, 2, 3.5, 4, 4]);
  });

  it("put random at 0, Belady at 1, and LRU in between", () => {
    const steps = Array.from({ length: 400 }, (_, i) => [(i * i) % 7, 7]);
    const figures = figuresOf(traceOf(8, steps), [3, 8]);
    const at = (name: string, slots: number) => figures.find(({ policy }) => policy === name)!.bySlots[slots]!;
    expect(at("random", 0).gap).toBe(0);
    expect(at("Belady", 0).gap).toBe(1);
    expect(at("LRU", 0).extraSlots).toBe(0);
    expect(at("LRU", 1)).toMatchObject({ gap: null, extraSlots: null });
    const { counts, uploads, hitRate } = at("LFU", 0);
    expect(uploads).toBe(counts.admissions / 400);
    expect(hitRate).toBe(counts.hits / 800);
    const mean = means([figures, figures]);
    expect(mean[1]!.bySlots[0]).toMatchObject({ hitRate: figures[1]!.bySlots[0]!.hitRate, extraSlots: 0 });
    expect(mean[1]!.bySlots[1]!.gap).toBeNull();
  });
});
