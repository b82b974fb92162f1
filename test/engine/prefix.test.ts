// Prefixes that sessions share: what is found, what never is, and what happens to unused
// blocks. The fake backend's next token follows from what its cache holds: a wrong block
// gives other tokens.

import { describe, expect, it } from "vitest";
import { PrefixIndex } from "../../src/engine/prefix.ts";
import { expectIdle, fakeBackend, greedy, on, settle } from "../support/fake_backend.ts";
import { collect } from "../support/pieces.ts";

const ask = async (backend: ReturnType<typeof fakeBackend>, prompt: readonly number[], count = 1) => {
  const session = backend.session();
  const { ids, finish } = await collect(session.generate(prompt, on(count)));
  session.close();
  expect(ids).toEqual(greedy(prompt, count));
  return finish.cachedTokens;
};
const text = (length: number, first = 1) => Array.from({ length }, (_, i) => (first + 3 * i) % 16);

describe.each([
  ["a backend that chooses", true],
  ["a backend that gives logits", false],
])("on %s", (_, chooses) => {
  it("a session begins with the full blocks that a closed one computed, all but the last token", async () => {
    const backend = fakeBackend({ chooses });
    expect(await ask(backend, text(14), 4)).toBe(0); // 17 positions: 4 full blocks of 4
    expect(backend.pool.usage().cached).toBe(4);
    expect(await ask(backend, text(14))).toBe(12);
    expect(await ask(backend, text(12))).toBe(8);
    expect(await ask(backend, [...text(14), ...greedy(text(14), 3), 5])).toBe(16);
    expect(await ask(backend, text(4))).toBe(0);
    await expectIdle(backend, 0);
  });

  it("texts that differ share what comes before the block where they do", async () => {
    const backend = fakeBackend({ chooses });
    await ask(backend, text(16));
    expect(await ask(backend, [...text(9), 0, 0, 0, 0, 0])).toBe(8);
    expect(await ask(backend, text(16, 2))).toBe(0);
    expect(await ask(backend, text(16).slice(4))).toBe(0); // the same block in another place
    await expectIdle(backend, 0);
  });

  it("a session takes over what another, which goes on, has computed", async () => {
    const backend = fakeBackend({ chooses, maxTokens: 4 });
    const first = backend.session();
    const running = first.generate(text(20), on(20));
    await running.next();
    expect(await ask(backend, text(20), 6)).toBe(16);
    const { ids } = await collect({ [Symbol.asyncIterator]: () => running });
    expect(ids).toEqual(greedy(text(20), 20).slice(1));
    first.close();
    await expectIdle(backend, 0);
  });

  it("a session that held another text takes over all of this one, and knows it for what it is", async () => {
    const backend = fakeBackend({ chooses });
    const session = backend.session();
    const other = [9, ...text(14).slice(1)]; // differs in its first token only
    await collect(session.generate([9, 5], on(1)));
    await ask(backend, text(14));
    const { finish } = await collect(session.generate(text(14), on(1)));
    expect(finish.cachedTokens).toBe(12);
    expect(session.tokens).toEqual(text(14));
    const { ids, finish: again } = await collect(session.generate([...other, 3], on(4)));
    expect([ids, again.cachedTokens]).toEqual([greedy([...other, 3], 4), 0]);
    session.close();
    await expectIdle(backend, 0);
  });

  it("of blocks that two sessions computed beside each other one is kept", async () => {
    const backend = fakeBackend({ chooses, maxTokens: 64 });
    const sessions = [backend.session(), backend.session()];
    await Promise.all(sessions.map((s) => collect(s.generate(text(16), on(2)))));
    const { blocks, free, cached } = backend.pool.usage();
    // 17 positions: the full blocks once, and the last of each
    expect([blocks - free, cached]).toEqual([4 + 2, 0]);
    for (const session of sessions) session.close();
    expect(backend.pool.usage()).toMatchObject({ blocks, free: blocks - 4, cached: 4 });
  });

  it("a session that goes back within a block writes to no block that another holds", async () => {
    const backend = fakeBackend({ chooses });
    const [a, b] = [backend.session(), backend.session()];
    await collect(a.generate(text(12), on(2)));
    const both = await collect(b.generate(text(12), on(2)));
    expect(both.finish.cachedTokens).toBe(8);
    const other = [...text(6), 9, 9, 9, 9];
    const again = await collect(a.generate(other, on(3)));
    expect([again.ids, again.finish.cachedTokens]).toEqual([greedy(other, 3), 4]);
    const on_ = [...text(12), ...greedy(text(12), 1), 7];
    expect((await collect(b.generate(on_, on(3)))).ids).toEqual(greedy(on_, 3));
    a.close();
    b.close();
    await expectIdle(backend, 0);
  });

  it("a session alone with its blocks goes back within one and keeps what it has", async () => {
    const backend = fakeBackend({ chooses });
    const session = backend.session();
    await collect(session.generate(text(12), on(5)));
    const other = [...text(6), 9, 9, 9, 9];
    const again = await collect(session.generate(other, on(3)));
    expect([again.ids, again.finish.cachedTokens]).toEqual([greedy(other, 3), 6]);
    expect(await ask(backend, text(12))).toBe(4); // the second block holds another text now
    session.close();
    await expectIdle(backend, 0);
  });

  it("unused blocks are evicted when others are needed, least recently used first", async () => {
    const backend = fakeBackend({ chooses, blocks: 8 });
    await ask(backend, text(13, 1)); // 3 full blocks and a begun one
    await ask(backend, text(9, 2)); // 2 full blocks
    await ask(backend, text(13, 1)); // used once more
    expect(backend.pool.usage()).toMatchObject({ blocks: 8, free: 3, cached: 5 });
    await ask(backend, text(17, 4)); // takes 5
    expect(await ask(backend, text(13, 1))).toBe(12);
    expect(await ask(backend, text(9, 2))).toBeLessThan(8);
    await expectIdle(backend, 0);
  });

  it("a long text loses its end first", async () => {
    const backend = fakeBackend({ chooses, blocks: 6 });
    await ask(backend, text(21));
    await ask(backend, text(9, 2)); // needs three: one is free, two of five go
    expect(await ask(backend, text(21))).toBe(12);
    await expectIdle(backend, 0);
  });

  it("the whole budget goes to one session that needs it", async () => {
    const backend = fakeBackend({ chooses, blocks: 6 });
    for (const first of [1, 2, 3, 4]) await ask(backend, text(23, first), 2);
    await expectIdle(backend, 0);
  });

  it("blocks of a failed step are never found", async () => {
    let broken = false;
    const error = new Error("no");
    const backend = fakeBackend({ chooses, maxTokens: 8, fails: () => (broken ? { at: "submit", error } : null) });
    await ask(backend, text(9));
    broken = true;
    const session = backend.session();
    await expect(collect(session.generate(text(30), on(2)))).rejects.toThrow("no");
    session.close();
    broken = false;
    expect(await ask(backend, text(30))).toBe(8);
    await expectIdle(backend, 0);
  });

  it("a session that is closed while it computes leaves nothing that it did not compute", async () => {
    for (let turns = 0; turns < 30; turns++) {
      const backend = fakeBackend({ chooses, maxTokens: 4 });
      const session = backend.session();
      const running = collect(session.generate(text(30), on(20)));
      running.catch(() => {});
      await settle(turns);
      session.close();
      await expect(running).rejects.toThrow("closed");
      // beginnings that a mistake would leave
      for (let at = 0; at < 8; at++) await ask(backend, text(30).slice(4 * at), 9);
      await expectIdle(backend, 0);
    }
  });
});

describe("the index of prefixes", () => {
  it("tells tokens apart that look alike when they are put together", () => {
    const index = new PrefixIndex(2);
    index.add(0, null, [1, 23], 0);
    expect(index.find([12, 3, 1], 1)).toEqual([]);
    expect(index.find([1, 23, 1], 1)).toEqual([0]);
  });
});
