// Steps of a simulated model: the routes of each layer, the device's work on hits, and
// the right sums.

import { type DeviceMoe, type DeviceScheduler, NO_SLOT } from "../../src/backend/experts.ts";
import { addRows, factorOf, HIDDEN, type Machine, tokenCost } from "./machine.ts";

/** The routes of a layer's step: [T, K] ids; shares are all 1/K, with K a power of two. */
export class FakeMoe implements DeviceMoe {
  readonly layer: number;
  readonly ids: Uint32Array;
  readonly weights: Float32Array;
  readonly x: Float32Array;
  readonly signal: AbortSignal | undefined;
  readonly y: Float32Array;
  readonly #machine: Machine;
  readonly #k: number;

  constructor(machine: Machine, layer: number, ids: Uint32Array, k: number, signal?: AbortSignal) {
    this.#machine = machine;
    this.#k = k;
    this.layer = layer;
    this.ids = ids;
    this.weights = new Float32Array(ids.length).fill(1 / k);
    this.x = Float32Array.from({ length: (ids.length / k) * HIDDEN }, (_, i) => 1 + (i % 7));
    this.y = new Float32Array(this.x.length);
    this.signal = signal;
  }

  orderOf(): undefined {
    return undefined;
  }

  ruleOf(): undefined {
    return undefined;
  }

  /** Starts the device's work on the experts in its slots. */
  hits(): void {
    const { device, rates } = this.#machine;
    for (const expert of new Set(this.ids)) {
      const slot = device.tables[this.layer]![expert]!;
      if (slot === NO_SLOT) continue;
      const tokens = this.#rows(expert);
      device.compute(tokenCost(rates.device, tokens.length), 0);
      addRows(this.y, this.x, device.own(this.layer, slot), tokens, this.weights);
    }
  }

  addTransit(places: ReadonlyMap<number, number>): void {
    const { device, rates, linkFree } = this.#machine;
    for (const [expert, slot] of places) {
      const tokens = this.#rows(expert);
      device.compute(tokenCost(rates.device, tokens.length), linkFree);
      addRows(this.y, this.x, device.inTransit(slot), tokens, this.weights);
    }
  }

  addOwn(slots: ReadonlyMap<number, number>): void {
    const { device, rates, linkFree } = this.#machine;
    for (const [expert, slot] of slots) {
      if (device.tables[this.layer]![expert] !== slot) throw new Error(`the table does not name expert ${expert}`);
      const tokens = this.#rows(expert);
      device.compute(tokenCost(rates.device, tokens.length), linkFree);
      addRows(this.y, this.x, device.own(this.layer, slot), tokens, this.weights);
    }
  }

  addHost(y: Float32Array): void {
    this.#machine.device.compute(0, 0);
    for (const [i, value] of y.entries()) this.y[i]! += value;
  }

  /** The right y. */
  expected(): Float32Array {
    const y = new Float32Array(this.x.length);
    const { experts } = this.#machine.shape;
    for (const expert of new Set(this.ids))
      addRows(y, this.x, factorOf(this.layer, expert, experts), this.#rows(expert), this.weights);
    return y;
  }

  #rows(expert: number): number[] {
    return Array.from({ length: this.ids.length / this.#k }, (_, row) => row).filter((row) =>
      this.ids.subarray(row * this.#k, (row + 1) * this.#k).includes(expert),
    );
  }
}

/** The routes of a step: ids [T, K] of each layer. */
export type Step = readonly Uint32Array[];

/** Takes a step through all layers, checks every sum, and returns its milliseconds. */
export async function takeStep(
  machine: Machine,
  scheduler: DeviceScheduler,
  step: Step,
  k: number,
  signal?: AbortSignal,
): Promise<number> {
  const { device, rates } = machine;
  const started = machine.now();
  for (const [layer, ids] of step.entries()) {
    await scheduler.prepare(layer);
    device.compute(rates.layer, 0);
    const routes = machine.deviceFree + rates.sync;
    const moe = new FakeMoe(machine, layer, ids, k, signal);
    moe.hits();
    await machine.until(routes);
    await scheduler.misses(moe);
    const expected = moe.expected();
    for (const [i, value] of moe.y.entries()) {
      if (value !== expected[i]) throw new Error(`layer ${layer}: expected ${expected[i]} at ${i}, found ${value}`);
    }
  }
  await machine.until(Math.max(machine.deviceFree, machine.now()) + rates.sync);
  return machine.now() - started;
}

/** Numbers in [0, 1), the same for the same seed (mulberry32). */
export function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * Routes of `steps` steps: K different experts a row, those with small numbers oftener, as `skew`
 * (0: all alike) says.
 */
export function randomSteps(
  steps: number,
  layers: number,
  experts: number,
  k: number,
  { tokens = 1, skew = 0.5, seed = 1 } = {},
): Step[] {
  const random = randomFrom(seed);
  const row = (): number[] => {
    const left = Array.from({ length: experts }, (_, e) => e);
    return Array.from({ length: k }, () => left.splice(Math.floor(random() ** (1 + skew) * left.length), 1)[0]!);
  };
  return Array.from({ length: steps }, () =>
    Array.from({ length: layers }, () => Uint32Array.from(Array.from({ length: tokens }, row).flat())),
  );
}

/**
 * Predictions of layer + 1's experts in the step `at`: right with probability `right`, else random.
 */
export function predicting(
  steps: readonly Step[],
  right: number,
): { at: number; readonly predict: (layer: number) => number[] } {
  const random = randomFrom(7);
  const predictions = {
    at: 0,
    predict: (layer: number): number[] =>
      [...new Set(steps[predictions.at]![layer + 1])].map((expert) =>
        random() < right ? expert : Math.floor(random() * 8),
      ),
  };
  return predictions;
}
