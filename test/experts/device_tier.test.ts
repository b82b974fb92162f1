import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DeviceError, RequestError, WeightsError } from "../../src/errors.ts";
import { Costs } from "../../src/experts/costs.ts";
import { difference, total } from "../../src/experts/counters.ts";
import { DeviceTier, type DeviceTierOptions } from "../../src/experts/device_tier.ts";
import { Ewma } from "../../src/experts/ewma.ts";
import { LayerCache } from "../../src/experts/layer_cache.ts";
import { rowsByExpert } from "../../src/experts/routes.ts";
import { predicting, randomSteps, type Step, takeStep } from "./fake_steps.ts";
import { Machine, type MachineRates, type MachineShape, PIECE, RECORD } from "./machine.ts";
import { machines, truth } from "./rates.ts";

const E = 8;
const K = 2;
const MIXED: MachineRates = {
  host: { one: 5, each: 2 },
  copy: 1,
  link: 4,
  device: { one: 0.2, each: 0.02 },
  sync: 0.5,
  disk: 0,
  layer: 0.35,
};
const SHAPE: MachineShape = { layers: 4, experts: E, slots: 3, transit: 3 };

function tierOf(machine: Machine, options: Partial<DeviceTierOptions> = {}): DeviceTier {
  const { device, ram, rates } = machine;
  const costs = new Costs(truth(rates));
  return new DeviceTier({
    device,
    ram,
    policy: () => new Ewma(E, 0.1),
    costs,
    clock: machine,
    piece: PIECE,
    ...options,
  });
}

async function walk(machine: Machine, tier: DeviceTier, steps: readonly Step[]): Promise<void> {
  for (const step of steps) await takeStep(machine, tier, step, K);
}

/** Hits, misses and admissions of each layer, as the table alone gives them. */
function replay(steps: readonly Step[], { layers, slots }: MachineShape) {
  const caches = Array.from({ length: layers }, () => new LayerCache(E, slots, new Ewma(E, 0.1)));
  for (const step of steps) {
    for (const [layer, ids] of step.entries()) {
      const rows = rowsByExpert(ids, new Float32Array(ids.length), K);
      const uses = rows.map(({ expert, tokens }) => ({ expert, tokens: tokens.length }));
      const { misses } = caches[layer]!.begin(uses, ids.length / K);
      if (slots > 0) for (const { expert } of misses) caches[layer]!.admit(expert);
    }
  }
  return caches.map(({ counters }) => ({ ...counters, routed: counters.hits + counters.misses }));
}

describe("DeviceTier", () => {
  it("computes right sums and the replay's counts, whatever the machine, its memory and the steps", async () => {
    const setting = fc.record({
      machine: fc.nat({ max: machines([0, 12]).length - 1 }),
      slots: fc.constantFrom(0, 1, 3, 8),
      transit: fc.constantFrom(0, 1, 2, 4),
      ram: fc.constantFrom(1, 2, 9, 40),
      tokens: fc.constantFrom(1, 1, 3, 24),
      right: fc.constantFrom(0, 0.5, 1),
      seed: fc.nat({ max: 1000 }),
    });
    await fc.assert(
      fc.asyncProperty(setting, async ({ machine: which, slots, transit, ram, tokens, right, seed }) => {
        const [, rates] = machines([0, 12])[which]!;
        const shape = { layers: 3, experts: E, slots, transit, ...(rates.disk > 0 ? { ram } : {}) };
        const machine = new Machine(rates, shape);
        const steps = randomSteps(6, shape.layers, E, K, { tokens, seed });
        const tier = tierOf(machine, { predict: predicting(steps, right).predict });
        await machine.run(walk(machine, tier, steps));
        const { layers, bytes, experts } = tier.counters.snapshot();
        expect(layers).toEqual(replay(steps, shape));
        const { misses, admissions } = total(layers);
        expect(experts.host + experts.uploaded).toBe(misses);
        const { written } = machine.device;
        expect(bytes.demand + bytes.prefetch + bytes.admission).toBe(written.own + written.transit);
        expect(bytes.admission).toBeLessThanOrEqual(written.own);
        expect(written.own).toBeLessThanOrEqual(admissions * RECORD);
        expect(bytes.wasted).toBeLessThanOrEqual(bytes.prefetch);
        tier.close();
        await machine.run(machine.until(machine.now() + 1000));
        expect(machine.ram.pins).toBe(0);
      }),
      { numRuns: 60 },
    );
  });

  it("uploads admissions in idle moments, complete before the layer's next step", async () => {
    // The device takes long for a layer: enough for a piece or two.
    const rates = { ...MIXED, layer: 5 };
    const machine = new Machine(rates, { ...SHAPE, layers: 8 });
    const tier = tierOf(machine, { places: ["host"] });
    const steps = randomSteps(50, 8, E, K);
    await machine.run(walk(machine, tier, steps.slice(0, 16))); // the slots fill
    const before = tier.counters.snapshot();
    await machine.run(walk(machine, tier, steps.slice(16)));
    const { ms, bytes, layers } = difference(tier.counters.snapshot(), before);
    const { admissions } = total(layers);
    expect(admissions).toBeGreaterThan(30);
    // some began before, some are in flight
    expect(Math.abs(bytes.admission / RECORD - admissions)).toBeLessThan(8);
    expect(ms.stall).toBe(0);
    expect(ms.disk).toBe(0);
  });

  it("uploads a missing expert once if the device computes it and it is admitted", async () => {
    const machine = new Machine(MIXED, { ...SHAPE, slots: E });
    const tier = tierOf(machine, { places: ["device"] });
    await machine.run(walk(machine, tier, randomSteps(1, SHAPE.layers, E, K, { tokens: 64 })));
    const { misses, admissions } = total(tier.counters.layers);
    expect([misses, admissions]).toEqual([SHAPE.layers * E, SHAPE.layers * E]);
    expect(machine.device.written).toEqual({ own: SHAPE.layers * E * RECORD, transit: 0 });
  });

  it("completes admissions in prepare() if there was no idle moment", async () => {
    const machine = new Machine({ ...MIXED, layer: 0.1, sync: 0.01 }, { ...SHAPE, layers: 1 });
    const tier = tierOf(machine, { places: ["host"] });
    const steps = randomSteps(20, 1, E, K);
    await machine.run(walk(machine, tier, steps));
    expect(tier.counters.ms.stall).toBeGreaterThan(0);
    expect(tier.counters.snapshot().layers).toEqual(replay(steps, { ...SHAPE, layers: 1 }));
  });

  it("an aborted step leaves tables, slots and pins in order, whenever it is aborted", async () => {
    for (const disk of [0, 6]) {
      for (let after = 0; after < 60; after += 1.7) {
        const machine = new Machine({ ...MIXED, disk }, { ...SHAPE, ...(disk > 0 ? { ram: 20 } : {}) });
        const steps = randomSteps(8, SHAPE.layers, E, K, { tokens: 3, seed: Math.round(after * 10) });
        const tier = tierOf(machine, { predict: predicting(steps, 0.5).predict });
        const abort = new AbortController();
        const reason = new Error("enough");
        const work = async (): Promise<void> => {
          await walk(machine, tier, steps.slice(0, 2));
          const aborting = machine.until(machine.now() + after).then(() => abort.abort(reason));
          await expect(
            (async () => {
              for (const step of steps.slice(2, 6)) await takeStep(machine, tier, step, K, abort.signal);
            })(),
          ).rejects.toBe(reason);
          await aborting;
          await walk(machine, tier, steps.slice(6));
          await machine.until(machine.now() + 1000); // admissions are uploaded
        };
        await machine.run(work());
        expect(machine.ram.pins).toBe(0);
      }
    }
  });

  it("an aborted upload ends with the piece that is being handed over", async () => {
    const machine = new Machine({ ...MIXED, copy: 80 }, SHAPE);
    const tier = tierOf(machine, { places: ["device"] });
    const [step] = randomSteps(1, SHAPE.layers, E, K);
    const abort = new AbortController();
    let aborted = 0;
    const work = async (): Promise<void> => {
      const aborting = machine.until(35).then(() => {
        aborted = machine.now();
        abort.abort();
      });
      await expect(takeStep(machine, tier, step!, K, abort.signal)).rejects.toThrow("aborted");
      await aborting;
    };
    await machine.run(work());
    expect(machine.now() - aborted).toBeLessThanOrEqual((80 * PIECE) / RECORD);
    expect(machine.device.written.own).toBeLessThan(RECORD);
  });

  it("reads a predicted record once, even if RAM has no room to keep it", async () => {
    const machine = new Machine({ ...MIXED, disk: 1, layer: 40 }, { ...SHAPE, ram: 1 });
    const steps = randomSteps(4, SHAPE.layers, E, K);
    const tier = tierOf(machine, { places: ["host"], predict: predicting(steps, 1).predict });
    await machine.run(walk(machine, tier, steps));
    expect(machine.ram.reads.prefetch).toBeGreaterThan(0);
    expect(machine.ram.reads.prefetch).toBeLessThanOrEqual(steps.length * (SHAPE.layers - 1) * K);
  });

  it("a record that cannot be read fails its step, and no other", async () => {
    const machine = new Machine({ ...MIXED, disk: 6 }, { ...SHAPE, ram: 20 });
    const tier = tierOf(machine);
    const steps = randomSteps(6, SHAPE.layers, E, K, { tokens: 3 });
    const work = async (): Promise<void> => {
      await walk(machine, tier, steps.slice(0, 2));
      for (let key = 0; key < SHAPE.layers * E; key += 2) machine.ram.broken.add(key);
      await expect(walk(machine, tier, steps.slice(2, 4))).rejects.toThrow(WeightsError);
      machine.ram.broken.clear();
      await walk(machine, tier, steps.slice(2));
      await machine.until(machine.now() + 1000);
    };
    await machine.run(work());
    expect(machine.ram.pins).toBe(0);
  });

  it("if the device fails, in a step or between two, the next step ends with its error", async () => {
    for (const after of [0, 0.2, 1, 3, 10]) {
      const machine = new Machine(MIXED, SHAPE);
      const tier = tierOf(machine);
      const steps = randomSteps(12, SHAPE.layers, E, K, { tokens: 3 });
      const work = async (): Promise<void> => {
        await walk(machine, tier, steps.slice(0, 1));
        void machine.until(machine.now() + after).then(() => {
          machine.device.failure = new DeviceError("the device was lost");
        });
        await expect(walk(machine, tier, steps.slice(1))).rejects.toThrow(DeviceError);
        tier.close();
        await machine.until(machine.now() + 1000);
      };
      await machine.run(work());
      expect(machine.ram.pins).toBe(0);
    }
  });

  it("rejects steps and holds nothing after close()", async () => {
    const machine = new Machine(MIXED, SHAPE);
    const tier = tierOf(machine);
    const steps = randomSteps(3, SHAPE.layers, E, K);
    await machine.run(walk(machine, tier, steps.slice(0, 2)));
    tier.close();
    tier.close();
    expect(machine.ram.pins).toBe(0);
    await expect(machine.run(walk(machine, tier, steps.slice(2)))).rejects.toThrow(RequestError);
  });

  it("needs a transit slot if misses must be uploaded", () => {
    const machine = new Machine(MIXED, { ...SHAPE, transit: 0 });
    expect(() => tierOf(machine, { places: ["device"] })).toThrow(/at least one transit slot is needed/);
  });

  it("a layer without rows takes no step", async () => {
    const machine = new Machine(MIXED, SHAPE);
    const tier = tierOf(machine);
    await machine.run(takeStep(machine, tier, [Uint32Array.of(0, 1), Uint32Array.of()], K));
    expect(total(tier.counters.layers)).toMatchObject({ routed: 2, misses: 2 });
  });
});

describe("rowsByExpert", () => {
  it("groups rows and weights by expert", () => {
    const rows = rowsByExpert(Uint32Array.of(3, 1, 1, 0), Float32Array.of(0.75, 0.25, 0.5, 0.5), 2);
    expect(rows).toEqual([
      { expert: 0, tokens: Uint32Array.of(1), shares: Float32Array.of(0.5) },
      { expert: 1, tokens: Uint32Array.of(0, 1), shares: Float32Array.of(0.25, 0.5) },
      { expert: 3, tokens: Uint32Array.of(0), shares: Float32Array.of(0.75) },
    ]);
  });
});
