import { describe, expect, it } from "vitest";
import { Costs } from "../../src/experts/costs.ts";
import { DeviceTier, type DeviceTierOptions } from "../../src/experts/device_tier.ts";
import type { Policy } from "../../src/experts/layer_cache.ts";
import { plan, type Where } from "../../src/experts/schedule.ts";
import { randomSteps, type Step, takeStep } from "./fake_steps.ts";
import { Machine, type MachineRates, type MachineShape, PIECE, tokenCost } from "./machine.ts";
import { machines, truth } from "./rates.ts";

/** Whoever comes first stays: after the first steps nothing is admitted. */
const STATIC: Policy = { step: () => {}, replaces: () => null };
const SHAPE: MachineShape = { layers: 6, experts: 8, slots: 4, transit: 4 };

function tierOf(machine: Machine, options: Partial<DeviceTierOptions> = {}): DeviceTier {
  const { device, ram, rates } = machine;
  const costs = new Costs(truth(rates));
  return new DeviceTier({ device, ram, policy: () => STATIC, costs, clock: machine, piece: PIECE, ...options });
}

async function run(
  rates: MachineRates,
  steps: readonly Step[],
  options: Partial<DeviceTierOptions> = {},
  shape = SHAPE,
) {
  const machine = new Machine(rates, shape);
  const tier = tierOf(machine, options);
  let ms = 0;
  const work = async (): Promise<void> => {
    for (const [i, step] of steps.entries()) {
      const took = await takeStep(machine, tier, step, 2);
      if (i >= 8) ms += took; // the slots are full
    }
  };
  await machine.run(work());
  tier.close();
  expect(machine.ram.pins).toBe(0);
  return { ms, tier, machine };
}

describe("the device tier on machines of all kinds", () => {
  it.each(machines([0, 20]))("is as quick as the better of host and link, or quicker: %s", async (_, rates) => {
    const steps = randomSteps(24, SHAPE.layers, 8, 2);
    const shape = rates.disk > 0 ? { ...SHAPE, ram: 40 } : SHAPE;
    const only = async (where: Where) => (await run(rates, steps, { places: [where] }, shape)).ms;
    const { ms } = await run(rates, steps, {}, shape);
    const [host, device] = [await only("host"), await only("device")];
    console.log(_, ms.toFixed(0), host.toFixed(0), device.toFixed(0));
    expect(ms).toBeLessThanOrEqual(host * 1.0001);
    expect(ms).toBeLessThanOrEqual(device * 1.0001);
  });
});
