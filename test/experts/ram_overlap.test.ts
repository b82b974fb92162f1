// Reading and computing on the CPU overlap, in virtual time, with a disk of a set speed and one
// thread that computes and asks for more. What is predicted is as often right as in models/tales,
// or as systems report of Mixtral 8x7B.

import { expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import { type HostExperts, usesOf } from "../../src/backend/experts.ts";
import { AbTrial } from "../../src/experts/ab_trial.ts";
import type { Policy } from "../../src/experts/layer_cache.ts";
import { PieceReader } from "../../src/experts/piece_reader.ts";
import { RamTier } from "../../src/experts/ram_tier.ts";
import { type Drift, type Drifting, drifting, ORACLE, REPORTED, rightShare, TALES } from "./drifting.ts";
import { Machine } from "./machine.ts";
import { machines } from "./rates.ts";

const [E, K, LAYERS] = [8, 2, 8];
/** Records that fit the memory, and those of them that are on their way: as planMemory() says. */
const [SLOTS, TRANSIT] = [37, 3];
/** A record of 8x7B in q4 is about six pieces. */
const [RECORD, PIECES] = [48, 6];
/** The backend lets the event loop run after so many milliseconds, without the tier. */
const LATE = 40;
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

/** An expert's rows, and the rest of a layer. */
const PROCESSOR = { expert: 10, layer: 5 };

interface Ways {
  readonly rows?: number;
  readonly transit?: number;
  /** Whether the thread that computes looks for what has been read. */
  readonly turns?: boolean;
  readonly pieces?: number;
}

/** @param drift of predictions; null: nothing is prefetched */
async function decode(
  { read, expert, layer }: Speeds,
  drift: Drift | "wrong" | null,
  { rows = 1, transit = TRANSIT, turns = true, pieces: count = PIECES }: Ways = {},
) {
  const machine = new Machine(machines([1])[0]![1], { layers: LAYERS, experts: E, slots: 1, transit: 1, ram: 1 });
  const kept = SLOTS - transit;
  const quota = Math.floor(kept / LAYERS);
  const memory = Array.from({ length: SLOTS }, () => new Uint8Array(RECORD));
  const experts: HostExperts = {
    shape: { count: E, hidden: 1, intermediate: 1, up: FORMATS.f32, down: FORMATS.f32 },
    slots: SLOTS,
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
  const pieces = new PieceReader({ piece: RECORD / count, clock: () => machine.now() });
  const turn = (): Promise<void> => machine.until(machine.now());
  const made = drifting(drift === null || drift === "wrong" ? [] : drift, {
    steps: BEFORE + COUNTED,
    layers: LAYERS,
    experts: E,
    k: K,
    rows,
  });
  const trial = new AbTrial({ window: 8, hold: BEFORE + COUNTED });
  const tier = new RamTier({
    ...{ experts, layers: LAYERS, quota, extra: kept - LAYERS * quota, policy: () => FIRST },
    read: (_layer, _expert, slot, how) => pieces.read(record, memory[slot]!, how),
    ...(drift !== null && { predict: drift === "wrong" ? wrong(made) : made.predict, prefetchTrial: trial }),
    clock: () => machine.now(),
    ...(turns && { turn }),
  });
  /** Of what was used: reading more is no merit. */
  const used = (): number => {
    const { demandBytes, prefetchBytes, wastedBytes } = tier.counters;
    return demandBytes + prefetchBytes - wastedBytes;
  };
  let [began, before, computing, turned] = [0, 0, 0, 0];
  const compute = async (ms: number): Promise<void> => {
    computing += ms;
    if (machine.now() - turned >= LATE) {
      await turn();
      turned = machine.now();
    }
    machine.work(ms); // nothing that arrives meanwhile is noticed
  };
  const work = async (): Promise<void> => {
    for (const [at, step] of made.steps.entries()) {
      if (at === BEFORE) [began, before, computing] = [machine.now(), used(), 0];
      made.at = at;
      for (const [l, ids] of step.entries()) {
        await compute(layer);
        await tier.visit(l, usesOf(ids), new Float32Array(rows), () => compute(expert));
      }
    }
  };
  await machine.run(work());
  const ms = machine.now() - began;
  const reading = ((used() - before) / RECORD) * read;
  return { ms, share: Math.max(reading, computing) / ms, pays: trial.pays };
}

/** Predicts experts that are not used. */
function wrong(made: Drifting): Drifting["predict"] {
  return (layer, _, ahead = 1) => {
    const used = made.steps[made.at]![layer + ahead];
    return used ? [...Array(E).keys()].filter((expert) => !used.includes(expert)).slice(-K) : [];
  };
}

it.each([
  ["models/tales", TALES],
  ["reported", REPORTED],
  ["an oracle", ORACLE],
] as const)("predictions are as often right as is said: %s", (_, { right, drift }) => {
  const made = drifting(drift, { steps: 2000, layers: LAYERS, experts: E, k: K });
  for (const [i, share] of right.entries()) expect(Math.abs(rightShare(made, i + 1) - share)).toBeLessThan(0.015);
});

it.each([
  ["a disk much slower than the processor", 80, 0.83, 0.89],
  ["a slower disk", 40, 0.72, 0.77],
  ["a disk as fast as the processor", 28, 0.77, 0.84],
  ["a somewhat faster disk", 20, 0.86, 0.92],
  ["a faster disk", 10, 0.98, 0.98],
] as const)("reading and computing overlap, with %s", async (_, read, tales, reported) => {
  const speeds = { read, ...PROCESSOR };
  const none = await decode(speeds, null);
  for (const [{ drift }, least] of [[TALES, tales] as const, [REPORTED, reported] as const]) {
    const { ms, share, pays } = await decode(speeds, drift);
    expect(pays).toBe(true);
    expect(share).toBeGreaterThan(least);
    expect(share).toBeLessThanOrEqual(1);
    expect(ms).toBeLessThan(none.ms);
  }
});

it("what is missing at the balance is knowledge: who knows two layers ahead gains little more", async () => {
  const speeds = { read: 28, ...PROCESSOR };
  const oracle = await decode(speeds, ORACLE.drift);
  // The first layer's experts are known when they are needed.
  expect(oracle.share).toBeLessThan(0.91);
  expect((await decode(speeds, TALES.drift)).ms / oracle.ms).toBeLessThan(1.17);
});

it.each([80, 40, 28])(
  "of large records three on their way, not five: the others keep experts (%d ms)",
  async (read) => {
    const speeds = { read, ...PROCESSOR };
    for (const drift of [null, TALES.drift, REPORTED.drift])
      expect((await decode(speeds, drift)).ms).toBeLessThan(0.985 * (await decode(speeds, drift, { transit: 5 })).ms);
  },
);

it.each([
  ["a fast disk", 6, 0.95],
  ["a faster one", 12, 0.92],
] as const)("asks for more while it computes: %s", async (_, pieces, least) => {
  const speeds = { read: 28, ...PROCESSOR };
  for (const { drift } of [TALES, REPORTED]) {
    const found = await decode(speeds, drift, { pieces });
    expect(found.ms).toBeLessThan(least * (await decode(speeds, drift, { pieces, turns: false })).ms);
  }
});

it("does not prefetch where what is predicted is always wrong, and the trial costs little", async () => {
  const speeds = { read: 80, ...PROCESSOR };
  const { ms, pays } = await decode(speeds, "wrong");
  expect(pays).toBe(false);
  expect(ms).toBeLessThan(1.02 * (await decode(speeds, null)).ms);
});

it("steps of eight rows read each missing expert once: the disk is busy, eight tokens take four's time", async () => {
  const speeds = { read: 80, ...PROCESSOR };
  const [one, eight] = [await decode(speeds, REPORTED.drift), await decode(speeds, REPORTED.drift, { rows: 8 })];
  expect(eight.share).toBeGreaterThan(0.97);
  expect(eight.ms / one.ms).toBeLessThan(4);
});
