// Reading and computing on the CPU overlap, in virtual time, with a disk of a set speed.

import { expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { type HostExperts, usesOf } from "../../src/backend/experts.ts";
import { AbTrial } from "../../src/experts/ab_trial.ts";
import type { Policy } from "../../src/experts/layer_cache.ts";
import { PieceReader } from "../../src/experts/piece_reader.ts";
import { RamTier } from "../../src/experts/ram_tier.ts";
import { predicting, randomSteps } from "./fake_steps.ts";
import { Machine } from "./machine.ts";
import { machines } from "./rates.ts";

const [E, K, LAYERS, QUOTA, TRANSIT] = [8, 2, 8, 4, 5];
const [RECORD, PIECE] = [16, 4];
/** Steps in which slots are filled and the trial decides, and those that count. */
const [BEFORE, COUNTED] = [60, 100];
/** The first experts stay. */
const FIRST: Policy = { step: () => {}, replaces: () => null };

interface Speeds {
  /** Milliseconds of a record from disk, of an expert's rows, and of the rest of a layer. */
  readonly read: number;
  readonly expert: number;
  readonly layer: number;
}

/** @param right how often the next layer's experts are predicted; null: nothing is prefetched */
async function decode({ read, expert, layer }: Speeds, right: number | null, rows = 1) {
  const machine = new Machine(machines([1])[0]![1], { layers: LAYERS, experts: E, slots: 1, transit: 1, ram: 1 });
  const slots = LAYERS * QUOTA + TRANSIT;
  const memory = Array.from({ length: slots }, () => new Uint8Array(RECORD));
  const experts: HostExperts = {
    shape: { count: E, hidden: 1, intermediate: 1, up: FORMATS.f32, down: FORMATS.f32 },
    slots,
    recordBytes: RECORD,
    slot: (slot) => memory[slot]!,
    convert: () => Promise.reject(new Error("all records are stored")),
    compute: () => {},
    close: () => {},
  };
  let free = 0;
  const record = {
    bytes: RECORD,
    read: (_: number, into: Uint8Array) => {
      free = Math.max(free, machine.now()) + (read * into.length) / RECORD;
      return machine.until(free);
    },
  };
  const pieces = new PieceReader({ piece: PIECE, most: 2 });
  const steps = randomSteps(BEFORE + COUNTED, LAYERS, E, K, { tokens: rows });
  const predictions = predicting(steps, right ?? 0);
  const trial = new AbTrial({ window: 8, hold: BEFORE + COUNTED });
  const tier = new RamTier({
    ...{ experts, layers: LAYERS, quota: QUOTA, policy: () => FIRST },
    read: (_layer, _expert, slot, how) => pieces.read(record, memory[slot]!, how),
    ...(right !== null && { predict: predictions.predict, prefetchTrial: trial }),
    clock: () => machine.now(),
  });
  const bytes = (): number => tier.counters.demandBytes + tier.counters.prefetchBytes;
  let [began, before, computing] = [0, 0, 0];
  const compute = async (ms: number): Promise<void> => {
    computing += ms;
    await machine.until(machine.now() + ms);
  };
  const work = async (): Promise<void> => {
    for (const [at, step] of steps.entries()) {
      if (at === BEFORE) [began, before, computing] = [machine.now(), bytes(), 0];
      predictions.at = at;
      for (const [l, ids] of step.entries()) {
        await compute(layer);
        await tier.visit(l, usesOf(ids), new Float32Array(rows), () => compute(expert));
      }
    }
  };
  await machine.run(work());
  const ms = machine.now() - began;
  const reading = ((bytes() - before) / RECORD) * read;
  return { ms, share: Math.max(reading, computing) / ms, pays: trial.pays };
}

it.each([
  ["a disk much slower than the processor", { read: 80, expert: 10, layer: 5 }, 0.92],
  ["a slower disk", { read: 40, expert: 10, layer: 5 }, 0.86],
  ["a disk as fast as the processor", { read: 20, expert: 10, layer: 5 }, 0.86],
  ["a faster disk", { read: 10, expert: 10, layer: 5 }, 0.98],
] as const)("tokens take little more than the slower of both alone, with %s", async (_, speeds, least) => {
  const { ms, share, pays } = await decode(speeds, 0.9);
  expect(pays).toBe(true);
  expect(share).toBeGreaterThan(least);
  expect(share).toBeLessThanOrEqual(1);
  expect(ms).toBeLessThan((await decode(speeds, null)).ms);
});

it("does not prefetch where what is predicted is seldom right and the disk is the bound", async () => {
  const speeds = { read: 80, expert: 10, layer: 5 };
  const { ms, pays } = await decode(speeds, 0.1);
  expect(pays).toBe(false);
  expect(ms).toBeLessThan(1.02 * (await decode(speeds, null)).ms);
});

it("steps of eight rows read each missing expert once: the disk is busy, eight tokens take four's time", async () => {
  const speeds = { read: 80, expert: 10, layer: 5 };
  const [one, eight] = [await decode(speeds, 0.9), await decode(speeds, 0.9, 8)];
  expect(eight.share).toBeGreaterThan(0.9);
  expect(eight.ms / one.ms).toBeLessThan(4);
});
