// Several sessions that decode ahead: who shares a step, who waits for whom, and what one's end
// does to the others.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { GenerateOptions } from "../../src/engine/api.ts";
import { DEPTH } from "../../src/engine/depth.ts";
import { DeviceError, RequestError } from "../../src/errors.ts";
import {
  admitted,
  expected,
  expectIdle,
  fakeBackend,
  gate,
  greedy,
  on,
  settle,
  VOCAB,
} from "../support/fake_backend.ts";
import { EVERYTHING } from "../support/level.ts";
import { collect } from "../support/pieces.ts";

describe("sessions that decode ahead together", () => {
  it("share steps: one begin, then next for all", async () => {
    const backend = fakeBackend();
    const prompts = [[1], [2], [3]];
    const all = await Promise.all(prompts.map((p) => collect(backend.session().generate(p, on(12)))));
    expect(all.map(({ ids }) => ids)).toEqual(prompts.map((p) => greedy(p, 12)));
    expect(backend.shape).toBe(`b${"n".repeat(11)}`);
    expect(backend.asked.every(({ tokens }) => tokens.length === 3)).toBe(true);
  });

  it("drain when one joins, and when one leaves, and go on together", async () => {
    const backend = fakeBackend();
    const long = collect(backend.session().generate([1], on(40)));
    await settle(4);
    const short = collect(backend.session().generate([2, 3], on(6)));
    expect((await short).ids).toEqual(greedy([2, 3], 6));
    expect((await long).ids).toEqual(greedy([1], 40));
    // Alone; the prompt beside it; both; alone again. Of the other's steps at most those in flight
    // came first.
    const widths = backend.asked.map(({ tokens }) => tokens.length).join("");
    expect(widths).toMatch(/^1{1,8}32{5}1+$/);
    expect(backend.asked.filter(({ how }) => how === "begin")).toHaveLength(4);
  });

  it("give a prompt its turn: it waits for the steps in flight, and they for one chunk", async () => {
    const backend = fakeBackend({ maxTokens: 4 });
    const decoding = collect(backend.session().generate([1], on(60)));
    await settle(4);
    const before = backend.asked.length;
    const prompt = Array.from({ length: 16 }, (_, i) => i % VOCAB);
    const answer = await collect(backend.session().generate(prompt, on(1)));
    const after = backend.asked.slice(before).map(({ tokens }) => tokens.length);
    expect(answer.ids).toEqual(greedy(prompt, 1));
    expect(after.slice(0, DEPTH + 2)).toContain(4);
    expect(after.join("")).not.toContain("44");
    expect(after.lastIndexOf(4)).toBeLessThan(4 * (DEPTH + 2));
    expect((await decoding).ids).toEqual(greedy([1], 60));
  });

  it("share steps with one that needs logits: then the host chooses for all", async () => {
    const backend = fakeBackend();
    const [ahead, logprobs] = await Promise.all([
      collect(backend.session().generate([1], { ...on(20), frequencyPenalty: 200 })),
      collect(backend.session().generate([2], { ...on(8), logprobs: 2 })),
    ]);
    expect(ahead.ids).toEqual(expected([1], 20, { frequencyPenalty: 200 }, false));
    expect(logprobs.ids).toEqual(greedy([2], 8));
    expect(backend.asked.filter(({ how }) => how === "logits")).toHaveLength(8);
    expect(backend.asked.filter(({ tokens }) => tokens.length === 2).length).toBeGreaterThanOrEqual(7);
    expect(backend.asked.length).toBeLessThanOrEqual(21);
    expect(backend.created.length).toBeLessThanOrEqual(2); // none for the steps between
  });

  it("are not held up by a slow consumer", async () => {
    const backend = fakeBackend();
    const slow = backend.session().generate([1], on(30));
    const first = (await slow.next()).value!.ids[0];
    expect((await collect(backend.session().generate([2], on(30)))).ids).toEqual(greedy([2], 30));
    expect(backend.asked.filter(({ tokens }) => tokens.length === 2).length).toBeLessThanOrEqual(2 * DEPTH);
    expect([first, ...(await collect({ [Symbol.asyncIterator]: () => slow })).ids]).toEqual(greedy([1], 30));
  });

  it("drain seldom when one is a little slower than the other", async () => {
    const backend = fakeBackend();
    const run = async (prompt: number[], turns: number) => {
      const ids: number[] = [];
      for await (const piece of backend.session().generate(prompt, on(60))) {
        ids.push(...piece.ids);
        await settle(turns);
      }
      return ids;
    };
    expect(await Promise.all([run([1], 12), run([2], 0)])).toEqual([greedy([1], 60), greedy([2], 60)]);
    expect(backend.asked.filter(({ how }) => how === "begin").length).toBeLessThan(60);
  });

  it("let a single token that needs no logits ride along, once", async () => {
    const backend = fakeBackend();
    const decoding = collect(backend.session().generate([1], on(12)));
    await settle(4);
    const sequence = admitted();
    expect(await backend.stepper.step(sequence, [7], "none")).toHaveLength(0);
    expect(sequence).toMatchObject({ length: 1, blocks: [expect.any(Number)] });
    expect((await decoding).ids).toEqual(greedy([1], 12));
    expect(backend.asked.filter(({ tokens }) => tokens.length === 2)).toHaveLength(1);
  });

  it("more of them than a step has room for take turns", async () => {
    const backend = fakeBackend({ maxTokens: 2 });
    const prompts = [[1], [2], [3], [4], [5]];
    const all = await Promise.all(prompts.map((p) => collect(backend.session().generate(p, on(7)))));
    expect(all.map(({ ids }) => ids)).toEqual(prompts.map((p) => greedy(p, 7)));
  });
});

describe("ends from outside", () => {
  it("an aborted generation rejects after the steps in flight at most, and the session is as if they had not been", async () => {
    const { late, open } = gate();
    const backend = fakeBackend({ late });
    const session = backend.session();
    const abort = new AbortController();
    const ids: number[] = [];
    const run = async () => {
      for await (const piece of session.generate([5], { ...on(40), signal: abort.signal })) ids.push(...piece.ids);
    };
    const running = run();
    const outcome = running.then(
      () => "ended",
      (error: Error) => error.message,
    );
    for (let step = 0; step < 3; step++) open(step);
    await settle();
    expect(ids).toEqual(greedy([5], 3));
    const submitted = backend.asked.length;
    abort.abort(new Error("enough"));
    await settle();
    expect(backend.asked).toHaveLength(submitted);
    for (let step = 3; step < submitted; step++) open(step);
    expect(await outcome).toBe("enough");
    expect(session.tokens).toEqual([5, ...greedy([5], 2)]);
    await expectIdle(backend, 1);
  });

  it("an abort in the prompt is heard before the first token", async () => {
    const backend = fakeBackend({ maxTokens: 2 });
    const abort = new AbortController();
    backend.spoil(() => {
      // the last chunk but one is running
      if (backend.asked.length === 2) abort.abort(new Error("enough"));
    });
    const session = backend.session();
    await expect(collect(session.generate([1, 2, 3, 4, 5], { ...on(9), signal: abort.signal }))).rejects.toThrow(
      "enough",
    );
    expect(session.tokens).toEqual([1, 2]); // the chunk under way is thrown away
    await expectIdle(backend, 1);
  });

  it("an abort between two pieces is heard before the ids that wait", async () => {
    const backend = fakeBackend();
    const abort = new AbortController();
    const pieces = backend.session().generate([5], { ...on(40), signal: abort.signal });
    await pieces.next();
    await settle();
    abort.abort(new Error("enough"));
    await expect(pieces.next()).rejects.toThrow("enough");
    await expectIdle(backend, 1);
  });

  it("an abort while others have their turn is heard at once, and nothing of it is computed any more", async () => {
    const { late, open } = gate();
    const backend = fakeBackend({ maxTokens: 1, late });
    const abort = new AbortController();
    const stays = collect(backend.session().generate([1], on(3)));
    const session = backend.session();
    const gone = collect(session.generate([2], { ...on(3), signal: abort.signal }));
    await settle();
    abort.abort(new Error("enough"));
    await expect(gone).rejects.toThrow("enough");
    expect(backend.inFlight).toBe(1);
    for (let step = 0; step < 3; step++) open(step);
    expect((await stays).ids).toEqual(greedy([1], 3));
    expect(backend.asked).toHaveLength(3);
    await expectIdle(backend, 1);
  });

  it("one session's abort and another's close leave a third alone", async () => {
    const backend = fakeBackend();
    const abort = new AbortController();
    const gone = backend.session();
    const [a, b, c] = [
      collect(backend.session().generate([1], { ...on(30), signal: abort.signal })),
      collect(gone.generate([2], on(30))),
      collect(backend.session().generate([3], on(30))),
    ];
    for (const end of [a, b]) end.catch(() => {});
    await settle(10);
    abort.abort(new Error("enough"));
    await settle(5);
    gone.close();
    await expect(a).rejects.toThrow("enough");
    await expect(b).rejects.toThrow(RequestError);
    await expect(b).rejects.toThrow("session was closed");
    expect((await c).ids).toEqual(greedy([3], 30));
  });

  it("closing the stepper waits for what is in flight and rejects the rest", async () => {
    const { late, open } = gate();
    const backend = fakeBackend({ late });
    const running = collect(backend.session().generate([5], on(40)));
    const outcome = expect(running).rejects.toThrow("model was closed");
    await settle();
    let closed = false;
    const closing = backend.stepper.close().then(() => {
      closed = true;
    });
    await settle();
    expect([closed, backend.inFlight]).toEqual([false, DEPTH + 1]);
    for (let step = 0; step <= DEPTH; step++) open(step);
    await closing;
    await outcome;
    expect(backend.choosers.size).toBe(0);
    await expect(collect(backend.session().generate([5], on(2)))).rejects.toThrow("model is closed");
  });

  it("closing the stepper frees a stream whose consumer never comes back", async () => {
    const backend = fakeBackend();
    const pieces = backend.session().generate([5], on(40));
    await pieces.next();
    await settle();
    await backend.stepper.close();
    expect([backend.inFlight, backend.choosers.size]).toEqual([0, 0]);
    await expect(pieces.next()).rejects.toThrow("model was closed");
  });
});

describe("a step that fails", () => {
  const error = new DeviceError("the device is lost");

  it.each(["submit", "ids"] as const)("at its %s: ids before it arrive, then all of its work rejects", async (at) => {
    const backend = fakeBackend({ fails: (step) => (step === 5 ? { at, error } : null) });
    const outcomes = await Promise.all(
      [[1], [2]].map(async (prompt) => {
        const session = backend.session();
        const ids: number[] = [];
        const run = async () => {
          for await (const piece of session.generate(prompt, on(20))) ids.push(...piece.ids);
        };
        await expect(run()).rejects.toBe(error);
        expect(session.tokens).toEqual([...prompt, ...ids.slice(0, -1)]);
        return ids;
      }),
    );
    expect(outcomes).toEqual([greedy([1], 5), greedy([2], 5)]);
    expect(backend.asked.length).toBeLessThanOrEqual(at === "submit" ? 5 : 5 + DEPTH + 1);
    await expectIdle(backend, 4);
    expect((await collect(backend.session().generate([3], on(9)))).ids).toEqual(greedy([3], 9));
  });

  it("is not the fault of those who wait", async () => {
    const backend = fakeBackend({ maxTokens: 2, fails: (step) => (step === 2 ? { at: "ids", error } : null) });
    const prompts = [[1], [2], [3], [4]];
    const all = await Promise.allSettled(prompts.map((p) => collect(backend.session().generate(p, on(5)))));
    expect(all.filter(({ status }) => status === "rejected")).toHaveLength(2);
    for (const [i, end] of all.entries())
      if (end.status === "fulfilled") expect(end.value.ids).toEqual(greedy(prompts[i]!, 5));
  });
});

describe("whatever happens beside it", () => {
  const generation = fc.record({
    prompt: fc.array(fc.integer({ min: 1, max: VOCAB - 1 }), { minLength: 1, maxLength: 12 }),
    count: fc.integer({ min: 1, max: 25 }),
    // turns after each piece
    pauses: fc.array(fc.integer({ min: 0, max: 12 }), { minLength: 1, maxLength: 4 }),
    leavesAfter: fc.option(fc.integer({ min: 0, max: 12 })),
    abortsAfter: fc.option(fc.integer({ min: 0, max: 80 })), // turns
    kind: fc.constantFrom<GenerateOptions>(
      {},
      {},
      { frequencyPenalty: 250 },
      { presencePenalty: 99, logprobs: 1 },
      { topK: 1 },
    ),
    startsAfter: fc.integer({ min: 0, max: 30 }),
    ignoreEos: fc.boolean(),
  });
  const scene = fc.record({
    sessions: fc.array(fc.array(generation, { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 4 }),
    delays: fc.array(fc.integer({ min: 0, max: 20 }), { minLength: 1, maxLength: 5 }),
    undecidedEvery: fc.option(fc.integer({ min: 2, max: 9 })),
    maxTokens: fc.integer({ min: 2, max: 6 }),
  });

  /**
   * Blocks of 4 positions that sessions with these tokens hold: equal beginnings are shared as far
   * as blocks are full.
   */
  const blocksOf = (held: readonly (readonly number[])[]): number => {
    const full = held.flatMap((tokens) =>
      tokens.flatMap((_, i) => (i % 4 === 3 ? [tokens.slice(0, i + 1).join()] : [])),
    );
    return new Set(full).size + held.filter((tokens) => tokens.length % 4 > 0).length;
  };

  it("each session gets the tokens that it gets alone, and holds what it would hold", async () => {
    const play = async ({
      sessions,
      delays,
      undecidedEvery,
      maxTokens,
    }: typeof scene extends fc.Arbitrary<infer T> ? T : never) => {
      const backend = fakeBackend({
        maxTokens,
        undecided: (history) =>
          undecidedEvery !== null && history.reduce((sum, id) => sum + id, 0) % undecidedEvery === 0,
        late: (step) => settle(delays[step % delays.length]),
      });
      const held = await Promise.all(
        sessions.map(async (generations) => {
          const session = backend.session();
          for (const { prompt, count, pauses, leavesAfter, abortsAfter, kind, startsAfter, ignoreEos } of generations) {
            await settle(startsAfter);
            const abort = new AbortController();
            if (abortsAfter !== null) settle(abortsAfter).then(() => abort.abort(new Error("enough")));
            const options = { ...kind, maxTokens: count, ignoreEos, signal: abort.signal };
            const ids: number[] = [];
            let whole = false;
            try {
              for await (const piece of session.generate(prompt, options)) {
                ids.push(...piece.ids);
                whole = piece.finish !== undefined;
                if (ids.length > (leavesAfter ?? count)) break;
                await settle(pauses[ids.length % pauses.length]);
              }
            } catch (error) {
              expect((error as Error).message).toBe("enough");
            }
            const alone = expected(prompt, count, kind, !ignoreEos);
            expect(ids).toEqual(whole ? alone : alone.slice(0, ids.length));
            const { tokens } = session;
            expect(tokens).toEqual([...prompt, ...ids].slice(0, tokens.length));
            if (ids.length > 0) expect(tokens).toHaveLength(prompt.length + ids.length - 1);
          }
          return session.tokens;
        }),
      );
      expect(backend.most).toBeLessThanOrEqual(DEPTH + 1);
      await expectIdle(backend, blocksOf(held));
    };
    await fc.assert(fc.asyncProperty(scene, play), { numRuns: EVERYTHING ? 300 : 60 });
  });
});
