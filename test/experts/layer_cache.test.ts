// The cache of a layer: slots, counters, and that the policy is asked only if no slot is free.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { usesOf } from "../../src/backend/experts.ts";
import { LayerCache, type Policy } from "../../src/experts/layer_cache.ts";

/** Evicts the experts of `plan`, in turn; null admits none. */
function scripted(plan: (number | null)[]): Policy & { readonly asked: [number, number[]][] } {
  const asked: [number, number[]][] = [];
  return {
    asked,
    step() {},
    replaces(missing, residents) {
      asked.push([missing, [...residents]]);
      return plan.shift() ?? null;
    },
  };
}

describe("usesOf", () => {
  it("counts the tokens of each expert, in ascending order", () => {
    expect(usesOf([4, 1, 0, 4, 4, 7])).toEqual([
      { expert: 0, tokens: 1 },
      { expert: 1, tokens: 1 },
      { expert: 4, tokens: 3 },
      { expert: 7, tokens: 1 },
    ]);
    expect(usesOf(new Uint32Array(0))).toEqual([]);
  });
});

describe("LayerCache", () => {
  it("counts uses, fills free slots first, then follows the policy", () => {
    const policy = scripted([3, null]);
    const cache = new LayerCache(8, 2, policy);
    expect(cache.begin(usesOf([3, 5]), 1)).toEqual({ hits: [], misses: usesOf([3, 5]) });
    expect(cache.admit(3)).toEqual({ slot: 0, evicted: null });
    expect(cache.admit(5)).toEqual({ slot: 1, evicted: null });
    expect(policy.asked).toEqual([]);
    expect(cache.begin(usesOf([5, 6]), 1)).toEqual({ hits: usesOf([5]), misses: usesOf([6]) });
    expect(cache.admit(6)).toEqual({ slot: 0, evicted: 3 });
    expect(cache.admit(3)).toBeNull();
    expect(policy.asked).toEqual([
      [6, [3, 5]],
      [3, [6, 5]],
    ]);
    expect(cache.residents).toEqual([6, 5]);
    expect([3, 5, 6].map((expert) => cache.slotOf(expert))).toEqual([-1, 1, 0]);
    expect(cache.counters).toEqual({ hits: 1, misses: 3, admissions: 3 });
  });

  it("frees the slot of a record that never arrived", () => {
    const cache = new LayerCache(4, 1, scripted([]));
    cache.admit(2);
    cache.drop(2);
    cache.drop(2);
    expect(cache.slotOf(2)).toBe(-1);
    expect(cache.admit(1)).toEqual({ slot: 0, evicted: null });
    expect(() => cache.admit(1)).toThrow("expert 1 has a slot");
  });

  it("never has two experts in a slot or an expert in two, and routed = hits + misses", () => {
    const step = fc.uniqueArray(fc.nat(7), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(fc.array(fc.tuple(step, fc.nat(9))), fc.integer({ min: 1, max: 8 }), (steps, slots) => {
        let turn = 0;
        const replaces = (_: number, residents: readonly number[]) =>
          turn % 3 === 0 ? null : residents[turn % residents.length]!;
        const cache = new LayerCache(8, slots, { step() {}, replaces });
        let routed = 0;
        for (const [ids, seed] of steps) {
          const use = usesOf(ids);
          routed += use.length;
          for (const { expert } of cache.begin(use, 1).misses) {
            turn += seed;
            cache.admit(expert);
          }
          const { residents } = cache;
          expect(new Set(residents).size).toBe(residents.length);
          expect(residents.length).toBeLessThanOrEqual(slots);
          expect(new Set(residents.map((expert) => cache.slotOf(expert))).size).toBe(residents.length);
        }
        expect(cache.counters.hits + cache.counters.misses).toBe(routed);
      }),
    );
  });
});
