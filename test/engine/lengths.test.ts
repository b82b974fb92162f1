// RoPE that depends on the length of the text, in the engine: every position is computed by the
// length that it should be, whatever is cached, evicted, or computed ahead.

import { describe, expect, it } from "vitest";
import type { RopeLengths } from "../../src/backend/rope.ts";
import { expectIdle, type FakeOptions, fakeBackend, logitsAfter, on } from "../support/fake_backend.ts";
import { collect } from "../support/pieces.ts";

const LONG = 20;
/** As longrope: other keys in texts of more than LONG tokens. */
const two: RopeLengths = {
  at: () => ({ inverse: new Float64Array(0), factor: 1 }),
  key: (n) => (n > LONG ? 1 : 0),
  until: (n) => (n > LONG ? Number.POSITIVE_INFINITY : LONG),
};
/** As dynamic: other keys at every length past LONG, and nothing is read again. */
const every: RopeLengths = { ...two, key: (n) => (n > LONG ? n : 0), until: () => Number.POSITIVE_INFINITY };

type Key = (position: number, prompt: number, now: number) => number;

/** Greedy ids after a prompt, where `key` is that of each position in a text of `now` tokens. */
function after(prompt: readonly number[], count: number, key: Key): number[] {
  const ids = [...prompt];
  while (ids.length < prompt.length + count) {
    const logits = logitsAfter(ids.map((id, p) => id + 1000 * key(p, prompt.length, ids.length)));
    ids.push(logits.indexOf(Math.max(...logits)));
  }
  return ids.slice(prompt.length);
}
/** All positions turn as in the text as it is now. */
const whole = (prompt: readonly number[], count: number) => after(prompt, count, (_p, _n, now) => two.key(now));
/** Those of the prompt turn as in the prompt, each that follows as in the text that ends there. */
const growing = (prompt: readonly number[], count: number) =>
  after(prompt, count, (p, n) => every.key(Math.max(n, p + 1)));

const text = (n: number) => Array.from({ length: n }, (_, i) => 1 + ((i * 7) % 13));

describe.each<[string, FakeOptions]>([
  ["a backend that chooses", {}],
  ["a backend that gives logits", { chooses: false }],
  ["a backend that is undecided at times", { undecided: (history) => history.length % 3 === 0 }],
])("over %s", (_, options) => {
  it("a text that grows past the limit is read again, once", async () => {
    const backend = fakeBackend({ ...options, lengths: two });
    const session = backend.session();
    const { ids } = await collect(session.generate(text(5), on(40)));
    expect(ids).toEqual(whole(text(5), 40));
    expect(session.tokens).toEqual([...text(5), ...ids.slice(0, 39)]);
    const computed = backend.asked.flatMap(({ positions }) => positions);
    expect(computed.filter((position) => position === 3)).toHaveLength(2);
    session.close();
    await expectIdle(backend, 0);
  });

  it.each([LONG - 1, LONG, LONG + 1, LONG + 9])("a prompt of %d tokens has the keys of its length", async (n) => {
    for (const [lengths, wanted] of [
      [two, whole],
      [every, growing],
    ] as const) {
      const backend = fakeBackend({ ...options, lengths });
      const { ids } = await collect(backend.session().generate(text(n), on(6)));
      expect(ids).toEqual(wanted(text(n), 6));
    }
  });

  it("sessions share what has the same keys, and no other", async () => {
    const backend = fakeBackend({ ...options, lengths: two });
    const cached = async (n: number) => {
      const session = backend.session();
      const { ids, finish } = await collect(session.generate(text(n), on(1)));
      expect(ids).toEqual(whole(text(n), 1));
      session.close();
      return finish!.cachedTokens;
    };
    expect([await cached(14), await cached(17), await cached(30), await cached(33), await cached(19)]).toEqual([
      0, 12, 0, 28, 16,
    ]);
  });

  it("a session goes on with longer and with shorter texts", async () => {
    for (const [lengths, wanted] of [
      [two, whole],
      [every, growing],
    ] as const) {
      const session = fakeBackend({ ...options, lengths }).session();
      for (const n of [9, 13, 25, 31, 12, 24]) {
        const { ids } = await collect(session.generate(text(n), on(5)));
        expect(ids, `after ${n}`).toEqual(wanted(text(n), 5));
      }
    }
  });

  it("evicted texts come back with the keys that they had", async () => {
    for (const [lengths, wanted] of [
      [two, whole],
      [every, growing],
    ] as const) {
      const backend = fakeBackend({ ...options, lengths, blocks: 16 });
      const prompts = [text(10), text(26).reverse()];
      const answers = await Promise.all(prompts.map((ids) => collect(backend.session().generate(ids, on(24)))));
      expect(answers.map(({ ids }) => ids)).toEqual(prompts.map((ids) => wanted(ids, 24)));
      expect(backend.room.usage().suspensions).toBeGreaterThan(0);
    }
  });
});

it("a session whose prompt was not read to its end is saved as the text that it holds", async () => {
  const fails: FakeOptions["fails"] = (step) => (step === 3 ? { at: "submit", error: new Error("lost") } : null);
  const backend = fakeBackend({ lengths: every, chooses: false, fails });
  const session = backend.session();
  await expect(collect(session.generate(text(40), on(1)))).rejects.toThrow("lost");
  expect(session.tokens).toEqual(text(24));
  const before = backend.asked.length;
  await session.save();
  // as a prompt of 24 tokens, not the beginning of one of 40
  expect(backend.asked.slice(before).flatMap(({ tokens }) => tokens)).toEqual(text(24));
});
