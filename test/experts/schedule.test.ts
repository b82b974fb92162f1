import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Costs } from "../../src/experts/costs.ts";
import { type Busy, type Choice, EXACT, type Miss, plan, type Where } from "../../src/experts/schedule.ts";
import { type MachineRates, PIECES, tokenCost } from "./machine.ts";
import { machines, truth } from "./rates.ts";

/** When all is done, simulated in the plan's order. */
function simulate(rates: MachineRates, misses: readonly Miss[], busy: Busy, order: readonly Choice[]): number {
  let host = 0;
  let { link, device } = busy;
  for (const { miss, where } of order) {
    const { tokens, ready } = misses[miss]!;
    host = Math.max(host, ready);
    if (where === "host") {
      host += tokenCost(rates.host, tokens);
      continue;
    }
    for (let piece = 0; piece < PIECES; piece++) {
      host += rates.copy / PIECES;
      link = Math.max(link, host) + rates.link / PIECES;
    }
    device = Math.max(device, link) + tokenCost(rates.device, tokens);
  }
  return Math.max(host, device);
}

/** The least over all orders and places. */
function bruteForce(rates: MachineRates, misses: readonly Miss[], busy: Busy, places: readonly Where[]): number {
  let best = Number.POSITIVE_INFINITY;
  const order: Choice[] = [];
  const visit = (left: readonly number[]): void => {
    if (left.length === 0) best = Math.min(best, simulate(rates, misses, busy, order));
    for (const miss of left) {
      for (const where of places) {
        order.push({ miss, where });
        visit(left.filter((other) => other !== miss));
        order.pop();
      }
    }
  };
  visit(misses.map((_, i) => i));
  return best;
}

const miss = fc.record({
  tokens: fc.constantFrom(1, 1, 1, 2, 5, 40),
  ready: fc.constantFrom(0, 0, 7, 15, 30),
  rest: fc.constant(1),
});
const busyTimes = fc.record({ link: fc.constantFrom(0, 6), device: fc.constantFrom(0, 0.2, 12) });

describe("plan", () => {
  it.each(machines())("ends as soon as the best of all orders and places: %s", (_, rates) => {
    const costs = new Costs(truth(rates));
    fc.assert(
      fc.property(fc.array(miss, { minLength: 1, maxLength: 4 }), busyTimes, (misses, busy) => {
        for (const places of [["host", "device"], ["host"], ["device"]] as const) {
          const { order, ms } = plan(misses, costs, busy, places);
          expect(order.map((choice) => choice.miss).sort()).toEqual(misses.map((_, i) => i));
          expect(simulate(rates, misses, busy, order)).toBeCloseTo(bruteForce(rates, misses, busy, places), 6);
          expect(ms).toBeCloseTo(simulate(rates, misses, busy, order), 6);
        }
      }),
      { numRuns: 40 },
    );
  });

  it("is exact for the eight misses of a Mixtral layer", () => {
    const [, rates] = machines()[4]!;
    const misses = [1, 1, 1, 1, 1].map((tokens, i) => ({ tokens, ready: 3 * i, rest: 1 }));
    const { ms } = plan(misses, new Costs(truth(rates)), { link: 0, device: 0 });
    expect(ms).toBeCloseTo(bruteForce(rates, misses, { link: 0, device: 0 }, ["host", "device"]), 6);
  });

  it("computes a token where it is faster, and a prompt on the device", () => {
    const rates = { host: { one: 5, each: 1.2 }, copy: 2.5, link: 11, device: { one: 0.2, each: 0.02 } };
    const costs = new Costs({ ...rates, tail: 9, sync: 0.5, disk: 0 });
    const idle = { link: 0, device: 0 };
    const where = (misses: readonly number[]): Where[] =>
      plan(
        misses.map((tokens) => ({ tokens, ready: 0, rest: 1 })),
        costs,
        idle,
      ).order.map((choice) => choice.where);
    expect(where([1])).toEqual(["host"]);
    expect(where([1, 1])).toEqual(["host", "host"]);
    expect(where([1, 1, 1])).toEqual(["device", "host", "host"]);
    expect(where([128, 128, 128, 128])).toEqual(["device", "device", "device", "device"]);
    // The prefetched record is completed.
    expect(plan([{ tokens: 1, ready: 0, rest: 0.125 }], costs, idle).order).toEqual([{ miss: 0, where: "device" }]);
  });

  it("does not use the link without a gain", () => {
    const costs = new Costs(truth(machines()[0]![1]));
    const { order } = plan([{ tokens: 1, ready: 0, rest: 1 }], costs, { link: 0, device: 100 });
    expect(order).toEqual([{ miss: 0, where: "host" }]);
  });

  it("plans more misses than it can search, close to the bound", () => {
    for (const [name, rates] of machines()) {
      const misses = Array.from({ length: 3 * EXACT }, (_, i) => ({ tokens: 1 + (i % 3), ready: 0, rest: 1 }));
      const { order, ms } = plan(misses, new Costs(truth(rates)), { link: 0, device: 0 });
      expect(order.length).toBe(misses.length);
      expect(simulate(rates, misses, { link: 0, device: 0 }, order), name).toBeCloseTo(ms, 6);
      for (const places of [["host"], ["device"]] as const)
        expect(ms, name).toBeLessThanOrEqual(plan(misses, new Costs(truth(rates)), { link: 0, device: 0 }, places).ms);
    }
  });

  it("has nothing to do without misses", () => {
    const costs = new Costs(truth(machines()[0]![1]));
    expect(plan([], costs, { link: 3, device: 2 })).toEqual({ order: [], ms: 2 });
  });
});
