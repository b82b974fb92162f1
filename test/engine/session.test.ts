// A session over a backend without arithmetic: what is refused, what ends an answer, what it
// reports, who may generate when.

import { getEventListeners } from "node:events";
import { describe, expect, it } from "vitest";
import type { GenerateOptions, Piece, Session } from "../../src/engine/api.ts";
import { RequestError } from "../../src/errors.ts";
import {
  EOS,
  expected,
  expectIdle,
  fakeBackend,
  greedy,
  logitsAfter,
  on,
  settle,
  VOCAB,
} from "../support/fake_backend.ts";

const prompt = [3, 1, 4, 1, 5];
const letters = (ids: readonly number[]) => ids.map((id) => String.fromCharCode(97 + id)).join("");

async function collect(session: Session, from: string | readonly number[], options: GenerateOptions = {}) {
  const pieces: Piece[] = [];
  for await (const piece of session.generate(from, { temperature: 0, ...options })) pieces.push(piece);
  const { finish } = pieces.at(-1)!;
  return { pieces, ids: pieces.flatMap((p) => p.ids), text: pieces.map((p) => p.text).join(""), finish: finish! };
}

describe.each([
  ["a backend that chooses", true],
  ["a backend that gives logits", false],
])("a session over %s", (_, chooses) => {
  const make = (context = 64) => {
    const backend = fakeBackend({ chooses });
    return { backend, session: backend.session(context) };
  };

  it.each<[string, unknown, unknown, RegExp]>([
    ["no prompt", undefined, {}, /prompt: expected a text or token ids, found undefined/],
    ["a number", 5, {}, /prompt: expected a text or token ids, found 5/],
    ["one stop text", "a", { stop: "END" }, /stop: expected a list of texts, found string/],
  ])("refuses what plain JavaScript may pass: %s", async (_name, from, options, message) => {
    const { session } = make();
    const refused = await collect(session, from as string, options as GenerateOptions).catch((error) => error);
    session.close();
    expect(refused).toBeInstanceOf(RequestError);
    expect(refused.message).toMatch(message);
  });

  it("takes a text as its tokens, and says what happened", async () => {
    const { session } = make();
    const { ids, text, finish } = await collect(session, letters(prompt), on(12));
    expect(ids).toEqual(greedy(prompt, 12));
    expect(text).toBe(letters(ids));
    expect(finish).toMatchObject({ reason: "length", promptTokens: 5, completionTokens: 12, cachedTokens: 0 });
    expect(session.tokens).toEqual([...prompt, ...ids.slice(0, 11)]);
  });

  it("stops before a stop string that spans tokens", async () => {
    const { session } = make();
    const whole = letters(greedy(prompt, 20));
    const stop = whole.slice(6, 9);
    expect(whole.indexOf(stop)).toBe(6);
    const { text, finish } = await collect(session, prompt, { ...on(20), stop: [stop] });
    expect(text).toBe(whole.slice(0, 6));
    expect(finish).toMatchObject({ reason: "stop", stop });
  });

  it("ends at EOS, and goes past it when told to", async () => {
    const { session } = make();
    // Bias makes EOS certain after any text.
    const bias = { logitBias: { [EOS]: 1000 }, maxTokens: 5 };
    const ended = await collect(session, prompt, bias);
    expect([ended.ids, ended.text, ended.finish.reason]).toEqual([[EOS], "", "eos"]);
    const past = await collect(session, prompt, { ...bias, ignoreEos: true });
    expect([past.ids, past.finish.reason]).toEqual([Array(5).fill(EOS), "length"]);
  });

  it("reports log probabilities whose sum over the vocabulary is one", async () => {
    const { session } = make();
    const { pieces } = await collect(session, prompt, { ...on(2), logprobs: VOCAB });
    const row = logitsAfter(prompt);
    const [entry] = pieces[0]!.logprobs!;
    const [first] = greedy(prompt, 1) as [number];
    expect(entry!.id).toBe(first);
    expect(entry!.top[0]).toMatchObject({ id: first, logprob: entry!.logprob, text: letters([first]) });
    expect(entry!.top).toHaveLength(VOCAB);
    const most = Math.max(...row);
    const norm = most + Math.log(row.reduce((sum, x) => sum + Math.exp(x - most), 0));
    expect(entry!.logprob).toBeCloseTo(row[first]! - norm, 4);
    expect(entry!.top.reduce((sum, { logprob }) => sum + Math.exp(logprob), 0)).toBeCloseTo(1, 6);
  });

  it("clamps to the context and refuses a prompt that does not fit, with both numbers", async () => {
    const { session } = make();
    const long = new Array<number>(60).fill(7);
    const { ids, finish } = await collect(session, long, on(1000));
    expect([ids.length, finish.reason]).toEqual([4, "length"]);
    const full = await collect(session, new Array<number>(64).fill(7));
    expect([full.ids.length, full.finish.reason]).toEqual([0, "length"]);
    await expect(collect(session, new Array<number>(65).fill(7))).rejects.toThrow(/65 tokens.*context of 64/);
  });

  it.each([
    ["an empty prompt", [], {}, "at least one token"],
    ["an id outside the vocabulary", [VOCAB], {}, "token 0: expected an id from 0 to 15, found 16"],
    ["a fraction of a token", [1], { maxTokens: 1.5 }, "maxTokens"],
    ["too many log probabilities", [1], { logprobs: 21 }, "logprobs"],
    ["an empty stop string", [1], { stop: [""] }, "stop"],
    ["a temperature below zero", [1], { temperature: -1 }, "temperature"],
  ])("refuses %s", async (_name, ids, options, message) => {
    const { session } = make();
    await expect(collect(session, ids as number[], options)).rejects.toThrow(RequestError);
    await expect(collect(session, ids as number[], options)).rejects.toThrow(message);
  });

  it("refuses a second generation while one runs, and takes it afterwards", async () => {
    const { session } = make();
    const running = session.generate(prompt, { ...on(3), temperature: 0 });
    await running.next();
    await expect(collect(session, prompt)).rejects.toThrow(/generating already/);
    await running.return?.();
    expect((await collect(session, prompt, on(3))).ids).toEqual(greedy(prompt, 3));
  });

  it("stops for an aborted signal in a prompt and between tokens, and can go on after", async () => {
    const { session } = make();
    await expect(collect(session, prompt, { signal: AbortSignal.abort(new Error("no")) })).rejects.toThrow("no");
    const abort = new AbortController();
    const ids: number[] = [];
    const run = async () => {
      for await (const piece of session.generate(prompt, { ignoreEos: true, signal: abort.signal })) {
        ids.push(...piece.ids);
        if (ids.length === 3) abort.abort(new Error("enough"));
      }
    };
    await expect(run()).rejects.toThrow("enough");
    expect(ids).toEqual(greedy(prompt, 3));
    expect((await collect(session, prompt, on(5))).ids).toEqual(greedy(prompt, 5));
  });

  it("and others that share a signal add one listener to it, and all end when it aborts", async () => {
    const { backend } = make();
    const abort = new AbortController();
    const streams = Array.from({ length: 12 }, () =>
      backend.session().generate([1], { ignoreEos: true, signal: abort.signal }),
    );
    await Promise.all(streams.map((stream) => stream.next()));
    expect(getEventListeners(abort.signal, "abort")).toHaveLength(1);
    abort.abort(new Error("enough"));
    for (const stream of streams) await expect(stream.next()).rejects.toThrow("enough");
  });

  it("that is closed ends what it generates, and gives its blocks back", async () => {
    const { backend, session } = make();
    const pieces = session.generate(prompt, { ...on(8), temperature: 0 });
    await pieces.next();
    session.close();
    await expect(pieces.next()).rejects.toThrow(/session was closed/);
    await expect(collect(session, prompt)).rejects.toThrow(/session is closed/);
    await expectIdle(backend, 0);
    const another = backend.session();
    const long = another.generate(Array(100).fill(2), { maxTokens: 1 }).next(); // many chunks
    another.close();
    await expect(long).rejects.toThrow(/session was closed/);
    await expectIdle(backend, 0);
  });

  it("takes chunks as long as the backend wants them, at most what it can take", async () => {
    const wanted = [3, 1, 100, 2];
    const backend = fakeBackend({ chooses, maxTokens: 8, chunk: (at) => wanted[Math.min(at, 3)]! });
    const session = backend.session();
    const { ids } = await collect(session, [...prompt, ...prompt], on(2));
    expect(ids).toEqual(greedy([...prompt, ...prompt], 2));
    const sizes = backend.asked.slice(0, 5).map(({ tokens }) => tokens.length);
    expect(sizes).toEqual([3, 2, 2, 2, 1]); // from positions 0, 3, 5, 7 and 9
    session.close();
    await expectIdle(backend, 0);
  });

  it("is alone until another session's work waits, or was in its step", async () => {
    const heard: boolean[] = [];
    const chunk = (_at: number, alone: boolean): number => {
      heard.push(alone);
      return 2;
    };
    const backend = fakeBackend({ chooses, maxTokens: 8, chunk });
    const [one, two] = [backend.session(), backend.session()];
    await collect(one, prompt, on(1));
    expect(heard).toEqual(heard.map(() => true));
    const before = heard.length;
    await Promise.all([collect(one, [...prompt, ...prompt], on(1)), collect(two, [9, 8, 7, 6, 5, 4], on(1))]);
    expect(heard.slice(before + 2)).toContain(false);
    const together = heard.length;
    await collect(two, [1, 2, 3, 4, 5, 6], on(1));
    expect(heard.slice(together + 1)).toEqual(heard.slice(together + 1).map(() => true));
    for (const session of [one, two]) session.close();
    await expectIdle(backend, 0);
  });

  it("takes no more blocks the twentieth time than the first", async () => {
    const { backend } = make();
    const blocks = async () => {
      const session = backend.session();
      await collect(session, prompt, on(2));
      session.close();
      await settle();
      return backend.store.blocks;
    };
    const once = await blocks();
    for (let i = 0; i < 20; i++) expect(await blocks()).toBe(once);
    await expectIdle(backend, 0);
  });

  it.each<[string, GenerateOptions]>([
    ["greedy", {}],
    ["with penalties and biases", { frequencyPenalty: 40, presencePenalty: 30, logitBias: { 5: 200 } }],
  ])("chooses the tokens that follow from its history, beside another: %s", async (_name, options) => {
    const { backend, session } = make();
    const beside = backend.session();
    const [one, other] = await Promise.all([
      collect(session, prompt, { ...on(12), ...options }),
      collect(beside, [9, 9], on(5)), // joins, and leaves
    ]);
    expect(one.ids).toEqual(expected(prompt, 12, options, false));
    expect(other.ids).toEqual(greedy([9, 9], 5));
  });
});
