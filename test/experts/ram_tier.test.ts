// The tier in RAM over fake slots and a fake disk: every expert is computed from the right
// slot, whatever arrives when.

import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import { FORMATS } from "../../kernels/formats/index.ts";
import type { ExpertUse, HostExperts } from "../../src/backend/experts.ts";
import { WeightsError } from "../../src/errors.ts";
import { Ewma } from "../../src/experts/ewma.ts";
import { LayerCache } from "../../src/experts/layer_cache.ts";
import { RamTier, type RamTierOptions } from "../../src/experts/ram_tier.ts";
import { turn } from "../../src/turn.ts";
import { generator } from "../support/random.ts";

const E = 8;
const D = 4;

/** Slots whose bytes name their record: layer, expert. */
function fakeSlots(slots: number): HostExperts & { readonly memory: Uint8Array[] } {
  const memory = Array.from({ length: slots }, () => Uint8Array.of(255, 255));
  return {
    shape: { count: E, hidden: D, intermediate: 8, up: FORMATS.f32, down: FORMATS.f32 },
    slots,
    recordBytes: 100,
    memory,
    slot: (slot) => memory[slot]!,
    convert: () => Promise.reject(new Error("not used")),
    compute: () => {},
    close: () => {},
  };
}

/** A tier whose reads wait until they are released, or end by themselves after some turns. */
function tierOf(slots: number, layers: number, quota: number, more: Partial<RamTierOptions> = {}) {
  const experts = fakeSlots(slots);
  const reads: {
    layer: number;
    expert: number;
    signal: AbortSignal;
    done: () => void;
    fail: (error: Error) => void;
  }[] = [];
  let givenUp = 0;
  const tier = new RamTier({
    experts,
    layers,
    quota,
    policy: () => new Ewma(E),
    read: (layer, expert, slot, { signal, asks }) =>
      new Promise((resolve, reject) => {
        asks?.(60); // of 100 bytes, before it is given up
        signal.addEventListener("abort", () => void givenUp++);
        experts.memory[slot]!.fill(254); // half read
        const done = (): void => {
          experts.memory[slot]!.set([layer, expert]);
          resolve();
        };
        reads.push({ layer, expert, signal, done, fail: reject });
      }),
    clock: () => 0,
    ...more,
  });
  /** Releases all reads in flight. */
  const flow = async (): Promise<void> => {
    for (const read of reads.splice(0)) read.done();
    await turn();
  };
  return { tier, experts, reads, flow, givenUp: () => givenUp };
}

const uses = (...experts: number[]): ExpertUse[] => experts.map((expert) => ({ expert, tokens: 1 }));
const x = new Float32Array(D);

/** Visits while releasing reads; returns what was computed, in order, each checked in its slot. */
async function visited(host: ReturnType<typeof tierOf>, layer: number, use: ExpertUse[]): Promise<number[]> {
  const seen: number[] = [];
  const visit = host.tier.visit(layer, use, x, (expert, slot) => {
    expect([...host.experts.memory[slot]!], `slot ${slot}`).toEqual([layer, expert]);
    seen.push(expert);
  });
  let over = false;
  visit.then(
    () => {
      over = true;
    },
    () => {
      over = true;
    },
  );
  while (!over) await host.flow();
  await visit;
  return seen;
}

describe("the tier in RAM", () => {
  it("computes hits while misses are read, and each miss when it has arrived", async () => {
    const host = tierOf(6, 1, 3);
    await visited(host, 0, uses(1, 2));
    const seen: number[] = [];
    const visit = host.tier.visit(0, uses(1, 2, 5, 6), x, (expert) => void seen.push(expert));
    await turn();
    expect(seen).toEqual([1, 2]);
    expect(host.reads.map(({ expert }) => expert)).toEqual([5, 6]);
    host.reads.pop()!.done();
    await turn();
    expect(seen).toEqual([1, 2, 6]);
    host.reads.pop()!.done();
    await visit;
    expect(seen).toEqual([1, 2, 6, 5]);
    expect(host.tier.caches[0]!.counters).toMatchObject({ hits: 2, misses: 4 });
  });

  it.each([1, 2, 3, 4])(
    "counts as LayerCache alone does and never computes with the wrong record: seed %d",
    async (seed) => {
      const random = generator(seed);
      const layers = 3;
      const quota = 1 + Math.floor(random() * 4);
      const predict = (layer: number): number[] => [layer, 5, 7].filter(() => random() < 0.5);
      const host = tierOf(layers * quota + 1 + Math.floor(random() * 4), layers, quota, { predict });
      const replay = Array.from({ length: layers }, () => new LayerCache(E, quota, new Ewma(E)));
      for (let step = 0; step < 60; step++) {
        for (let layer = 0; layer < layers; layer++) {
          const many = random() < 0.1;
          const use = uses(...[...Array(E).keys()].filter(() => random() < (many ? 0.9 : 0.25)));
          if (use.length === 0) continue;
          expect((await visited(host, layer, use)).sort()).toEqual(use.map(({ expert }) => expert));
          const { misses } = replay[layer]!.begin(use, 1);
          for (const { expert } of misses) replay[layer]!.admit(expert);
        }
      }
      for (const [layer, cache] of host.tier.caches.entries()) {
        expect(cache.counters).toEqual(replay[layer]!.counters);
        expect(cache.residents).toEqual(replay[layer]!.residents);
      }
      const { reads, demandBytes, prefetchBytes, wastedBytes } = host.tier.counters;
      expect(demandBytes + prefetchBytes).toBe(100 * reads - 40 * host.givenUp());
      expect(wastedBytes).toBeLessThanOrEqual(prefetchBytes);
      expect(prefetchBytes).toBeGreaterThan(0);
    },
  );

  it("a read that fails fails the step with its error, and the next step reads again", async () => {
    const host = tierOf(4, 1, 2);
    await visited(host, 0, uses(0));
    const visit = host.tier.visit(0, uses(0, 3, 4), x, () => {});
    visit.catch(() => {});
    await turn();
    const error = new WeightsError("model-00001.safetensors ends at byte 17");
    host.reads.find(({ expert }) => expert === 3)!.fail(error);
    host.reads.find(({ expert }) => expert === 4)!.done();
    await expect(visit).rejects.toBe(error);
    host.reads.length = 0;
    expect(host.tier.has(0, 3)).toBe(false);
    expect((await visited(host, 0, uses(0, 3, 4))).sort()).toEqual([0, 3, 4]);
    expect(host.tier.caches[0]!.residents.length).toBe(2);
  });

  it("an abort ends the wait at once; the read goes on and is not lost", async () => {
    const host = tierOf(4, 1, 2);
    const controller = new AbortController();
    const visit = host.tier.visit(0, uses(3), x, () => {}, controller.signal);
    visit.catch(() => {});
    await turn();
    const reason = new Error("enough");
    controller.abort(reason);
    await expect(visit).rejects.toBe(reason);
    expect(host.reads.length).toBe(1);
    await host.flow();
    expect(host.tier.has(0, 3)).toBe(true);
    expect(await visited(host, 0, uses(3))).toEqual([3]);
    expect(host.tier.counters.reads).toBe(1);
  });

  it("has one listener for a signal, whatever waits: Node warns of more than ten", async () => {
    const host = tierOf(9, 1, 8);
    const controller = new AbortController();
    const waiting = Array.from({ length: 16 }, (_, i) => host.tier.acquire(0, i % E, "demand", controller.signal));
    const ended = Promise.allSettled(waiting);
    await turn();
    expect(getEventListeners(controller.signal, "abort").length).toBe(1);
    controller.abort(new Error("gone"));
    for (const result of await ended) expect(result).toMatchObject({ status: "rejected", reason: { message: "gone" } });
  });

  it("waits while all slots are pinned, and reads the same record once", async () => {
    const host = tierOf(2, 1, 1);
    const first = host.tier.acquire(0, 1, "demand");
    const again = host.tier.acquire(0, 1, "demand");
    const second = host.tier.acquire(0, 2, "demand");
    const third = host.tier.acquire(0, 3, "demand");
    const controller = new AbortController();
    const gone = host.tier.acquire(0, 4, "demand", controller.signal);
    gone.catch(() => {});
    controller.abort(new Error("gone"));
    await expect(gone).rejects.toThrow("gone");
    expect(host.reads.map(({ expert }) => expert)).toEqual([1, 2]);
    await host.flow();
    expect(await first).toBe(await again);
    await second;
    host.tier.release(0, 1);
    await turn();
    expect(host.reads.length).toBe(0); // held by the second caller
    host.tier.release(0, 1);
    await turn();
    expect(host.reads.map(({ expert }) => expert)).toEqual([3]);
    await host.flow();
    expect(await third).toBe(await first);
  });

  it("a prefetched record is a hit, and an unused one is counted as wasted", async () => {
    const host = tierOf(5, 2, 1, { predict: () => [6, 7] });
    const visit = host.tier.visit(0, uses(0), x, () => {});
    await turn();
    // behind the read that the step waits for
    expect(host.reads.map(({ layer, expert }) => [layer, expert])).toEqual([
      [0, 0],
      [1, 6],
      [1, 7],
    ]);
    host.reads.shift()!.done();
    await visit;
    await host.flow();
    expect(await visited(host, 1, uses(6))).toEqual([6]);
    expect(host.tier.counters).toMatchObject({ demandBytes: 100, prefetchBytes: 200, wastedBytes: 0 });
    for (const expert of [1, 2, 3, 4]) await visited(host, 1, uses(expert));
    expect(host.tier.counters.wastedBytes).toBe(100);
  });

  it("gives up reads of experts that are not used after all, and counts what was read of them", async () => {
    const host = tierOf(5, 2, 1, { predict: () => [6, 7] });
    const first = host.tier.visit(0, uses(0), x, () => {});
    await turn();
    host.reads.shift()!.done();
    await first;
    const visit = host.tier.visit(1, uses(7, 3), x, () => {});
    await turn();
    expect(host.reads.map(({ expert, signal }) => [expert, signal.aborted])).toEqual([
      [6, true],
      [7, false],
      [3, false],
    ]);
    await host.flow();
    await visit;
    const { demandBytes, prefetchBytes, wastedBytes } = host.tier.counters;
    expect([demandBytes, prefetchBytes, wastedBytes]).toEqual([200, 160, 60]);
    expect(host.tier.has(1, 6)).toBe(false);
    expect(await visited(host, 1, uses(6))).toEqual([6]);
  });

  it("reads two layers ahead, the nearer first, and writes over nothing that it expects", async () => {
    const predicted = (layer: number, _: Float32Array, ahead = 1): number[] =>
      [[], [1], [2, 3, 4]][layer + ahead] ?? [];
    const host = tierOf(3 + 3, 3, 1, { predict: predicted });
    const visit = host.tier.visit(0, uses(0), x, () => {});
    while (host.reads.length > 0) await host.flow();
    await visit;
    // 0 stays in its slot; one of the others is kept for a read on demand
    expect([1, 2].map((layer) => host.tier.has(layer, layer))).toEqual([true, true]);
    expect(host.tier.has(2, 3)).toBe(true);
    const before = host.tier.counters.reads;
    expect(await visited(host, 1, uses(1))).toEqual([1]);
    expect(await visited(host, 2, uses(2, 3))).toEqual([2, 3]);
    expect(host.tier.counters.demandBytes).toBe(100);
    expect(host.tier.counters.reads).toBeLessThanOrEqual(before + 1); // 4, when there is a slot
  });

  it("does not try a prefetch again that fails: the step that needs the record does", async () => {
    const host = tierOf(5, 2, 1, { predict: () => [6] });
    const visit = host.tier.visit(0, uses(0), x, () => {});
    await turn();
    host.reads.splice(1)[0]!.fail(new WeightsError("a bad sector"));
    await turn();
    expect(host.reads.map(({ expert }) => expert)).toEqual([0]);
    await host.flow();
    await visit;
    expect(await visited(host, 1, uses(6))).toEqual([6]);
  });

  it("close() rejects pending callers and ends when no read is in flight", async () => {
    const host = tierOf(2, 1, 1);
    const held = host.tier.acquire(0, 1, "demand");
    const other = host.tier.acquire(0, 2, "demand");
    const waiting = host.tier.acquire(0, 3, "demand");
    waiting.catch(() => {});
    let closed = false;
    const closing = host.tier.close().then(() => {
      closed = true;
    });
    await expect(waiting).rejects.toThrow("the model is closed");
    expect(closed).toBe(false);
    await host.flow();
    await closing;
    await Promise.all([held, other]);
  });

  it("reads past the page cache while that is on, with one trial at a time", async () => {
    const ways: boolean[] = [];
    const heard: string[] = [];
    const bypassTrial = { on: true, deciding: true, step: () => void heard.push("bypass") };
    const prefetchTrial = { on: false, step: () => void heard.push("prefetch") };
    const host = tierOf(2, 1, 0, {
      bypassTrial,
      prefetchTrial,
      read: async (_layer, _expert, _slot, how) => void ways.push(how.bypass),
    });
    const token = (expert: number) => host.tier.visit(0, uses(expert), x, () => {});
    await token(1);
    expect(heard).toEqual([]); // its time may be a prompt's
    await token(2);
    expect(heard).toEqual(["bypass"]);
    Object.assign(bypassTrial, { on: false, deciding: false });
    await token(3);
    expect(heard).toEqual(["bypass", "prefetch", "bypass"]);
    expect(ways).toEqual([true, true, false]);
  });

  it("lets the event loop see what has been read while it computes, where something is on its way", async () => {
    let [now, turns] = [0, 0];
    const more = { clock: () => now, turn: async () => void turns++ };
    const host = tierOf(6, 2, 2, more);
    await visited(host, 0, uses(1, 2));
    turns = 0;
    const compute = (): void => {
      now += 5;
    };
    await host.tier.visit(0, uses(1, 2), x, compute);
    expect(turns).toBe(0); // nothing is read
    const other = host.tier.acquire(1, 3, "demand");
    await host.tier.visit(0, uses(1, 2), x, compute);
    expect(turns).toBe(2);
    await host.tier.visit(0, uses(1, 2), x, () => {}); // at once after the last turn
    expect(turns).toBe(3);
    await host.flow();
    await other;
  });

  it("ends a step that is given up in such a turn", async () => {
    const giving = new AbortController();
    const reason = new Error("given up");
    const host = tierOf(6, 2, 2, { clock: () => 5, turn: async () => giving.abort(reason) });
    await visited(host, 0, uses(1));
    const other = host.tier.acquire(1, 3, "demand");
    const seen: number[] = [];
    await expect(host.tier.visit(0, uses(1), x, (expert) => void seen.push(expert), giving.signal)).rejects.toBe(
      reason,
    );
    expect(seen).toEqual([]);
    await host.flow();
    await other;
  });

  it("keeps one more in the first layers if there are slots for it", async () => {
    const host = tierOf(2 * 2 + 1 + 1, 2, 2, { extra: 1 });
    for (const layer of [0, 1]) await visited(host, layer, uses(1, 2, 3, 4));
    expect(host.tier.caches.map(({ residents }) => residents)).toEqual([
      [1, 2, 3],
      [1, 2],
    ]);
    expect(() => tierOf(5, 2, 2, { extra: 1 })).toThrow(/5 slots in RAM for 5 experts of 2 layers/);
  });

  it("needs a slot more than it has residents", () => {
    expect(() => tierOf(4, 2, 2)).toThrow(/4 slots in RAM for 4 experts of 2 layers/);
  });
});
