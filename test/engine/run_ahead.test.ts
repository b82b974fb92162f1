// Decoding ahead of its consumer, over a backend that answers as late and out of step as
// a test likes.

import { describe, expect, it } from "vitest";
import type { GenerateOptions, Session } from "../../src/engine/api.ts";
import { DEPTH } from "../../src/engine/depth.ts";
import { DeviceError, MemoryError } from "../../src/errors.ts";
import { turn } from "../../src/turn.ts";
import {
  EOS,
  expected,
  expectIdle,
  type FakeBackend,
  fakeBackend,
  gate,
  greedy,
  on,
  settle,
  VOCAB,
} from "../support/fake_backend.ts";
import { collect } from "../support/pieces.ts";

/**
 * A prompt of `length` that, greedily continued, has its first EOS as id number `at`
 * (counted from 1).
 */
function promptWithEos(at: number, length = 3): number[] {
  for (let n = 0; n < 5000; n++) {
    const prompt = Array.from({ length }, (_, i) => 1 + ((n >> (4 * i)) % (VOCAB - 1)));
    const ids = greedy(prompt, at);
    if (ids.indexOf(EOS) === at - 1) return prompt;
  }
  throw new Error(`no prompt ends at ${at}`);
}

describe("a session that decodes ahead", () => {
  it("begins once and goes on without waiting for ids, the same ids as from logits", async () => {
    const backend = fakeBackend();
    const { ids, finish } = await collect(backend.session().generate([5], on(20)));
    expect(ids).toEqual(greedy([5], 20));
    expect(backend.shape).toBe(`b${"n".repeat(19)}`);
    expect(backend.most).toBe(DEPTH + 1);
    expect(finish).toMatchObject({ reason: "length", promptTokens: 1, completionTokens: 20 });
    await expectIdle(backend, 5);
  });

  it("chooses after the prompt's last chunk too, and begins anew from its id", async () => {
    const backend = fakeBackend({ maxTokens: 4 });
    const prompt = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    const { ids } = await collect(backend.session().generate(prompt, on(6)));
    expect(ids).toEqual(greedy(prompt, 6));
    expect(backend.shape).toBe("llbbnnnn");
    expect(backend.asked.slice(0, 4).map(({ tokens }) => tokens.length)).toEqual([4, 4, 2, 1]);
  });

  it("gives ids in order, however late and out of step they come", async () => {
    const { late, open } = gate();
    const backend = fakeBackend({ late });
    const running = collect(backend.session().generate([5], on(12)));
    for (let step = 0; step < 12; step += DEPTH + 1) {
      await settle();
      for (let i = DEPTH; i >= 0; i--) {
        open(step + i);
        await settle(3);
      }
    }
    expect((await running).ids).toEqual(greedy([5], 12));
  });

  it("stops the backend when its consumer stops pulling, and goes on with it", async () => {
    const backend = fakeBackend();
    const pieces = backend.session().generate([5], on(40));
    const pull = async () => (await pieces.next()).value!.ids[0]!;
    const ids = [await pull()];
    await settle();
    expect(backend.asked).toHaveLength(1 + DEPTH);
    for (let n = 2; n <= 8; n++) {
      ids.push(await pull());
      await settle();
      expect(backend.asked).toHaveLength(n + DEPTH);
    }
    expect(ids).toEqual(greedy([5], 8));
    expect(backend.shape).toBe(`b${"n".repeat(7 + DEPTH)}`);
    await pieces.return!();
    await expectIdle(backend, 2); // [5] and seven ids
  });

  it.each([
    ["sampled options that only the host honours", { topK: 1 }, "l".repeat(5)],
    ["log probabilities", { logprobs: 1 }, "l".repeat(5)],
    ["penalties", { frequencyPenalty: 300, presencePenalty: 20 }, "bnnnn"],
  ])("with %s: the way that can", async (_, options, shape) => {
    const backend = fakeBackend();
    const { ids } = await collect(backend.session().generate([5], { ...on(5), ...options }));
    expect(ids).toEqual(expected([5], 5, options as GenerateOptions, false));
    expect(backend.shape).toBe(shape);
    await expectIdle(backend, 2);
  });

  it("passes what a chooser cannot be made of on to the caller, and works again after", async () => {
    const backend = fakeBackend();
    const session = backend.session();
    const { choosing } = backend;
    const { create } = choosing;
    choosing.create = () => {
      throw new MemoryError("no room for counts");
    };
    await expect(collect(session.generate([5], on(3)))).rejects.toThrow("no room for counts");
    choosing.create = create;
    expect((await collect(session.generate([5], on(3)))).ids).toEqual(greedy([5], 3));
  });
});

describe("what ran ahead of an end is forgotten", () => {
  /** The same calls on a backend that gives logits only: what everything must look like. */
  async function likeFromLogits(calls: readonly [string | number[], GenerateOptions][]) {
    const look = async (backend: FakeBackend) => {
      const session = backend.session();
      const seen: unknown[] = [];
      for (const [prompt, options] of calls) {
        const { ids, text, finish } = await collect(session.generate(prompt, options));
        const { timings: _, seed: __, ...rest } = finish;
        seen.push({ ids, text, ...rest, tokens: [...session.tokens] });
      }
      await expectIdle(backend, Math.ceil(session.tokens.length / 4));
      session.close();
      await expectIdle(backend, 0);
      return seen;
    };
    const ahead = fakeBackend();
    const seen = await look(ahead);
    expect(seen).toEqual(await look(fakeBackend({ chooses: false })));
    return { seen: seen as { reason: string; cachedTokens: number }[], ahead };
  }

  it.each([1, 2, 3, 4, 7, 10])("EOS as id %i", async (at) => {
    const prompt = promptWithEos(at);
    const ids = greedy(prompt, at);
    const { seen, ahead } = await likeFromLogits([
      [prompt, { maxTokens: 50 }],
      [[...prompt, ...ids.slice(0, -1), 7, 7], { maxTokens: 5 }],
      [[...prompt, ...ids, 7], on(5)],
    ]);
    expect(seen[0]!.reason).toBe("eos");
    expect(ahead.asked.length).toBeGreaterThan(at);
  });

  it("EOS that the consumer has not reached: no further step", async () => {
    const prompt = promptWithEos(3, 1);
    const backend = fakeBackend();
    const pieces = backend.session().generate(prompt);
    for (let n = 1; n <= 3; n++) {
      await pieces.next();
      await settle();
      expect(backend.asked).toHaveLength(1 + DEPTH);
    }
    await pieces.return!();
    await expectIdle(backend, 1);
  });

  it("a stop string", async () => {
    const text = String.fromCharCode(...greedy([5, 6], 9).map((id) => 97 + id));
    const { seen } = await likeFromLogits([
      ["fg", { ...on(50), stop: [text.slice(6, 8)] }],
      [`fg${text.slice(0, 4)}zz`.replaceAll("z", "b"), on(9)],
    ]);
    expect(seen[0]!.reason).toBe("stop");
  });

  it("maxTokens: nothing is computed past it", async () => {
    for (const count of [1, 2, 3, 4, 5]) {
      const { ahead } = await likeFromLogits([[[5, 6, 7], on(count)]]);
      expect(ahead.asked).toHaveLength(count);
    }
  });

  it("the context's end", async () => {
    const backend = fakeBackend();
    const { ids, finish } = await collect(backend.session(30).generate([5, 6, 7], { ignoreEos: true }));
    expect([ids.length, finish.reason]).toEqual([27, "length"]);
    expect(ids).toEqual(greedy([5, 6, 7], 27));
    expect(Math.max(...backend.asked.flatMap(({ positions }) => positions))).toBe(28);
  });

  it("a consumer that leaves", async () => {
    const backend = fakeBackend();
    const session = backend.session();
    for await (const piece of session.generate([5], on(40))) if (piece.ids[0] === greedy([5], 3)[2]) break;
    const count = session.tokens.length;
    expect(session.tokens).toEqual([5, ...greedy([5], 40)].slice(0, count));
    await expectIdle(backend, Math.ceil(count / 4));
    const again = await collect(session.generate([...session.tokens, 9], on(4)));
    expect(again.finish.cachedTokens).toBe(count);
    expect(again.ids).toEqual(greedy([5, ...greedy([5], 40).slice(0, count - 1), 9], 4));
  });
});

describe("the host decides where the backend cannot", () => {
  const settings = { frequencyPenalty: 300, presencePenalty: 20 };

  it.each([
    ["the first token", 3],
    ["one in the middle", 9],
    ["the last token", 22],
  ])("%s: the pipeline drains, that row's logits come, and a chooser with the present state goes on", async (_, at) => {
    const backend = fakeBackend({ undecided: (history) => history.length === at });
    const { ids } = await collect(backend.session().generate([5, 6, 7], { ...on(20), ...settings }));
    expect(ids).toEqual(expected([5, 6, 7], 20, settings, false));
    const redone = backend.asked.find(({ how }) => how === "logits")!;
    expect(redone.positions).toEqual([at - 1]);
    const before = expected([5, 6, 7], at - 2, settings, false);
    expect(backend.created).toHaveLength(at === 22 ? 1 : 2);
    if (at < 22) {
      const { counts, seen } = backend.created[1]!;
      expect([...counts.values()].reduce((sum, n) => sum + n, 0)).toBe(at - 2);
      expect(new Set(seen)).toEqual(new Set([5, 6, 7, ...before]));
    }
    await expectIdle(backend, 6);
  });

  it("again and again", async () => {
    const backend = fakeBackend({ undecided: (history) => history.length % 3 !== 0 });
    const { ids } = await collect(backend.session().generate([5], { ...on(30), ...settings }));
    expect(ids).toEqual(expected([5], 30, settings, false));
  });

  it("and its error is the generation's", async () => {
    const backend = fakeBackend({ undecided: (history) => history.length === 4 });
    backend.spoil((logits) => logits.fill(Number.NaN));
    const ids: number[] = [];
    const run = async () => {
      for await (const piece of backend.session().generate([5], on(9))) ids.push(...piece.ids);
    };
    await expect(run()).rejects.toThrow(DeviceError);
    expect(ids).toEqual(greedy([5], 3));
    await expectIdle(backend, 1);
  });
});

describe("session.close()", () => {
  it("gives everything back while a generation runs ahead", async () => {
    const backend = fakeBackend();
    const session: Session = backend.session();
    const pieces = session.generate([5], on(40));
    await pieces.next();
    session.close();
    await turn();
    await expect(pieces.next()).rejects.toThrow("session was closed");
    await expectIdle(backend, 0);
  });
});
