// Places shared in time, over the fake backend: who waits how many steps, and that every answer has
// the tokens that it has alone. The clock is the count of the backend's steps.

import { afterEach, describe, expect, it, vi } from "vitest";
import type { GenerateOptions } from "../../src/engine/api.ts";
import { BEGUN, createQueue, IDLE_MS, inTurns, SLICE } from "../../src/engine/queue.ts";
import type { Constraint } from "../../src/grammar/types.ts";
import {
  expectIdle,
  type FakeBackend,
  type FakeOptions,
  fakeBackend,
  greedy,
  on,
  settle,
} from "../support/fake_backend.ts";
import { generator } from "../support/random.ts";

const PROMPT = [3, 1, 4, 1, 5];
/** Steps that run ahead, and those in which a batch is put together and an id comes back. */
const FEW = 8;

interface Asked {
  readonly prompt?: readonly number[];
  readonly options: GenerateOptions;
  /** Awaited before each further piece. */
  readonly slow?: (taken: number) => Promise<void>;
}

function hall(places: number, fake: FakeOptions, queued = 64) {
  const backend = fakeBackend({ maxTokens: 64, ...fake });
  const queue = createQueue({ parallel: places, queue: queued }, backend.room.hasRoom);
  const answer = ({ prompt = PROMPT, options, slow = async () => {} }: Asked) => {
    const ids: number[] = [];
    const seen = { asked: backend.asked.length, first: -1, ended: -1 };
    const done = (async () => {
      const turn = await queue.enter(options.signal, prompt.length);
      const session = backend.session(4000);
      try {
        for await (const piece of inTurns(session.generate(prompt, options), turn, options.signal)) {
          if (ids.length === 0) seen.first = backend.asked.length;
          ids.push(...piece.ids);
          await slow(ids.length);
        }
        seen.ended = backend.asked.length;
        return ids;
      } finally {
        session.close();
        turn.leave();
      }
    })();
    return { ids, seen, done, waited: () => seen.first - seen.asked };
  };
  return { backend, queue, answer };
}

/** Lets the backend make so many steps more. */
async function steps(backend: FakeBackend, count: number): Promise<void> {
  for (const end = backend.asked.length + count; backend.asked.length < end; ) await settle(1);
}

const BACKENDS: readonly (readonly [string, FakeOptions])[] = [
  ["a backend that chooses", {}],
  ["a backend that gives logits", { chooses: false }],
  ["a backend that chooses, with states", { states: 200 }],
  ["a backend that chooses, with windows", { window: 5 }],
];

describe.each(BACKENDS)("%s", (_, fake) => {
  it("gives a newcomer its first token within a few steps while long answers run", async () => {
    const { backend, queue, answer } = hall(4, fake);
    const long = [1, 2, 3, 4].map((first) => answer({ prompt: [first, ...PROMPT], options: on(300) }));
    await steps(backend, 3 * BEGUN);
    const waits: number[] = [];
    for (let i = 0; i < 5; i++) {
      const newcomer = answer({ prompt: [9, i, ...PROMPT], options: on(4) });
      expect(await newcomer.done).toEqual(greedy([9, i, ...PROMPT], 4));
      waits.push(newcomer.waited());
    }
    expect(Math.max(...waits), waits.join()).toBeLessThanOrEqual(BEGUN + FEW);
    for (const [i, { done }] of long.entries()) expect(await done).toEqual(greedy([i + 1, ...PROMPT], 300));
    expect([queue.running, queue.queued]).toEqual([0, 0]);
    await expectIdle(backend, 0);
  });

  it("gives many newcomers theirs in turn, and ends no answer late for it", async () => {
    const { backend, answer } = hall(2, fake);
    const long = [1, 2].map((first) => answer({ prompt: [first, ...PROMPT], options: on(200) }));
    await steps(backend, 2 * BEGUN);
    const newcomers = Array.from({ length: 10 }, (_, i) => answer({ prompt: [9, i, ...PROMPT], options: on(40) }));
    await Promise.all([...newcomers, ...long].map(({ done }) => done));
    for (const [i, one] of newcomers.entries()) {
      // At most every other place goes to one that was interrupted.
      expect(one.waited(), `newcomer ${i}`).toBeLessThanOrEqual((i + 1) * (BEGUN + FEW));
      expect(one.ids).toEqual(greedy([9, i, ...PROMPT], 40));
    }
    for (const [i, { ids }] of long.entries()) expect(ids).toEqual(greedy([i + 1, ...PROMPT], 200));
  });

  it("lets long answers go on although newcomers never cease", async () => {
    const { backend, answer } = hall(2, fake);
    const long = [1, 2].map((first) => answer({ prompt: [first, ...PROMPT], options: on(120) }));
    let ended = 0;
    for (const { done } of long) void done.then(() => ended++);
    await steps(backend, 2 * BEGUN);
    const coming = async (seed: number): Promise<void> => {
      for (let i = 0; ended < 2; i++) {
        const prompt = [seed, i % 16, ...PROMPT];
        expect(await answer({ prompt, options: on(30) }).done).toEqual(greedy(prompt, 30));
      }
    };
    await Promise.all([coming(7), coming(8), coming(9), coming(10)]);
    // A turn of the interrupted is at least BEGUN tokens, and comes after two of others.
    for (const { seen, ids } of long) {
      expect(ids.length).toBe(120);
      expect(seen.ended - seen.asked).toBeLessThan(4 * 120 + 10 * FEW);
    }
  });

  it("goes on with an answer that was interrupted after each slice of another", async () => {
    const { backend, answer } = hall(1, fake);
    const count = 2 * SLICE + 10;
    const both = [1, 2].map((first) => answer({ prompt: [first, ...PROMPT], options: on(count) }));
    await Promise.all(both.map(({ done }) => done));
    for (const [i, { ids }] of both.entries()) expect(ids).toEqual(greedy([i + 1, ...PROMPT], count));
    expect(both[1]!.waited()).toBeLessThanOrEqual(BEGUN + FEW);
    // Neither waited for the end of the other.
    expect(both[1]!.seen.ended - both[0]!.seen.ended).toBeLessThan(SLICE);
    await expectIdle(backend, 0);
  });

  it("ends an answer that is cancelled while it is interrupted, and frees all of it", async () => {
    const { backend, queue, answer } = hall(1, fake);
    const abort = new AbortController();
    const long = answer({ options: { ...on(400), signal: abort.signal } });
    await steps(backend, 2 * BEGUN);
    const newcomer = answer({ prompt: [9, ...PROMPT], options: on(100) });
    while (newcomer.ids.length === 0) await settle(1);
    expect([queue.running, queue.queued]).toEqual([1, 1]);
    abort.abort(new Error("left"));
    await expect(long.done).rejects.toThrow("left");
    expect([queue.running, queue.queued]).toEqual([1, 0]);
    expect(await newcomer.done).toEqual(greedy([9, ...PROMPT], 100));
    expect(long.ids).toEqual(greedy(PROMPT, long.ids.length));
    await expectIdle(backend, 0);
  });

  it.each([1, 2, 3])(
    "gives everyone the tokens that it has alone, also where memory is short (seed %i)",
    async (seed) => {
      const random = generator(seed);
      const whole = (n: number) => Math.floor(n * random());
      const { backend, queue, answer } = hall(3, { ...fake, blocks: 60, late: () => settle(whole(6)) });
      const all = Array.from({ length: 14 }, async () => {
        await settle(whole(600));
        const prompt = [whole(16), whole(16), ...PROMPT];
        const count = 1 + whole(90);
        const abort = new AbortController();
        if (random() < 0.2) void settle(whole(300)).then(() => abort.abort(new Error("left")));
        const one = answer({
          ...{ prompt, options: { ...on(count), signal: abort.signal } },
          slow: async () => (random() < 0.1 ? settle(whole(5)) : undefined),
        });
        const error = await one.done.then(
          () => null,
          (reason: Error) => reason.message,
        );
        if (error === null) expect(one.ids).toEqual(greedy(prompt, count));
        else expect([error, one.ids]).toEqual(["left", greedy(prompt, one.ids.length)]);
      });
      await Promise.all(all);
      expect([queue.running, queue.queued]).toEqual([0, 0]);
      await expectIdle(backend, 0);
    },
  );
});

/** Allows one of three tokens, which one follows from those before. */
function constraint(): Constraint {
  let sum = 1;
  return {
    mask: async () => Int32Array.of([0, 1, 2].reduce((bits, i) => bits | (2 << ((sum + 5 * i) % 15)), 0)),
    accept: (id) => {
      sum = (7 * sum + id) % 97;
    },
    ended: false,
    close() {},
  };
}

it.each([
  ["drawn with a seed", () => ({ temperature: 1, seed: 5, ignoreEos: true })],
  ["with penalties", () => ({ temperature: 0, frequencyPenalty: 1.5, ignoreEos: true })],
  ["held to a grammar", () => ({ temperature: 1, seed: 5, constraint: constraint() })],
] as const)("an answer that is %s is the same when it is interrupted", async (_, made) => {
  const count = 5 * BEGUN;
  const alone = hall(1, { chooses: false }).answer({ options: { ...made(), maxTokens: count } });
  const { backend, answer } = hall(1, { chooses: false });
  const long = answer({ options: { ...made(), maxTokens: count } });
  const others = [1, 2, 3].map((first) => answer({ prompt: [first, ...PROMPT], options: on(2 * BEGUN) }));
  await Promise.all([...others, long].map(({ done }) => done));
  expect(long.ids).toEqual(await alone.done);
  const own = backend.asked.filter(({ tokens }) => tokens.length === 1).length;
  expect(own).toBeGreaterThan(count); // the others ran in between
  expect(long.seen.ended).toBeGreaterThan(others[0]!.seen.first);
});

it("interrupts nothing where memory has no room for one more", async () => {
  const { backend, answer } = hall(2, { blocks: 24 }); // of 4 positions
  const long = [1, 2].map((first) => answer({ prompt: [first, ...PROMPT], options: on(38) }));
  await steps(backend, 2 * BEGUN);
  const newcomer = answer({ prompt: [9, ...PROMPT], options: on(4) });
  await Promise.race(long.map(({ done }) => done));
  expect(newcomer.ids).toEqual([]);
  await Promise.all([...long, newcomer].map(({ done }) => done));
  expect(backend.room.usage()).toMatchObject({ suspensions: 0, recomputedTokens: 0 });
});

describe("a consumer that takes nothing", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  it("loses its place to others, and has it again when it goes on", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { backend, queue, answer } = hall(1, {});
    let read = (): void => {};
    const reads = new Promise<void>((resolve) => {
      read = resolve;
    });
    const slow = answer({ options: on(12), slow: async (taken) => (taken === 5 ? reads : undefined) });
    while (slow.ids.length < 5) await settle(1);
    const other = answer({ prompt: [9, ...PROMPT], options: on(10) });
    await settle();
    expect([other.ids.length, queue.running, queue.queued]).toEqual([0, 1, 1]); // still its turn
    vi.advanceTimersByTime(IDLE_MS);
    expect(await other.done).toEqual(greedy([9, ...PROMPT], 10));
    expect([queue.running, queue.queued]).toEqual([0, 1]);
    const before = backend.asked.length;
    await settle();
    expect(backend.asked.length).toBe(before); // it costs no step
    read();
    expect(await slow.done).toEqual(greedy(PROMPT, 12));
    expect([queue.running, queue.queued]).toEqual([0, 0]);
    await expectIdle(backend, 0);
  });

  it("counts among those that wait, so that no more begin than may", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
    const { queue, answer } = hall(1, {}, 1);
    const never = new Promise<void>(() => {});
    const slow = answer({ options: on(12), slow: () => never });
    while (slow.ids.length < 1) await settle(1);
    const other = answer({ options: on(12), slow: () => never });
    vi.advanceTimersByTime(IDLE_MS);
    while (other.ids.length < 1) await settle(1);
    await expect(queue.enter()).rejects.toThrow(/1 answers are being computed and 1 requests wait/);
  });
});
