// KV blocks of sessions that decode ahead: how far they reach, within what budget, and how they
// come back.

import { describe, expect, it } from "vitest";
import { AHEAD } from "../../src/engine/run_ahead.ts";
import { expectIdle, fakeBackend, greedy, on, settle, VOCAB } from "../support/fake_backend.ts";
import { collect } from "../support/pieces.ts";

describe("blocks for what runs ahead", () => {
  it("reach so far that the batch is seldom begun anew", async () => {
    const backend = fakeBackend();
    const count = 2 * AHEAD + 10;
    const { ids } = await collect(backend.session(1000).generate([5], { ignoreEos: true, maxTokens: count }));
    expect(ids).toEqual(greedy([5], count));
    expect(backend.asked.filter(({ how }) => how === "begin")).toHaveLength(3);
  });

  it("never reach past what the generation can use", async () => {
    const backend = fakeBackend();
    // positions 0..15
    await collect(backend.session().generate([5], { ignoreEos: true, maxTokens: 16 }));
    expect(backend.store.blocks).toBe(4);
  });

  it("make no buffer while decoding when maxTokens says how long the answer is", async () => {
    const backend = fakeBackend();
    const pieces = backend.session(1000).generate([5, 6], on(700));
    await pieces.next();
    const { length } = backend.reserved;
    expect(length).toBe(1);
    await collect({ [Symbol.asyncIterator]: () => pieces });
    expect(backend.reserved).toHaveLength(length);
  });

  it("make room for two answers side by side, each with its maxTokens", async () => {
    const backend = fakeBackend();
    const [a, b] = [5, 6].map((id) => backend.session(1000).generate([id], on(100)));
    await Promise.all([a!.next(), b!.next()]);
    const { length } = backend.reserved;
    await Promise.all([a!, b!].map((pieces) => collect({ [Symbol.asyncIterator]: () => pieces })));
    expect(backend.reserved).toHaveLength(length);
    expect(backend.store.blocks).toBe(50);
  });

  it("are not expected any more by an answer that has ended", async () => {
    const backend = fakeBackend();
    for (const id of [5, 6]) {
      for await (const _ of backend.session(1000).generate([id], on(100))) break;
    }
    // one that the first session holds, 25 for the second
    expect(backend.store.blocks).toBeLessThanOrEqual(26);
  });

  it("are fewer where the budget has no more, down to none at all", async () => {
    for (const blocks of [3, 4, 5, 7]) {
      const backend = fakeBackend({ blocks });
      const { ids } = await collect(backend.session().generate([5], on(4 * 3)));
      expect(ids).toEqual(greedy([5], 12));
    }
    const backend = fakeBackend({ blocks: 6 });
    const both = await Promise.all([[1], [2]].map((p) => collect(backend.session().generate(p, on(12)))));
    expect(both.map(({ ids }) => ids)).toEqual([greedy([1], 12), greedy([2], 12)]);
    await expectIdle(backend, 6);
  });

  it("are fewer where the device has no more than it gave", async () => {
    const backend = fakeBackend({ storeBlocks: 5 });
    const { ids } = await collect(backend.session().generate([5], on(20)));
    expect(ids).toEqual(greedy([5], 20));
    expect(backend.store.blocks).toBe(5);
  });

  it("are asked of a device that refused them no second time, but for the next token", async () => {
    const backend = fakeBackend({ storeBlocks: 5 });
    const ids: number[] = [];
    const run = async () => {
      for await (const piece of backend.session().generate([5], { ignoreEos: true })) ids.push(...piece.ids);
    };
    await expect(run()).rejects.toThrow("no room for 6 blocks");
    expect(ids).toEqual(greedy([5], 20));
    expect(backend.reserved).toEqual([4, 50, 8, 5, 6]);
  });

  it("come at once where there is room for them, though not for twice as many as there were", async () => {
    const backend = fakeBackend({ storeBlocks: 6 });
    await collect(backend.session(24).generate([5], { ignoreEos: true }));
    expect(backend.shape).toBe(`b${"n".repeat(22)}`);
    expect(backend.reserved).toEqual([4, 8, 6]);
  });

  it("are what an answer ends with where the budget has no more for it alone", async () => {
    const backend = fakeBackend({ blocks: 5 });
    const { ids, finish } = await collect(backend.session().generate([5], on(40)));
    expect(ids).toEqual(greedy([5], 20)); // positions 0..19, and the id after the last
    expect(finish.reason).toBe("length");
  });

  it("are given back to another session that needs them", async () => {
    const backend = fakeBackend({ blocks: 8 });
    const paused = backend.session().generate([5], on(28)); // reaches for 7 of 8
    await paused.next();
    await settle();
    // 6 blocks; the paused one needs two
    const prompt = Array.from({ length: 24 }, (_, i) => i % VOCAB);
    expect((await collect(backend.session().generate(prompt, on(1)))).ids).toEqual(greedy(prompt, 1));
    await paused.return!();
  });
});
