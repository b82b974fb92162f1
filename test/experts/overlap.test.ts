import { describe, expect, it } from "vitest";
import { AbTrial } from "../../src/experts/ab_trial.ts";
import { Costs } from "../../src/experts/costs.ts";
import { total } from "../../src/experts/counters.ts";
import { DeviceTier, type DeviceTierOptions } from "../../src/experts/device_tier.ts";
import type { Policy } from "../../src/experts/layer_cache.ts";
import { plan, type Where } from "../../src/experts/schedule.ts";
import { some } from "../support/some.ts";
import { predicting, randomSteps, type Step, takeStep } from "./fake_steps.ts";
import { Machine, type MachineRates, type MachineShape, PIECE, tokenCost } from "./machine.ts";
import { machines, truth } from "./rates.ts";

const E = 8;
const K = 2;
const SHAPE: MachineShape = { layers: 6, experts: E, slots: 4, transit: 4 };
/** Steps that fill the slots; not counted. */
const FILLING = 8;
/** The first experts stay: after the first steps nothing is admitted. */
const FIRST: Policy = { step: () => {}, replaces: () => null };

async function run(
  rates: MachineRates,
  steps: readonly Step[],
  options: Partial<DeviceTierOptions> = {},
  shape = SHAPE,
  predictions: { at: number } = { at: 0 },
) {
  const machine = new Machine(rates, shape);
  const { device, ram } = machine;
  const costs = new Costs(truth(rates));
  const tier = new DeviceTier({ device, ram, policy: () => FIRST, costs, clock: machine, piece: PIECE, ...options });
  const took: number[] = [];
  const work = async (): Promise<void> => {
    for (const [at, step] of steps.entries()) {
      predictions.at = at;
      took.push(await takeStep(machine, tier, step, K));
    }
  };
  await machine.run(work());
  const sum = (from: number, to?: number): number => took.slice(from, to).reduce((ms, each) => ms + each, 0);
  return { ms: sum(FILLING), sum, machine, tier };
}

/** A token's lower bound: each layer up to its routes, then the best plan of its misses. */
function leastOf(rates: MachineRates, step: Step, residents: readonly (readonly number[])[]): number {
  const costs = new Costs(truth(rates));
  let ms = rates.sync;
  for (const [layer, ids] of step.entries()) {
    const hits = [...ids].filter((expert) => residents[layer]!.includes(expert)).length;
    const misses = Array.from({ length: ids.length - hits }, () => ({ tokens: 1, ready: 0, rest: 1 }));
    const device = Math.max(0, hits * tokenCost(rates.device, 1) - rates.sync);
    ms += rates.layer + rates.sync + plan(misses, costs, { link: 0, device }).ms;
  }
  return ms;
}

describe("decoding", () => {
  const steps = randomSteps(32, SHAPE.layers, E, K);

  it.each(some(machines([0, 20]), 2))(
    "is as quick as the better of host and link, or quicker: %s",
    async (_, rates) => {
      const shape = rates.disk > 0 ? { ...SHAPE, ram: 40 } : SHAPE;
      const only = async (where: Where) => (await run(rates, steps, { places: [where] }, shape)).ms;
      const { ms } = await run(rates, steps, {}, shape);
      expect(ms).toBeLessThanOrEqual((await only("host")) + 1e-6);
      expect(ms).toBeLessThanOrEqual((await only("device")) + 1e-6);
    },
  );

  it("is faster than both ways if a mixture is best", async () => {
    for (const [one, copy, link] of [
      [5, 1, 4],
      [5, 0.5, 5],
      [25, 2.5, 16],
      [8, 2, 6],
    ] as const) {
      const rates = { ...machines()[0]![1], host: { one, each: one / 3 }, copy, link };
      const { ms, tier } = await run(rates, steps);
      expect(ms).toBeLessThan(0.99 * (await run(rates, steps, { places: ["host"] })).ms);
      expect(ms).toBeLessThan(0.99 * (await run(rates, steps, { places: ["device"] })).ms);
      expect(tier.counters.experts.host).toBeGreaterThan(0);
      expect(tier.counters.experts.uploaded).toBeGreaterThan(0);
    }
  });

  it.each(some(machines(), 2))("is almost as fast as the best plan of each layer: %s", async (_, rates) => {
    const { ms, tier } = await run(rates, steps);
    const residents = tier.caches.map((cache) => cache.residents);
    const least = steps.slice(FILLING).reduce((sum, step) => sum + leastOf(rates, step, residents), 0);
    expect(ms / least).toBeGreaterThan(0.9999);
    expect(ms / least).toBeLessThan(1.01);
  });

  it("reports where the time went", async () => {
    const [, rates] = machines([20])[4]!;
    const { machine, tier } = await run(rates, steps, {}, { ...SHAPE, ram: 40 });
    const { ms } = tier.counters;
    // Everything except the wait for the token at each step's end.
    const waited = machine.now() - steps.length * rates.sync;
    expect(ms.sync + ms.upload + ms.stall + ms.disk + ms.host).toBeGreaterThan(0.97 * waited);
    expect(ms.host).toBeCloseTo(tier.counters.experts.host * rates.host.one, 6);
  });
});

describe("prefetching", () => {
  const steps = randomSteps(400, SHAPE.layers, E, K);

  const compare = async (rates: MachineRates, right: number) => {
    const trial = new AbTrial({ window: 8, rounds: 3, hold: 400 });
    const predicted = (options: Partial<DeviceTierOptions>) => {
      const predictions = predicting(steps, right);
      return run(rates, steps, { predict: predictions.predict, ...options }, SHAPE, predictions);
    };
    const tried = await predicted({ prefetchTrial: trial });
    const never = await run(rates, steps);
    const always = await predicted({});
    return {
      pays: trial.pays,
      tried: tried.sum(60),
      never: never.sum(60),
      always: always.sum(60),
      trial,
      tier: tried.tier,
    };
  };

  it("stays on if the link is idle and predictions are good", async () => {
    const rates: MachineRates = { ...machines()[6]![1], layer: 6, copy: 0.5, link: 4 };
    const { pays, tried, never, always, tier } = await compare(rates, 0.9);
    expect(always).toBeLessThan(0.95 * never);
    expect(pays).toBe(true);
    expect(tried).toBeLessThan(1.01 * always);
    const { predicted, predictedRight } = tier.counters.experts;
    expect(predictedRight / predicted).toBeGreaterThan(0.85);
    expect(tier.counters.bytes.wasted).toBeLessThan(0.5 * tier.counters.bytes.prefetch);
  });

  it("is switched off if predictions are bad and copies take the host's time", async () => {
    const rates: MachineRates = { ...machines()[1]![1], copy: 9, link: 3 };
    const { pays, tried, never, always } = await compare(rates, 0);
    expect(always).toBeGreaterThan(1.02 * never);
    expect(pays).toBe(false);
    expect(tried).toBeLessThan(1.001 * never);
  });

  it("prefetches from disk", async () => {
    const rates: MachineRates = { ...machines([8])[0]![1], layer: 6 };
    const shape = { ...SHAPE, ram: 30 };
    const never = await run(rates, steps.slice(0, 60), {}, shape);
    const predictions = predicting(steps, 0.9);
    const always = await run(rates, steps.slice(0, 60), { predict: predictions.predict }, shape, predictions);
    expect(always.machine.ram.reads.prefetch).toBeGreaterThan(always.machine.ram.reads.demand);
    expect(always.ms).toBeLessThan(0.95 * never.ms);
  });
});

describe("a prompt", () => {
  const tokens = 512;
  const steps = randomSteps(FILLING + 6, SHAPE.layers, E, K, { tokens, skew: 0 });

  it.each(machines().filter(([, { host }]) => host.one > 1))(
    "is streamed: the link hardly rests: %s",
    async (_, rates) => {
      const slow = { ...rates, layer: 3 };
      const all = (): number[] => []; // not called: a prompt uses all
      const { ms, tier } = await run(slow, steps, { predict: all });
      const { experts, bytes } = tier.counters.snapshot();
      expect(experts.host).toBe(0);
      expect(bytes.wasted).toBe(0);
      // Link and device each have this much to do; neither idles for long.
      const link = SHAPE.layers * (E - SHAPE.slots) * Math.max(slow.copy, slow.link);
      const device = SHAPE.layers * (slow.layer + E * tokenCost(slow.device, (tokens * K) / E));
      const least = (steps.length - FILLING) * Math.max(link, device);
      expect(ms / least).toBeLessThan(1.1);
      expect(total(tier.counters.layers).misses).toBe(experts.uploaded);
      const without = await run(slow, steps);
      expect(ms).toBeLessThanOrEqual(without.ms + 1e-6);
    },
  );

  it("lets the host compute while the limit of uploads in flight is reached", async () => {
    const shape: MachineShape = { layers: 1, experts: 32, slots: 0, transit: 4 };
    const rates: MachineRates = { ...machines()[0]![1], host: { one: 20, each: 1 }, copy: 1, link: 10 };
    const [step] = randomSteps(1, 1, 32, K, { tokens: 400, skew: 0 });
    const { sum, tier } = await run(rates, [step!], {}, shape);
    const tokens = new Map<number, number>();
    for (const expert of step![0]!) tokens.set(expert, (tokens.get(expert) ?? 0) + 1);
    const misses = [...tokens.values()].map((tokens) => ({ tokens, ready: 0, rest: 1 }));
    expect(misses.length).toBe(32);
    const least = rates.layer + 2 * rates.sync + plan(misses, new Costs(truth(rates)), { link: 0, device: 0 }).ms;
    expect(tier.counters.experts.host).toBeGreaterThan(8);
    expect(sum(0) / least).toBeLessThan(1.05);
    // With nothing else to compute the thread waits for room, and the link never idles.
    const only = await run(rates, [step!], { places: ["device"] }, shape);
    expect(only.tier.counters.ms.stall).toBeGreaterThan(100);
    expect(only.sum(0) / (32 * rates.link)).toBeLessThan(1.02);
  });

  it("is prefetched from disk", async () => {
    const rates: MachineRates = { ...machines([20])[6]![1], layer: 3 };
    const shape = { ...SHAPE, ram: 20 };
    const all = (): number[] => []; // not called: a prompt uses all
    const { ms } = await run(rates, steps, { predict: all }, shape);
    const least = (steps.length - FILLING) * SHAPE.layers * (E - SHAPE.slots) * rates.disk;
    expect(ms).toBeLessThan(0.95 * (await run(rates, steps, {}, shape)).ms);
    expect(ms / least).toBeLessThan(1.1);
  });
});
