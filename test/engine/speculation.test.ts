// Drafted tokens: where they come from, how many a step takes, and that an answer with them is the
// answer without.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GivenCosts } from "../../bench/speculation/replay.ts";
import type { GenerateOptions } from "../../src/engine/api.ts";
import { MatchShares } from "../../src/engine/match_shares.ts";
import { PromptLookup } from "../../src/engine/prompt_lookup.ts";
import { Speculation } from "../../src/engine/speculation.ts";
import type { Spelling } from "../../src/engine/spelling.ts";
import { StepCosts } from "../../src/engine/step_costs.ts";
import type { Constraint } from "../../src/grammar/types.ts";
import { expectIdle, type FakeOptions, fakeBackend, logitsAfter, on, VOCAB } from "../support/fake_backend.ts";
import { collect } from "../support/pieces.ts";

/** Follows a text token by token, as if each was chosen. */
function followed(text: readonly number[], step: StepCosts): Speculation {
  const speculation = new Speculation(100, step);
  for (let n = 1; n <= text.length; n++) speculation.follow(text.slice(0, n));
  return speculation;
}

/** A backend whose texts repeat what they had `period` tokens before, but for one time in eight. */
function copying(period: number, options: FakeOptions = {}) {
  return fakeBackend({
    chooses: false,
    maxTokens: 16,
    ...options,
    logits(history) {
      const logits = logitsAfter(history);
      const before = history[history.length - period];
      if (before !== undefined && logits[0]! % 8 !== 0) logits[before]! += 2000;
      return logits;
    },
  });
}

const free = () => new Speculation(VOCAB, new GivenCosts(() => 1));

/** The same, of tokens whose bytes may be other tokens' too; the end token has none. */
const PIECES = ["", "a", "b", "c", "ab", "ba", "bc", "cb", "ca", "ac", "abc", "cab", "bab", "aba", "aa", "bb"];
const BYTES = PIECES.map((piece) => new TextEncoder().encode(piece));
const spelling: Spelling = {
  bytes: (id) => BYTES[id]!,
  id(bytes) {
    const at = PIECES.indexOf(new TextDecoder().decode(bytes));
    return at < 0 ? null : at;
  },
};
const spelled = () => new Speculation(VOCAB, new GivenCosts(() => 1), { spelling });

describe("prompt lookup", () => {
  it.each([
    ["nothing in a text whose last two tokens are new", [1, 2, 3, 4], null],
    ["nothing in an empty text", [], null],
    ["nothing in a text of one token", [5], null],
    ["the place after the same pair", [1, 2, 3, 1, 2], { at: 2, length: 2 }],
    ["the latest of equal places", [1, 2, 3, 1, 2, 4, 1, 2], { at: 5, length: 2 }],
    ["the longest of several", [7, 1, 2, 3, 1, 2, 4, 7, 1, 2], { at: 3, length: 3 }],
    ["a place that overlaps the end", [1, 1, 1], { at: 2, length: 2 }],
  ] as const)("finds %s", (_, text, found) => {
    const lookup = new PromptLookup(100);
    for (const id of text) lookup.push(id);
    expect(lookup.find()).toEqual(found);
  });

  it("expects a text to go on as it did there, over its end too", () => {
    const lookup = new PromptLookup(100);
    for (const id of [1, 2, 3, 1, 2]) lookup.push(id);
    const { at } = lookup.find()!;
    expect([0, 1, 2, 3, 4].map((ahead) => lookup.after(at, ahead))).toEqual([3, 1, 2, 3, 1]);
  });

  it("finds a longest match of any text, as a search through all of it does", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3), { maxLength: 24 }), (text) => {
        const lookup = new PromptLookup(4);
        for (const id of text) lookup.push(id);
        const lengths = text.map((_, at) => {
          let length = 0;
          while (length < at && text[at - 1 - length] === text[text.length - 1 - length]) length++;
          return at < 1 || at === text.length ? 0 : length;
        });
        const longest = Math.max(0, ...lengths);
        expect(lookup.find()?.length ?? 0).toBe(longest < 2 ? 0 : longest);
      }),
    );
  });
});

describe("how much is drafted", () => {
  const cycle = Array.from({ length: 60 }, (_, i) => i % 6);
  const random = Array.from({ length: 200 }, (_, i) => (i * i * 7 + 3 * i) % 13);

  it.each([
    ["as much as there may be, of a text that repeats itself, where tokens cost nothing", () => 1, 15],
    ["less where each costs", (n: number) => 1 + 0.02 * n * n, 11],
    ["nothing where a step of two costs two", (n: number) => n, 0],
  ])("%s", (_, cost, most) => {
    const speculation = followed(cycle, new GivenCosts(cost));
    const drafted = speculation.draft(100);
    expect(drafted.length).toBeLessThanOrEqual(most);
    expect(drafted.length > 0).toBe(most > 0);
    if (most === 15) expect(drafted).toEqual(Array.from({ length: 15 }, (_, i) => (60 + i) % 6));
    expect(speculation.draft(1).length).toBeLessThanOrEqual(1);
    expect(speculation.draft(0)).toEqual([]);
  });

  it("nothing of a text whose repeated pairs go on otherwise, at a usual cost", () => {
    const speculation = followed(random, new GivenCosts((n) => 1 + 0.3 * (n - 1)));
    const misleading = Array.from({ length: 100 }, (_, i) => (i % 3 === 2 ? 20 + i / 3 : i % 3)).map(Math.floor);
    const misled = followed([...misleading, 0, 1], new GivenCosts((n) => 1 + 0.3 * (n - 1)));
    expect(misled.draft(8)).toEqual([]);
    expect(speculation.counts).toEqual({ drafted: 0, accepted: 0 });
  });

  it("more of a token that came when it was expected last than of one that did not", () => {
    const shares = new MatchShares();
    const match = { at: 2, length: 2, tokens: 2, rest: [], near: false };
    const [came, fresh, failed] = [7, 8, 9];
    const chance = (id: number): number => shares.chance(match, 1, id, 3);
    expect(chance(came)).toBe(chance(failed));
    shares.note(match, came, 3, true);
    shares.note(match, failed, 3, false);
    expect(chance(came)).toBeGreaterThan(1.5 * chance(fresh));
    expect(chance(came)).toBeGreaterThan(2 * chance(failed));
  });

  it.each([
    ["of a text that repeats itself", [...cycle], 1.1, [true, true]],
    [
      "but not for a short match, which may be over when steps in flight are",
      [1, 2, 3, 4, 5, 1, 2, 3],
      1.1,
      [true, false],
    ],
    ["but not where a step with drafts takes much longer than one that runs ahead", [...cycle], 4.5, [true, false]],
  ])("steps that run ahead are halted %s", (_, text, two, [drafts, halts]) => {
    const speculation = followed(text, new GivenCosts((n) => (n === 1 ? 1 : two + 0.1 * (n - 2))));
    expect(speculation.leads(7)).toBe(halts);
    expect(speculation.draft(7).length > 0).toBe(drafts);
  });

  it("nothing while it is not wanted", () => {
    let wanted = false;
    const speculation = new Speculation(100, new GivenCosts(() => 1), { wanted: () => wanted });
    for (let n = 1; n <= cycle.length; n++) speculation.follow(cycle.slice(0, n));
    expect(speculation.draft(8)).toEqual([]);
    wanted = true;
    expect(speculation.draft(8).length).toBeGreaterThan(0);
  });

  it("nothing before a step of one token was timed", () => {
    expect(followed(cycle, new StepCosts()).draft(8)).toEqual([]);
  });
});

describe("an answer with drafts", () => {
  const digits: Constraint = {
    mask: () => Int32Array.of(0b1111110),
    accept() {},
    close() {},
  } as unknown as Constraint;

  it.each<[string, GenerateOptions, FakeOptions]>([
    ["greedy", {}, {}],
    ["drawn", { temperature: 0.7, seed: 5 }, {}],
    ["with penalties", { frequencyPenalty: 300, presencePenalty: 20, repeatPenalty: 1.1 }, {}],
    ["with log probabilities", { logprobs: 3 }, {}],
    ["under a constraint", { constraint: digits, ignoreEos: false }, {}],
    ["that a stop text ends", { stop: ["abc", "kk"] }, {}],
    ["until the end token", { ignoreEos: false }, {}],
    ["in windows", {}, { window: 6 }],
    ["in steps of four", {}, { maxTokens: 4 }],
  ])("is the answer without: %s", async (_, options, backendOptions) => {
    for (const [period, seed, speculate] of [
      [3, 1, free],
      [7, 2, free],
      [12, 3, free],
      [3, 4, spelled],
      [11, 5, spelled],
    ] as const) {
      const prompt = Array.from({ length: 20 }, (_, i) => ((i * i + seed) % (VOCAB - 1)) + 1);
      const asked = { ...on(90), ...options };
      const plain = copying(period, backendOptions);
      const drafting = copying(period, { ...backendOptions, speculate });
      const without = await collect(plain.session().generate(prompt, asked));
      const all: unknown[] = [];
      const session = drafting.session();
      const withDrafts = await collect(session.generate(prompt, asked));
      for (const { ids, finish } of [without, withDrafts]) all.push({ ids, reason: finish.reason, stop: finish.stop });
      expect(all[1]).toEqual(all[0]);
      expect(withDrafts.text).toBe(without.text);
      const { drafted = 0, accepted = 0 } = withDrafts.finish.speculation ?? {};
      expect(drafting.asked.length).toBe(plain.asked.length - accepted);
      expect(accepted).toBeLessThanOrEqual(drafted);
      // The session holds the text that was chosen, and goes on from there.
      const more = [...prompt, ...withDrafts.ids.slice(0, -1)];
      expect(session.tokens).toEqual(more.slice(0, session.tokens.length));
      const again = await collect(session.generate([...more, 1, 2], on(10)));
      expect(again.ids).toEqual((await collect(plain.session().generate([...more, 1, 2], on(10)))).ids);
    }
  });

  it("tells a constraint what is drafted before the step has computed it", async () => {
    const drafting = copying(7, { speculate: free });
    const told: { readonly ids: readonly number[]; readonly steps: number }[] = [];
    const constraint: Constraint = {
      ...digits,
      expect: (ids) => void told.push({ ids: [...ids], steps: drafting.asked.length }),
    };
    await collect(drafting.session().generate([1, 2, 3, 4, 5, 6], { ...on(90), constraint, ignoreEos: false }));
    expect(told.length).toBeGreaterThan(3);
    for (const { ids, steps } of told) expect(drafting.asked[steps]!.tokens.slice(1)).toEqual(ids);
    const several = drafting.asked.slice(1).filter(({ tokens }) => tokens.length > 1);
    expect(told).toHaveLength(several.length);
  });

  /** Of a backend that chooses tokens greedily, with penalties, while its steps run ahead. */
  const ahead: readonly [string, GenerateOptions, FakeOptions][] = [
    ["greedy", {}, {}],
    ["with penalties", { frequencyPenalty: 300, presencePenalty: 20 }, {}],
    ["that a stop text ends", { stop: ["abc", "kk"] }, {}],
    ["until the end token", { ignoreEos: false }, {}],
    ["in windows", {}, { window: 6 }],
    ["where the host has to choose now and then", {}, { undecided: (history) => history.length % 7 === 0 }],
    ["in a cache that grows", {}, { blocks: 40 }],
  ];
  it.each(ahead)("is the answer of steps that run ahead: %s", async (_, options, backendOptions) => {
    let accepted = 0;
    for (const [period, seed, speculate] of [
      [3, 1, free],
      [7, 2, free],
      [12, 3, free],
      [3, 4, spelled],
      [11, 5, spelled],
    ] as const) {
      const prompt = Array.from({ length: 20 }, (_, i) => ((i * i + seed) % (VOCAB - 1)) + 1);
      const asked = { ...on(90), ...options };
      const plain = copying(period, { ...backendOptions, chooses: true });
      const drafting = copying(period, { ...backendOptions, chooses: true, speculate });
      const without = await collect(plain.session().generate(prompt, asked));
      const session = drafting.session();
      const withDrafts = await collect(session.generate(prompt, asked));
      const same = ({ ids, text, finish: { reason, stop } }: typeof without) => ({ ids, text, reason, stop });
      expect(same(withDrafts)).toEqual(same(without));
      accepted += withDrafts.finish.speculation?.accepted ?? 0;
      // The session holds the text that was chosen, and goes on from there.
      const more = [...prompt, ...withDrafts.ids.slice(0, -1)];
      expect(session.tokens).toEqual(more.slice(0, session.tokens.length));
      const again = await collect(session.generate([...more, 1, 2], on(10)));
      expect(again.ids).toEqual((await collect(plain.session().generate([...more, 1, 2], on(10)))).ids);
      session.close();
      await expectIdle(drafting, 0);
    }
    expect(accepted).toBeGreaterThan(0);
  });

  it("is drafted by what steps take that run ahead", async () => {
    const costs = new StepCosts();
    const backend = copying(8, { chooses: true, speculate: () => new Speculation(VOCAB, costs) });
    await collect(backend.session().generate([1, 2, 3, 4], on(6)));
    expect(costs.one).toBeGreaterThan(0);
  });

  it("runs ahead again where nothing is drafted, from the ids of all steps that were in flight", async () => {
    const cycle = [1, 2, 3, 4, 5, 6, 7, 8];
    const drafting = copying(8, { chooses: true, speculate: free });
    const session = drafting.session();
    await collect(session.generate([...cycle, ...cycle], on(100)));
    expect(drafting.shape).toMatch(/n+c+b+n+c/); // ahead, drafts, and so on
    const steps = drafting.asked.map(({ positions }) => positions[0]!);
    const skipped = steps.filter((at, i) => i > 0 && at > steps[i - 1]! + drafting.asked[i - 1]!.tokens.length);
    expect(skipped).toEqual([]);
  });

  it("is the same beside others whose steps run ahead, whatever is evicted", async () => {
    const ask = fc.record({ seed: fc.nat(9), length: fc.integer({ min: 5, max: 40 }) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(ask, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 16, max: 40 }),
        fc.constantFrom(undefined, 6),
        async (asks, blocks, window) => {
          const answers = async (speculate?: () => Speculation) => {
            const room = { blocks, chooses: true, ...(window !== undefined && { window }) };
            const backend = copying(4, { ...room, ...(speculate && { speculate }) });
            const found = asks.map(({ seed, length }) =>
              collect(backend.session(60).generate([seed + 1, 2, 3, 1, seed + 1, 2], on(length))),
            );
            return (await Promise.all(found)).map(({ ids }) => ids);
          };
          expect(await answers(spelled)).toEqual(await answers());
        },
      ),
      { numRuns: 40 },
    );
  });

  it("saves steps where a text repeats itself", async () => {
    const drafting = copying(5, { speculate: free });
    const { finish } = await collect(drafting.session().generate([1, 2, 3, 4, 5, 1, 2, 3], on(100)));
    expect(finish.speculation!.accepted).toBeGreaterThan(30);
    expect(drafting.asked.length).toBeLessThan(70);
  });

  it("ends at an abort also where the next tokens are computed already", async () => {
    const drafting = copying(5, { speculate: free });
    const controller = new AbortController();
    const asked = { ...on(100), signal: controller.signal };
    let [steps, after] = [-1, 0];
    const reading = (async () => {
      for await (const _ of drafting.session().generate([1, 2, 3, 4, 5, 1, 2, 3], asked)) {
        if (controller.signal.aborted) after++;
        else if (drafting.asked.length === steps) controller.abort(new Error("enough")); // it was drafted
        steps = drafting.asked.length;
      }
    })();
    await expect(reading).rejects.toThrow("enough");
    expect(after).toBe(0);
  });

  it("counts over all answers never fall: a draft counts when it is known whether it was chosen", async () => {
    const totals = { drafted: 0, accepted: 0 };
    const drafting = copying(5, {
      speculate: () => new Speculation(VOCAB, new GivenCosts(() => 1), { totals }),
    });
    const own = { drafted: 0, accepted: 0 };
    for (const length of [7, 100, 23]) {
      const session = drafting.session();
      let wrong = 0;
      for await (const { finish } of session.generate([1, 2, 3, 4, 5, 1, 2, 3, 4, 5], on(length))) {
        expect(totals.drafted - totals.accepted).toBeGreaterThanOrEqual(wrong);
        wrong = totals.drafted - totals.accepted;
        own.drafted += finish?.speculation?.drafted ?? 0;
        own.accepted += finish?.speculation?.accepted ?? 0;
      }
      expect(totals).toEqual(own);
    }
    expect(own.drafted).toBeGreaterThan(own.accepted);
  });

  it("is the same beside others, in a cache that has no room for all, whatever is evicted", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ seed: fc.nat(9), length: fc.integer({ min: 5, max: 40 }), temperature: fc.nat(1) }), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.integer({ min: 16, max: 40 }),
        fc.constantFrom(undefined, 6),
        async (asks, blocks, window) => {
          const room = { blocks, ...(window !== undefined && { window }) };
          const answers = await Promise.all(
            [undefined, spelled].map(async (speculate) => {
              const backend = copying(4, { ...room, ...(speculate && { speculate }) });
              const found = asks.map(({ seed, length, temperature }) =>
                collect(
                  backend.session(60).generate([seed + 1, 2, 3, 1, seed + 1, 2], { ...on(length), temperature, seed }),
                ),
              );
              return (await Promise.all(found)).map(({ ids }) => ids);
            }),
          );
          expect(answers[1]).toEqual(answers[0]);
        },
      ),
      { numRuns: 40 },
    );
  });
});
