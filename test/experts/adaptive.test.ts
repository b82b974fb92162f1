// The engine's caching policy beside each of its averages and LRU: on routing whose tokens repeat
// the last one's experts, on routing that does not, and where one becomes the other.

import { describe, expect, it } from "vitest";
import { CONTESTANTS, type Contestant, type Counts, replay } from "../../bench/experts/replay.ts";
import { usesOf } from "../../src/backend/experts.ts";
import { randomFrom } from "../../src/engine/random.ts";
import { Adaptive, RATES } from "../../src/experts/adaptive.ts";
import { Ewma } from "../../src/experts/ewma.ts";
import { LayerCache } from "../../src/experts/layer_cache.ts";
import type { Trace } from "../../src/experts/trace.ts";

const [E, K, TOKENS] = [128, 8, 1200];
/** What a drifting number keeps from token to token. */
const KEPT = 0.9;

/** Normal numbers. */
function normal(seed: number): () => number {
  const uniform = randomFrom(seed);
  return () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
}

/**
 * The tokens of one layer. Each expert's logit is a number of its own, times `constant`, one that
 * drifts, times `drifting`, and one of the token.
 */
function routed(constant: number, drifting: number, seed = 1): Trace["steps"] {
  const next = normal(seed);
  const own = Float64Array.from({ length: E }, next);
  const drift = Float64Array.from({ length: E }, next);
  return Array.from({ length: TOKENS }, () => {
    for (let e = 0; e < E; e++) drift[e] = KEPT * drift[e]! + Math.sqrt(1 - KEPT ** 2) * next();
    const logits = own.map((number, e) => constant * number + drifting * drift[e]! + 0.6 * next());
    const best = [...own.keys()].sort((a, b) => logits[b]! - logits[a]!).slice(0, K);
    return { tokens: 1, sequences: 1, layers: [Uint32Array.from(best)] };
  });
}

const traceOf = (steps: Trace["steps"]): Trace => ({ model: "m", layers: 1, experts: E, k: K, steps });
const rateOf = ({ hits, misses }: Counts): number => hits / (hits + misses);
const averages = RATES.map((rate): Contestant => ({ name: `${rate}`, create: (experts) => new Ewma(experts, rate) }));
const named = (name: string): Contestant => CONTESTANTS.find((one) => one.name === name)!;

/** Made up to be as local as what github.com/kekzl/imp/pull/1359 has measured. */
const LOCAL = traceOf(routed(0.5, 1));
/** Where each text has experts of its own. */
const STEADY = traceOf(routed(1, 0));

describe("the engine's policy", () => {
  it("meets routing as local here as is published of Qwen3-30B-A3B: 45 % of a token's experts are the last one's", () => {
    const share = ({ steps }: Trace): number => {
      const repeated = steps.slice(1).map(({ layers }, t) => {
        const last = new Set(steps[t]!.layers[0]);
        return [...layers[0]!].filter((expert) => last.has(expert)).length / K;
      });
      return repeated.reduce((a, b) => a + b, 0) / repeated.length;
    };
    expect(share(LOCAL)).toBeCloseTo(0.45, 1);
  });

  it.each([64, 32, 16])("keeps as much in RAM as the best of its averages and LRU, with %i slots", (slots) => {
    for (const trace of [LOCAL, STEADY]) {
      const [own, lru, ...rest] = [named("hotset, RAM"), named("LRU"), ...averages].map((one) =>
        rateOf(replay(trace, one, slots).decode),
      );
      expect(own).toBeGreaterThanOrEqual(Math.max(lru!, ...rest) - 0.01);
    }
  });

  it("halves the reads that the slow average leaves, where routing is local", () => {
    const [own, slow] = [named("hotset, RAM"), averages[0]!].map((one) => replay(LOCAL, one, 32).decode.misses);
    expect(own! / slow!).toBeLessThan(0.6);
  });

  it("uploads a third less to a device than LRU does, and next to nothing where routing is steady", () => {
    for (const [trace, most] of [
      [LOCAL, 2 / 3],
      [STEADY, 0.1],
    ] as const) {
      const [own, lru] = [named("hotset, device"), named("LRU")].map((one) => replay(trace, one, 16).decode.admissions);
      expect(own! / lru!).toBeLessThan(most);
    }
  });

  it("follows a change within some hundred tokens", () => {
    const both = [...STEADY.steps, ...LOCAL.steps];
    const after = both.slice(-TOKENS + 400);
    const policy = new Adaptive({ experts: E, slots: 32, price: 0 });
    const cache = new LayerCache(E, 32, policy);
    let misses = 0;
    for (const step of both) {
      const found = cache.begin(usesOf(step.layers[0]!), 1).misses;
      for (const { expert } of found) cache.admit(expert);
      if (after.includes(step)) misses += found.length;
    }
    const alone = replay(traceOf(after), named("hotset, RAM"), 32).decode.misses;
    expect(misses / alone).toBeLessThan(1.1);
  });

  it("starts from what was learned, and again after clear()", () => {
    const seed = Float64Array.from({ length: 4 }, (_, e) => e / 10);
    const policy = new Adaptive({ experts: 4, slots: 2, price: 0, seed });
    expect(policy.replaces(3, [0, 1])).toBe(0);
    expect(policy.replaces(0, [2, 3])).toBeNull();
    for (let i = 0; i < 400; i++) policy.step(usesOf([0]), 1);
    expect(policy.replaces(0, [2, 3])).toBe(2);
    policy.clear(seed);
    expect([...policy.scores]).toEqual([...seed]);
    expect(policy.replaces(0, [2, 3])).toBeNull();
    policy.clear();
    expect([...policy.scores]).toEqual([0, 0, 0, 0]);
  });
});

it.each([128, 256, 2048])(
  "residents of decoded tokens survive a long prompt of other experts, in chunks of %d",
  (chunk) => {
    const [experts, slots] = [8, 4];
    const cache = new LayerCache(experts, slots, new Adaptive({ experts, slots, price: 0 }));
    const step = (use: readonly number[], tokens: number): void => {
      const each = use.map((expert) => ({ expert, tokens: tokens / use.length }));
      for (const { expert } of cache.begin(each, tokens).misses) cache.admit(expert);
    };
    for (let token = 0; token < 300; token++) step(token % 2 === 0 ? [0, 1] : [2, 3], 1);
    for (let rows = 0; rows < 4096; rows += chunk) step([4, 5, 6, 7], chunk);
    expect([...cache.residents].sort()).toEqual([0, 1, 2, 3]);
  },
);
