// Panes of blocks: how many a budget has, who holds them, which are given up first.

import { describe, expect, it } from "vitest";
import type { PaneStore } from "../../src/backend/ops.ts";
import { type CacheSizes, cacheBytes, cacheWithin, paneNeeds } from "../../src/engine/panes.ts";
import { Windows } from "../../src/engine/windows.ts";
import { MemoryError } from "../../src/errors.ts";
import { expectIdle, fakeBackend, greedy, on, settle } from "../support/fake_backend.ts";
import { collect } from "../support/pieces.ts";

/** gpt-oss-20b: 12 of 24 layers see 128 positions, 8 heads of 64, f16, in steps of 1024. */
const LAYERS = 12 * 2 * 32 * 8 * 64 * 2;
const GPT_OSS: CacheSizes = { blockBytes: LAYERS, paneBytes: LAYERS, needs: paneNeeds(128, 1024, 32) };

describe("a budget of a cache", () => {
  it("has room for nearly twice the positions where half of the layers have windows", () => {
    const bytes = 4 * 2 ** 30;
    const { blocks, panes } = cacheWithin(bytes, GPT_OSS);
    expect(panes).toBe(32 * 7 + 32); // for 32 sequences, one of which reads its prompt
    // The context of 131,072 positions, in place of 6 GiB.
    expect(cacheBytes(4096, GPT_OSS) / 2 ** 30).toBeCloseTo(3.19, 2);
    expect(blocks / Math.floor(bytes / (2 * LAYERS))).toBeGreaterThan(1.9);
  });

  it.each([
    ["half of the layers", GPT_OSS],
    ["no layer", { ...GPT_OSS, paneBytes: 0 }],
    ["most layers", { ...GPT_OSS, blockBytes: LAYERS / 5 }],
  ])("is used up to less than a block and its panes: windows in %s", (_, sizes) => {
    for (let bytes = 0; bytes < 3e9; bytes = 1.3 * bytes + 1e6) {
      const { blocks, panes } = cacheWithin(bytes, sizes);
      expect(blocks * sizes.blockBytes + panes * sizes.paneBytes).toBe(cacheBytes(blocks, sizes));
      expect(cacheBytes(blocks, sizes)).toBeLessThanOrEqual(bytes);
      expect(cacheBytes(blocks + 1, sizes)).toBeGreaterThan(bytes);
      const { each, chunk } = sizes.needs;
      if (sizes.paneBytes > 0) expect(panes).toBeGreaterThanOrEqual(Math.min(blocks, each + chunk)); // of one sequence
    }
  });

  it("sets no limit to a text where all layers have windows, beside the fewest panes", () => {
    const sizes = { ...GPT_OSS, blockBytes: 0 };
    const least = cacheBytes(4096, sizes);
    expect(least).toBe((7 + 32) * LAYERS);
    expect(cacheWithin(least, sizes)).toEqual({ blocks: 2 ** 20, panes: 39 });
    expect(cacheWithin(least - 1, sizes)).toEqual({ blocks: 38, panes: 38 });
  });
});

/** Panes of blocks of 4 for windows of 6; at most `most`. */
function windowsOf(most: number) {
  const given = new Map<number, number>();
  let panes = 0;
  const store: PaneStore = {
    ...{ window: 6, paneBytes: 100 },
    get panes() {
      return panes;
    },
    async reserve(count) {
      panes = Math.max(panes, count);
    },
    assign(block, pane) {
      if (pane === null) given.delete(block);
      else given.set(block, pane);
    },
  };
  return { given, store, windows: new Windows(store, 4, { each: 3, chunk: 2 }, most) };
}
const blocksFrom = (first: number, count: number) => Array.from({ length: count }, (_, i) => first + i);

describe("panes", () => {
  it("are those of the blocks that the next token sees, and that the step writes", async () => {
    const { windows, given } = windowsOf(3);
    const text = blocksFrom(10, 6);
    await windows.grow(text, 0, 8); // a chunk: blocks 10 and 11
    expect([...given.keys()]).toEqual([10, 11]);
    await windows.grow(text, 8, 12); // position 8 sees 3 to 8
    expect([...given.keys()]).toEqual([10, 11, 12]);
    await windows.grow(text, 9, 13); // and 9 sees 4 to 9: the pane of block 10 goes to block 13
    expect([...given].map(([block, pane]) => [block, pane])).toEqual([
      [11, 1],
      [12, 2],
      [13, 0],
    ]);
    await expect(windows.grow(text, 9, 24)).rejects.toThrow(MemoryError);
  });

  it("stay with their blocks while there are others, those of checkpoints longest", async () => {
    const { windows, given } = windowsOf(6);
    const [one, two] = [blocksFrom(0, 5), blocksFrom(10, 6)];
    for (let at = 0; at < 20; at += 4) {
      await windows.grow(one, at, at + 4);
      if (at === 4) windows.keep(one, 8); // positions 3 to 8: blocks 0 and 1
    }
    windows.cut(one, 0);
    expect([windows.usable(one, 20), windows.usable(one, 8), windows.usable(one, 10)]).toEqual([20, 8, 10]);
    await windows.grow(two, 0, 16); // four: one that is new, then the oldest of the others
    expect([...given.keys()].toSorted((a, b) => a - b)).toEqual([0, 1, 10, 11, 12, 13]);
    expect([windows.usable(one, 20), windows.usable(one, 7), windows.cached]).toEqual([8, 7, 2]);
    await windows.grow(two, 0, 20);
    expect(windows.usable(one, 20)).toBe(0); // position 8 sees block 0, which has none
    expect(() => windows.enter(one, 8)).toThrow("block 0 has no pane");
  });

  it("that are pledged to a sequence do not go to others", async () => {
    const { windows } = windowsOf(8);
    const [one, two] = [blocksFrom(0, 9), blocksFrom(10, 9)];
    windows.pledge(one);
    expect([windows.available(one), windows.available(two)]).toEqual([8, 3]);
    await windows.grow(one, 0, 8);
    expect([windows.available(two), windows.wanted(one, 8, 9), windows.wanted(two, 0, 5)]).toEqual([3, 3, 2]);
    windows.unpledge(one);
    expect([windows.available(two), windows.wanted(one, 8, 9)]).toEqual([6, 1]);
  });

  it("of short texts in a long window are as few as their blocks", async () => {
    const backend = fakeBackend({ window: 100, blockBytes: 0, blocks: 40, chooses: false });
    const prompts = Array.from({ length: 8 }, (_, i) => [i, 3, 5, 7, 9, 2]);
    const answers = prompts.map((prompt) => collect(backend.session().generate(prompt, on(10))));
    expect((await Promise.all(answers)).map(({ ids }) => ids)).toEqual(prompts.map((prompt) => greedy(prompt, 10)));
    expect(Math.max(...backend.asked.map(({ positions }) => positions.filter((at) => at > 6).length))).toBe(8);
  });

  it("are enough for a text whose steps are longer than its window, as of embed()", async () => {
    const { room, stepper, pool, ...backend } = fakeBackend({ window: 6, maxTokens: 40, blocks: 60, chooses: false });
    const { each, chunk } = paneNeeds(6, 40, 4);
    expect(pool.usage().panes!.most).toBe(each + chunk);
    const text = Array.from({ length: 160 }, (_, i) => (i * i) % 16);
    const sequence = room.claim();
    room.begin(sequence, text.length);
    await stepper.hold(sequence, text, 0);
    for (let at = 0; at < text.length; at += 40) await stepper.step(sequence, text.slice(at, at + 40), "none");
    room.end(sequence);
    room.remove(sequence);
    expect(backend.asked.map(({ positions }) => positions[0])).toEqual([0, 40, 80, 120]);
    expect(pool.windows!.available(null)).toBe(each + chunk);
  });

  it("that the device refuses end work that cannot be interrupted, with its error", async () => {
    const { room, stepper, pool, store } = fakeBackend({ window: 6, maxTokens: 40, chooses: false });
    const panes = store.panes!;
    const reserve = panes.reserve.bind(panes);
    Object.assign(panes, {
      reserve: async (count: number) => {
        if (count > 20) throw new MemoryError("no room");
        await reserve(count);
      },
    });
    const text = Array.from({ length: 160 }, (_, i) => (i * i) % 16);
    const [one, two] = [room.claim(), room.claim()];
    for (const sequence of [one, two]) {
      room.begin(sequence, text.length);
      await stepper.hold(sequence, text, 0); // 10 panes each
    }
    await stepper.step(one, text.slice(0, 40), "none");
    await expect(stepper.step(one, text.slice(40, 80), "none")).rejects.toThrow("10 panes of 100 bytes are needed");
    for (const sequence of [one, two]) {
      room.end(sequence);
      room.remove(sequence);
    }
    expect(pool.windows!.available(null)).toBe(pool.windows!.most);
  });

  it("that the backend refuses are not asked for again", async () => {
    const { store } = windowsOf(0);
    const asked: number[] = [];
    const reserve = async (count: number): Promise<void> => {
      asked.push(count);
      if (count > 3) throw new MemoryError("no room");
      await store.reserve(count);
    };
    const few = Object.create(store, { reserve: { value: reserve } }) as PaneStore;
    const windows = new Windows(few, 4, { each: 3, chunk: 2 }, 100);
    await windows.grow(blocksFrom(0, 2), 0, 8);
    await windows.grow(blocksFrom(10, 1), 0, 4);
    await expect(windows.grow(blocksFrom(20, 3), 0, 12)).rejects.toThrow("3 panes of 100 bytes are needed");
    expect([windows.most, asked.filter((count) => count > 3).length]).toEqual([3, 1]);
  });
});

describe.each([
  ["a backend that chooses", true],
  ["a backend that gives logits", false],
])("a text of any length on %s", (_, chooses) => {
  it("takes blocks for its length and panes for its window", async () => {
    const backend = fakeBackend({ chooses, window: 10, maxTokens: 8 });
    const prompt = Array.from({ length: 400 }, (_, i) => (i * i) % 16);
    const session = backend.session(1000);
    const { ids } = await collect(session.generate(prompt, on(400)));
    expect(ids).toEqual(greedy(prompt, 400));
    const { blocks, panes } = backend.pool.usage();
    expect(blocks).toBe(200);
    // Its window and a chunk; checkpoints, and what a stream may reach ahead.
    const { each, chunk } = paneNeeds(10, 8, 4);
    expect(panes!.panes).toBeLessThanOrEqual(2 * (each + chunk) + 8 + (chooses ? 64 : 0));
    session.close();
    await settle();
    await expectIdle(backend, 0);
  });
});
