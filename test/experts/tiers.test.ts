// The device's tier over the engine's own tier in RAM, with a disk behind it: in virtual time, with
// as few slots as possible.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { Costs } from "../../src/experts/costs.ts";
import { DeviceTier } from "../../src/experts/device_tier.ts";
import { Ewma } from "../../src/experts/ewma.ts";
import { RamTier } from "../../src/experts/ram_tier.ts";
import { FakeHost } from "./fake_ram.ts";
import { predicting, randomSteps, takeStep } from "./fake_steps.ts";
import { factorOf, Machine, PIECE, RECORD } from "./machine.ts";
import { machines, truth } from "./rates.ts";

const E = 8;
const LAYERS = 3;

const setting = fc.record({
  machine: fc.nat({ max: machines([12]).length - 1 }),
  slots: fc.constantFrom(0, 2, 4),
  transit: fc.constantFrom(1, 3),
  quota: fc.constantFrom(0, 1, 3),
  spare: fc.constantFrom(1, 2, 5),
  tokens: fc.constantFrom(1, 3, 24),
  right: fc.constantFrom(0, 0.9),
  seed: fc.nat({ max: 1000 }),
});

/** Both tiers on a machine; reads of records in `broken` fail. */
function tiersOn(machine: Machine, quota: number, spare: number, predict: (layer: number) => number[]) {
  const { rates, device } = machine;
  const experts = new FakeHost(machine, LAYERS * quota + spare);
  const broken = new Set<number>();
  const ram = new RamTier({
    experts,
    layers: LAYERS,
    quota,
    policy: () => new Ewma(E),
    read: async (layer, expert, slot) => {
      const words = new Float32Array(experts.slot(slot).buffer);
      words.fill(Number.NaN, 0, words.length / 2); // half read
      machine.diskFree = Math.max(machine.diskFree, machine.now()) + rates.disk;
      await machine.until(machine.diskFree);
      if (broken.has(layer * E + expert)) throw new WeightsError("the file ends too soon");
      words.fill(factorOf(layer, expert, E));
    },
    clock: () => machine.now(),
  });
  const costs = new Costs(truth(rates));
  const policy = () => new Ewma(E, 0.1);
  const tier = new DeviceTier({ device, ram, policy, costs, predict, clock: machine, piece: PIECE });
  return { ram, tier, broken };
}

describe("DeviceTier over RamTier", () => {
  it("computes right sums with hardly a slot to spare, and never deadlocks", async () => {
    await fc.assert(
      fc.asyncProperty(setting, async ({ machine: which, slots, transit, quota, spare, tokens, right, seed }) => {
        const [, rates] = machines([12])[which]!;
        const machine = new Machine(rates, { layers: LAYERS, experts: E, slots, transit, ram: 0 });
        const steps = randomSteps(8, LAYERS, E, 2, { tokens, seed });
        const predictions = predicting(steps, right);
        const { ram, tier } = tiersOn(machine, quota, spare, predictions.predict);
        const work = async (): Promise<void> => {
          for (const [at, step] of steps.entries()) {
            predictions.at = at;
            await takeStep(machine, tier, step, 2);
          }
          tier.close();
          await ram.close();
        };
        await machine.run(work());
        const { bytes } = tier.counters;
        expect(machine.device.written.own + machine.device.written.transit).toBe(
          bytes.demand + bytes.admission + bytes.prefetch,
        );
        expect(ram.counters.reads).toBeGreaterThan(0);
        expect(ram.counters.demandBytes).toBeGreaterThanOrEqual(RECORD);
      }),
      { numRuns: 60 },
    );
  });

  it("continues after steps that were aborted or could not be read", async () => {
    for (let after = 0.5; after < 80; after += 3.1) {
      const [, rates] = machines([12])[4]!;
      const machine = new Machine(rates, { layers: LAYERS, experts: E, slots: 2, transit: 2, ram: 0 });
      const steps = randomSteps(10, LAYERS, E, 2, { tokens: 3, seed: Math.round(after * 10) });
      const { ram, tier, broken } = tiersOn(machine, 1, 1, predicting(steps, 0.5).predict);
      const abort = new AbortController();
      const walk = async (from: number, to: number, signal?: AbortSignal): Promise<void> => {
        for (const step of steps.slice(from, to)) await takeStep(machine, tier, step, 2, signal);
      };
      const work = async (): Promise<void> => {
        await walk(0, 1);
        const aborting = machine.until(machine.now() + after).then(() => abort.abort(new Error("enough")));
        await expect(walk(1, 4, abort.signal)).rejects.toThrow("enough");
        await aborting;
        await walk(4, 5);
        for (let key = 0; key < LAYERS * E; key += 3) broken.add(key);
        await expect(walk(5, 8)).rejects.toThrow(WeightsError);
        broken.clear();
        await walk(5, 10);
        tier.close();
        await ram.close();
      };
      await machine.run(work());
    }
  });
});
