// Answers that do not fit into the KV cache side by side: each is finished, with the tokens that it
// would have had alone.

import { describe, expect, it } from "vitest";
import type { GenerateOptions } from "../../src/engine/api.ts";
import { MemoryError, RequestError } from "../../src/errors.ts";
import type { Constraint } from "../../src/grammar/types.ts";
import { expectIdle, type FakeBackend, fakeBackend, greedy, on, settle, VOCAB } from "../support/fake_backend.ts";
import { collect } from "../support/pieces.ts";
import { generator } from "../support/random.ts";
import { some } from "../support/some.ts";

/**
 * Allows odd ids after even ones and the other way round: a state that must be neither lost nor
 * advanced twice.
 */
function alternating(): Constraint {
  let odd = true;
  return {
    mask: async () => Int32Array.of(odd ? 0xaaaaaaaa : 0x55555554), // never EOS
    ended: false,
    close() {},
    accept(id: number) {
      if ((id % 2 === 1) !== odd) throw new Error(`${id} was not allowed`);
      odd = !odd;
    },
  };
}

interface Ask {
  readonly prompt: readonly number[];
  readonly options: () => GenerateOptions;
}

/** Everything that a consumer sees of an answer but times. */
async function answer(backend: FakeBackend, { prompt, options }: Ask, pace: () => Promise<void> = async () => {}) {
  const session = backend.session(400);
  const seen: unknown[] = [];
  try {
    for await (const { finish, ...piece } of session.generate(prompt, options())) {
      seen.push(piece);
      if (finish) {
        const { reason, completionTokens, promptTokens, seed } = finish;
        seen.push({ reason, completionTokens, promptTokens, seed });
      }
      await pace();
    }
    return { seen, tokens: [...session.tokens] };
  } finally {
    session.close();
  }
}

const KINDS: readonly ((seed: number) => GenerateOptions)[] = [
  (seed) => ({ ignoreEos: true, seed }),
  (seed) => ({ ignoreEos: true, frequencyPenalty: 300, presencePenalty: 20, seed }),
  (seed) => ({ ignoreEos: true, temperature: 300, seed, logprobs: 2 }), // the host draws
  // what no chooser takes
  (seed) => ({ ignoreEos: true, temperature: 200, topK: 1, repeatPenalty: 1.3, seed }),
  (seed) => ({ temperature: 300, seed, constraint: alternating() }),
];

describe.each([
  ["a backend that chooses", true],
  ["a backend that gives logits", false],
])("on %s", (_, chooses) => {
  it.each(
    some(
      Array.from({ length: 8 }, (_, i) => i + 1),
      2,
    ),
  )("sessions start, read slowly, stop or wait: every answer is the same as alone (schedule %i)", async (seed) => {
    const random = generator(seed);
    const whole = (n: number) => Math.floor(n * random());
    const blocks = 14 + whole(20);
    const backend = fakeBackend({
      chooses,
      blocks,
      maxTokens: 8,
      late: () => settle(whole(5)),
      undecided: (history) => history.length % 13 === seed,
    });
    const alone = fakeBackend({ chooses: false });
    const systems = [0, 6, 15].map((length) => Array.from({ length }, () => whole(VOCAB)));
    const counts = { whole: 0, left: 0 };

    async function client(n: number): Promise<void> {
      const prompt = [...systems[whole(3)]!, ...Array.from({ length: 1 + whole(14) }, () => whole(VOCAB))];
      const kind = KINDS[whole(KINDS.length)]!;
      // Some say how long they may get, most do not: what fits.
      const ends = n % 3 === 0 || kind === KINDS[4] ? { maxTokens: 1 + (n % 29) } : {};
      const ask: Ask = { prompt, options: () => ({ ...kind(n), ...ends }) };
      const abort = new AbortController();
      const leaves = random() < 0.15;
      if (leaves) void settle(whole(200)).then(() => abort.abort(new Error("left")));
      const withSignal: Ask = { prompt, options: () => ({ ...ask.options(), signal: abort.signal }) };
      const slow = random() < 0.3;
      try {
        const found = await answer(backend, withSignal, async () => {
          expect(backend.store.blocks).toBeLessThanOrEqual(blocks);
          if (slow) await settle(whole(6));
        });
        // Alone it has the same memory.
        const limit = 4 * blocks + 1 - prompt.length;
        const options = () => ({ ...ask.options(), maxTokens: Math.min(ask.options().maxTokens ?? limit, limit) });
        expect(found).toEqual(await answer(alone, { prompt, options }));
        counts.whole++;
      } catch (error) {
        if ((error as Error).message !== "left") throw error;
        counts.left++;
      }
    }

    const clients: Promise<void>[] = [];
    for (let n = 1; n <= 30; n++) {
      clients.push(client(n));
      clients.at(-1)!.catch(() => {}); // heard of below
      await settle(whole(30));
    }
    for (const outcome of await Promise.allSettled(clients)) if (outcome.status === "rejected") throw outcome.reason;
    expect(counts.whole + counts.left).toBe(30);
    const { suspensions, recomputedTokens, waiting } = backend.room.usage();
    expect(suspensions).toBeGreaterThan(0);
    expect(recomputedTokens).toBeGreaterThan(0);
    expect(waiting).toBe(0);
    await expectIdle(backend, 0);
  });

  it("the youngest makes room and goes on when it can; the oldest is never interrupted", async () => {
    const backend = fakeBackend({ chooses, blocks: 16, maxTokens: 64 });
    const order: number[] = [];
    const prompts = [[1], [2], [3]];
    const all = await Promise.all(
      prompts.map(async (prompt, i) => {
        const found = await answer(backend, { prompt, options: () => on(50) });
        order.push(i);
        return found;
      }),
    );
    expect(all.map(({ seen }) => seen.length)).toEqual([52, 52, 52]);
    expect(order).toEqual([0, 1, 2]);
    const { suspensions, recomputedTokens } = backend.room.usage();
    // Each of the two younger ones gave up its blocks once: no back and forth.
    expect(suspensions).toBeLessThanOrEqual(3);
    expect(suspensions).toBeGreaterThan(0);
    expect(recomputedTokens).toBeLessThan(100);
  });

  it("texts that no session holds go before any answer waits", async () => {
    const backend = fakeBackend({ chooses, blocks: 16 });
    await answer(backend, { prompt: [9, 9, 9, 9, 9], options: () => on(40) });
    expect(backend.pool.usage().cached).toBeGreaterThan(8);
    await Promise.all([[1], [2]].map((prompt) => answer(backend, { prompt, options: () => on(28) })));
    expect(backend.room.usage().suspensions).toBe(0);
  });

  it("a session without work gives its blocks to an answer, and has the same tokens afterwards", async () => {
    const backend = fakeBackend({ chooses, blocks: 12 });
    const idle = backend.session();
    const first = await collect(idle.generate([7], on(30)));
    const tokens = [...idle.tokens];
    const found = await answer(backend, { prompt: [1], options: () => on(44) });
    expect(found.tokens).toHaveLength(44);
    expect(idle.tokens).toEqual(tokens);
    expect(await idle.save()).toEqual(Uint8Array.from(tokens));
    expect(backend.room.usage().recomputedTokens).toBeGreaterThan(0);
    const next = [7, ...first.ids, 5];
    expect((await collect(idle.generate(next, on(6)))).ids).toEqual(greedy(next, 6));
    expect(backend.room.usage().suspensions).toBe(0);
    idle.close();
    await expectIdle(backend, 0);
  });

  it("an answer that is not read makes room for one that is, older or not, and goes on when it is read", async () => {
    const backend = fakeBackend({ chooses, blocks: 10 });
    const unread = backend.session();
    const pieces = unread.generate([5], on(38));
    const ids = [...(await pieces.next()).value!.ids];
    for (let i = 0; i < 20; i++) ids.push(...(await pieces.next()).value!.ids);
    const found = await answer(backend, { prompt: [1], options: () => on(38) });
    expect(found.tokens).toHaveLength(38);
    for await (const piece of pieces) ids.push(...piece.ids);
    expect(ids).toEqual(greedy([5], 38));
    unread.close();
    await expectIdle(backend, 0);
  });

  it("a session that stops, is closed or is aborted while it waits leaves nothing allocated", async () => {
    const backend = fakeBackend({ chooses, blocks: 10 });
    const runs = answer(backend, { prompt: [1], options: () => on(36) });
    await settle(20);
    const abort = new AbortController();
    const prompt = Array.from({ length: 30 }, (_, i) => i % VOCAB);
    const [left, closed] = [backend.session(), backend.session()];
    const waits = [
      collect(left.generate(prompt, { ...on(5), signal: abort.signal })),
      collect(closed.generate(prompt, on(5))),
    ];
    const outcomes = Promise.allSettled(waits);
    await settle(3);
    expect(backend.room.usage().waiting).toBe(2);
    abort.abort(new Error("left"));
    closed.close();
    const reasons = (await outcomes).map((o) => (o.status === "rejected" ? (o.reason as Error).message : "an answer"));
    expect(reasons).toEqual(["left", "the session was closed"]);
    left.close();
    expect((await runs).tokens).toHaveLength(36);
    await expectIdle(backend, 0);
  });

  it("what cannot fit even alone is refused at once, by the memory that it needs", async () => {
    const backend = fakeBackend({ chooses, blocks: 5 });
    const runs = answer(backend, { prompt: [1], options: () => on(10) });
    const session = backend.session();
    const refused = collect(session.generate(new Array(21).fill(1), on(1)));
    await expect(refused).rejects.toThrow(MemoryError);
    await expect(refused).rejects.toThrow(/24 positions.*room for 20/);
    await runs;
    session.close();
  });

  it("a closed model refuses those who wait", async () => {
    const backend = fakeBackend({ chooses, blocks: 10 });
    const sessions = [backend.session(), backend.session()];
    const both = Promise.allSettled(sessions.map((s, i) => collect(s.generate(new Array(25).fill(i), on(10)))));
    await settle(5);
    expect(backend.room.usage().waiting).toBe(1);
    await backend.stepper.close();
    for (const outcome of await both) {
      expect(outcome.status).toBe("rejected");
      expect((outcome as PromiseRejectedResult).reason).toBeInstanceOf(RequestError);
    }
  });
});
