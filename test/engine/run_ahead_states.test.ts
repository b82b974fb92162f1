// Decoding ahead with states, which cannot go back: what is kept at the ends of blocks, and what is
// computed again after an end.

import { describe, expect, it } from "vitest";
import type { GenerateOptions } from "../../src/engine/api.ts";
import { DEPTH } from "../../src/engine/depth.ts";
import { expectIdle, type FakeBackend, fakeBackend, greedy, on, settle } from "../support/fake_backend.ts";
import { collect } from "../support/pieces.ts";

const BLOCK = 4; // of the fake backend
const letters = (ids: readonly number[]) => ids.map((id) => String.fromCharCode(97 + id)).join("");

/** What a session gives for these calls, and the tokens that it then holds. */
async function answers(backend: FakeBackend, calls: readonly [readonly number[], GenerateOptions][]) {
  const session = backend.session();
  const seen: unknown[] = [];
  for (const [prompt, options] of calls) {
    const { ids, text, finish } = await collect(session.generate(prompt, options));
    seen.push({ ids, text, reason: finish.reason, tokens: [...session.tokens] });
  }
  session.close();
  await expectIdle(backend, 0);
  return seen;
}

describe("a session with states that decodes ahead", () => {
  it("gives the ids of logits, and waits for its consumer at the end of each block", async () => {
    const backend = fakeBackend({ states: 4 });
    const { ids } = await collect(backend.session().generate([5, 6], on(30)));
    expect(ids).toEqual(greedy([5, 6], 30));
    expect(backend.shape).toMatch(/^b+n/);
    expect(backend.shape).not.toContain("l");
    expect(backend.most).toBe(BLOCK); // of at most DEPTH + 1
    expect(BLOCK).toBeLessThanOrEqual(DEPTH + 1);
  });

  it("does not follow the step that begins a text, which clears its states", async () => {
    const backend = fakeBackend({ states: 4 });
    const { ids } = await collect(backend.session().generate([5], on(6)));
    expect(ids).toEqual(greedy([5], 6));
    expect(backend.shape.slice(0, 3)).toBe("bbn");
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 9])("goes on behind a stop text at id %i like from logits", async (at) => {
    const prompt = [1, 2, 3, 4, 5, 6];
    const ids = greedy(prompt, 40);
    const more = [...prompt, ...ids.slice(0, at), 7, 8, 9];
    const calls: [readonly number[], GenerateOptions][] = [
      [prompt, { ...on(40), stop: [letters(ids.slice(0, at))] }],
      [more, on(9)],
      [[...more, ...greedy(more, 3)], on(5)],
    ];
    const ahead = fakeBackend({ states: 6 });
    const seen = await answers(ahead, calls);
    expect(seen).toEqual(await answers(fakeBackend({ states: 6, chooses: false }), calls));
    expect(seen[1]).toMatchObject({ ids: greedy(more, 9) });
  });

  it("begins an answer's continuation at the last whole block, not at the beginning", async () => {
    const backend = fakeBackend({ states: 6 });
    const session = backend.session();
    const prompt = [1, 2, 3, 4, 5, 6];
    const ids = greedy(prompt, 40);
    const stop = letters(ids.slice(14, 16)); // 21 positions are held, more have been computed
    const first = await collect(session.generate(prompt, { ...on(40), stop: [stop] }));
    const tokens = [...session.tokens];
    const { finish } = await collect(session.generate([...tokens, 3], on(2)));
    expect(first.finish.reason).toBe("stop");
    expect(finish.cachedTokens).toBe(Math.floor(tokens.length / BLOCK) * BLOCK);
  });

  it("lets the host choose where the backend cannot, and goes on ahead", async () => {
    for (const at of [0, 1, 2, 5, 6, 7]) {
      const prompt = [1, 2, 3, 4, 5, 6];
      const undecided = (history: readonly number[]) => history.length === prompt.length + at;
      const backend = fakeBackend({ states: 4, undecided });
      const { ids } = await collect(backend.session().generate(prompt, on(16)));
      expect(ids).toEqual(greedy(prompt, 16));
      expect(backend.shape).toMatch(/l.*bn+/);
    }
  });

  it("shares steps with other sessions, and survives their ends", async () => {
    const backend = fakeBackend({ states: 6 });
    const prompts = [[1, 2, 3], [4, 5, 6, 7, 8], [9]];
    const all = await Promise.all(
      prompts.map((prompt, i) => collect(backend.session().generate(prompt, on(9 + 5 * i)))),
    );
    for (const [i, { ids }] of all.entries()) expect(ids).toEqual(greedy(prompts[i]!, 9 + 5 * i));
  });

  it("computes again what an abort left behind", async () => {
    const backend = fakeBackend({ states: 4 });
    const session = backend.session();
    const abort = new AbortController();
    const pieces = session.generate([1, 2, 3], { ...on(40), signal: abort.signal });
    await pieces.next();
    await settle();
    abort.abort();
    await expect(collect(pieces)).rejects.toThrow();
    expect((await collect(session.generate([1, 2, 3], on(12)))).ids).toEqual(greedy([1, 2, 3], 12));
    expect((await session.save()).length).toBe(session.tokens.length);
  });
});
