// A moving average as a caching policy: its scores by hand, and the results of the slow one, and of
// the engine's choice among averages for a device, on the committed traces.

import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { CONTESTANTS, layerSteps, replay } from "../../bench/experts/replay.ts";
import { usesOf } from "../../src/backend/experts.ts";
import { Ewma, MARGIN, PROMPT } from "../../src/experts/ewma.ts";
import { decodes, parseTrace } from "../../src/experts/trace.ts";
import { inRepo } from "../support/fixtures.ts";

describe("Ewma", () => {
  it("averages over tokens: half the weight on the last, a quarter on the one before", () => {
    const policy = new Ewma(4, 0.5);
    policy.step(usesOf([0, 1]), 1);
    policy.step(usesOf([1, 2]), 1);
    expect([...policy.scores]).toEqual([0.25, 0.75, 0.5, 0]);
  });

  it("counts a chunk of T tokens as T steps in which each expert is used by its share of them", () => {
    const chunk = new Ewma(4, 0.5);
    chunk.step(usesOf([0, 1, 0, 2]), 2); // two tokens: 0 and 1, 0 and 2
    // Earlier scores keep (1/2)^2; the chunk has the rest.
    expect([...chunk.scores]).toEqual([0.75, 0.375, 0.375, 0]);
    chunk.step(usesOf([3, 0]), 1);
    expect([...chunk.scores]).toEqual([0.875, 0.1875, 0.1875, 0.5]);
  });

  it("counts a prompt as so many tokens at most, whatever its chunks, until as many are decoded", () => {
    const scoresAfter = (...steps: readonly (readonly [expert: number, tokens: number])[]): number[] => {
      const policy = new Ewma(2, 0.5);
      for (const [expert, tokens] of steps) policy.step([{ expert, tokens }], tokens);
      return [...policy.scores];
    };
    expect(scoresAfter([0, 1000])).toEqual(scoresAfter([0, PROMPT]));
    expect(scoresAfter([1, 5], [0, 1000], [0, 500])).toEqual(scoresAfter([1, 5], [0, PROMPT]));
    expect(scoresAfter([0, 1000], [1, 3], [0, 1000])).toEqual(scoresAfter([0, PROMPT], [1, 3], [0, 3]));
  });

  it("admits an expert that is used clearly more than the least used resident, in its place", () => {
    const policy = new Ewma(4, undefined, [0.5, 0.2, 0.2 + MARGIN / 2, 0.2 + 2 * MARGIN]);
    expect(policy.replaces(3, [0, 1])).toBe(1);
    expect(policy.replaces(2, [0, 1])).toBeNull(); // ahead, but not by the margin
    expect(policy.replaces(1, [0, 2])).toBeNull();
  });
});

const folder = inRepo("bench/experts/traces");
const traces = readdirSync(folder).map((file) => ({
  file,
  trace: parseTrace(readFileSync(`${folder}/${file}`, "utf8"), file),
}));
const contestant = (name: string) => CONTESTANTS.find((one) => one.name === name)!;

describe.each(traces)("recorded routing: $file", ({ trace }) => {
  const steps = layerSteps(trace);

  it("has at least 1,000 decoded tokens, and prompts", () => {
    expect(trace.steps.filter(decodes).length).toBeGreaterThanOrEqual(1000);
    expect(trace.steps.some((step) => !decodes(step))).toBe(true);
  });

  it.each([2, 3, 4, 5, 6, 7])(
    "%i slots: within 2 points of LRU or better, a quarter of its uploads at most",
    (slots) => {
      const [lru, ...own] = ["LRU", "EWMA+bypass", "hotset, device"].map(
        (name) => replay(trace, contestant(name), slots, steps).decode,
      );
      const rate = ({ hits, misses }: { hits: number; misses: number }): number => hits / (hits + misses);
      for (const one of own) {
        expect(rate(one)).toBeGreaterThanOrEqual(rate(lru!) - 0.02);
        expect(one.admissions).toBeLessThanOrEqual(lru!.admissions / 4);
      }
    },
  );
});
