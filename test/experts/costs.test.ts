import { describe, expect, it } from "vitest";
import { calibrate } from "../../src/experts/calibrate.ts";
import { Costs } from "../../src/experts/costs.ts";
import { Counters, difference, total } from "../../src/experts/counters.ts";
import { DeviceTier } from "../../src/experts/device_tier.ts";
import { Ewma } from "../../src/experts/ewma.ts";
import { randomSteps, takeStep } from "./fake_steps.ts";
import { Machine, type MachineRates, type MachineShape, PIECE } from "./machine.ts";
import { machines, truth } from "./rates.ts";

const SHAPE: MachineShape = { layers: 4, experts: 8, slots: 3, transit: 3 };

async function measured(rates: MachineRates, shape = SHAPE) {
  const machine = new Machine(rates, shape);
  const { device, ram } = machine;
  let record = 0;
  const read = async (): Promise<void> => {
    await ram.acquire(record++, 0, "demand");
  };
  const options = { host: ram.experts, slot: 0, device, clock: machine, piece: PIECE };
  return machine.run(calibrate(rates.disk > 0 ? { ...options, read } : options));
}

describe("calibrate", () => {
  it.each(machines([0, 12]))("finds the machine's rates: %s", async (_, rates) => {
    const found = await measured(rates);
    const { host, copy, link, tail, sync, disk } = truth(rates);
    expect(found.host.one).toBeCloseTo(host.one, 6);
    expect(found.host.each).toBeCloseTo(host.each, 6);
    expect(found.copy).toBeCloseTo(copy, 6);
    expect(found.link).toBeCloseTo(link, 6);
    expect(found.tail).toBeCloseTo(tail, 6);
    expect(found.sync).toBeCloseTo(sync, 6);
    expect(found.disk).toBeCloseTo(disk, 6);
  });

  it("uploads nothing without a transit slot", async () => {
    const [, rates] = machines()[0]!;
    expect(await measured(rates, { ...SHAPE, transit: 0 })).toMatchObject({ copy: 0, link: 0, tail: 0 });
  });
});

describe("Costs", () => {
  const [, rates] = machines()[4]!;

  /** Runs a machine with costs measured on another one, and returns the corrected costs. */
  const corrected = async (wrong: Partial<MachineRates>, tokens: number, layer = rates.layer, ram?: number) => {
    const real = { ...rates, ...(ram ? { disk: 12 } : {}), layer };
    const machine = new Machine(real, { ...SHAPE, slots: 1, ...(ram ? { ram } : {}) });
    const costs = new Costs(truth({ ...real, ...wrong }));
    const { device, ram: tier } = machine;
    const policy = () => new Ewma(8);
    const scheduler = new DeviceTier({ device, ram: tier, policy, costs, clock: machine, piece: PIECE });
    const steps = randomSteps(60, SHAPE.layers, 8, 2, { tokens, skew: 0 });
    await machine.run(
      (async () => {
        for (const step of steps) await takeStep(machine, scheduler, step, 2);
      })(),
    );
    return costs;
  };

  it("follow the host if it was busy when it was measured", async () => {
    expect((await corrected({ host: { one: 8, each: 8 / 3 } }, 1)).hostCompute(1)).toBeCloseTo(rates.host.one, 1);
  });

  it("follow link and copy", async () => {
    for (const factor of [0.5, 2]) {
      const costs = await corrected({ copy: factor * rates.copy, link: factor * rates.link }, 64);
      expect(costs.copy).toBeCloseTo(rates.copy, 1);
      expect(costs.link / rates.link).toBeGreaterThan(factor < 1 ? 0.8 : 0.9);
      expect(costs.link / rates.link).toBeLessThan(factor < 1 ? 1.1 : 1.25);
    }
  });

  it("follow the disk", async () => {
    expect((await corrected({ disk: 30 }, 1, 0.35, 10)).disk).toBeCloseTo(12, 0);
  });

  it("learn that a device is slower than assumed, and avoid it", async () => {
    const slow = { ...rates, host: { one: 5, each: 5 }, link: 2, copy: 1, device: { one: 20, each: 20 } };
    const machine = new Machine(slow, { ...SHAPE, slots: 0 });
    const costs = new Costs({ ...truth(slow), device: { one: 0.1, each: 0.003 } });
    const { device, ram } = machine;
    const policy = () => new Ewma(8);
    const tier = new DeviceTier({ device, ram, policy, costs, clock: machine, piece: PIECE });
    const steps = randomSteps(100, SHAPE.layers, 8, 2);
    const walk = async (from: number, to: number): Promise<void> => {
      for (const step of steps.slice(from, to)) await takeStep(machine, tier, step, 2);
    };
    await machine.run(walk(0, 60));
    const before = tier.counters.snapshot();
    expect(before.experts.uploaded).toBeGreaterThan(0);
    await machine.run(walk(60, 100));
    expect(difference(tier.counters.snapshot(), before).experts.uploaded).toBe(0);
  });

  it("are not thrown off by an outlier", () => {
    const costs = new Costs(truth(rates));
    const before = costs.rates();
    costs.computed(1, 1e6);
    costs.copied(0.125, 1e6);
    costs.uploaded(1, Number.POSITIVE_INFINITY);
    costs.uploaded(1, Number.NaN);
    costs.computed(1, 0);
    const after = costs.rates();
    expect(after.host.one / before.host.one).toBeCloseTo(1.1 * 0.95, 6);
    expect(after.copy / before.copy).toBeCloseTo(1.1, 6);
    expect(after.link).toBe(before.link);
  });

  it("can be printed", () => {
    const costs = new Costs({ ...truth(rates), host: { one: 5, each: 1.25 }, copy: 9, link: 3, disk: 0 });
    expect(costs.describe(99.1e6)).toEqual([
      "expert: 99.1 MB",
      "computed on the host: 5.00 ms (19.8 GB/s) for a token, 1.25 ms for each of many",
      "computed on the device: 0.20 ms (495.5 GB/s) for a token, 0.020 ms for each of many",
      "uploaded: 9.00 ms (11.0 GB/s), of which the host's thread 9.00 ms",
      "asking the device whether it is done: 0.50 ms",
      "read from disk: not measured",
    ]);
  });
});

describe("Counters", () => {
  it("show what happened between two snapshots", () => {
    const counters = new Counters(2);
    counters.begin(0, 3, 2, 1);
    counters.begin(1, 3, 0, 4);
    const before = counters.snapshot();
    counters.begin(0, 1, 1, 1);
    counters.bytes.demand += 10;
    counters.ms.host += 2.5;
    const between = difference(counters.snapshot(), before);
    expect(between).toMatchObject({
      steps: 1,
      tokens: 1,
      bytes: { demand: 10, admission: 0 },
      ms: { host: 2.5, disk: 0 },
    });
    expect(between.layers).toEqual([
      { routed: 2, hits: 1, misses: 1, admissions: 0 },
      { routed: 0, hits: 0, misses: 0, admissions: 0 },
    ]);
    expect(total(before.layers)).toEqual({ routed: 7, hits: 2, misses: 5, admissions: 0 });
  });
});
