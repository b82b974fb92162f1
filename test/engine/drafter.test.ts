// A draft model: when it is asked and for how much, that an answer with its proposals is the answer
// without, and what becomes of one that cannot propose.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { DraftGate } from "../../src/engine/draft_gate.ts";
import { Drafter, DraftModel } from "../../src/engine/drafter.ts";
import type { Model } from "../../src/engine/model_api.ts";
import { mostGain } from "../../src/engine/most_gain.ts";
import { Speculation, type SpeculationParts } from "../../src/engine/speculation.ts";
import { StepCosts } from "../../src/engine/step_costs.ts";
import { MemoryError } from "../../src/errors.ts";
import { fakeBackend, logitsAfter, on, VOCAB } from "../support/fake_backend.ts";
import { collect } from "../support/pieces.ts";

/** Steps of so many tokens cost so much of a step of one, which takes `one` ms. */
function fixed(relative: (tokens: number) => number, one = 1): StepCosts {
  return Object.defineProperties(new StepCosts(), {
    one: { value: one },
    relative: { value: relative },
    note: { value: () => {} },
  });
}
const flat = (): number => 1;

/** A gate whose proposals took no time. */
function free(): DraftGate {
  const gate = new DraftGate();
  gate.took(1, 0);
  return gate;
}

/** Proposes what the fake backend chooses greedily, each with this many wrong ones in a hundred. */
function guessing(wrong: number, gate = free()): NonNullable<SpeculationParts["drafter"]> & { asked: number } {
  return {
    gate,
    asked: 0,
    async propose(text, count) {
      this.asked++;
      const ids: number[] = [];
      for (let i = 0; i < count; i++) {
        const logits = logitsAfter([...text, ...ids]);
        const right = logits.indexOf(Math.max(...logits));
        ids.push(logits[1]! % 100 < wrong ? (right + 1) % VOCAB : right);
      }
      return ids;
    },
    close() {},
  };
}

/** A backend whose generations have drafts of this drafter; one step after the other is timed. */
function drafted(drafter: SpeculationParts["drafter"] & object, options = {}) {
  const speculate = () => new Speculation(VOCAB, fixed(flat), { drafter });
  return fakeBackend({ chooses: false, maxTokens: 16, speculate, ...options });
}

describe("how many drafted tokens promise the most", () => {
  it.each([
    ["all that there may be, where they are right and cost nothing", [1, 3, 7], 1, () => 1, 7],
    ["none, where each costs a step", [1, 3, 7], 1, (n: number) => 1 + n, 0],
    ["none, where they are never right", [1, 3, 7], 0, () => 1.01, 0],
    ["few, where they are right half of the time", [1, 2, 3, 7], 0.5, (n: number) => 1 + 0.15 * n, 2],
    ["none of none", [], 1, () => 1, 0],
  ] as const)("%s", (_, counts, chance, cost, best) => {
    expect(mostGain(counts, () => chance, cost)).toBe(best);
  });
});

describe("the gate of a draft model", () => {
  const usual = (n: number): number => 1 + 0.1 * (n - 1);

  it("asks for a few tokens at first, and for none before a step was timed", () => {
    expect(new DraftGate().wanted(new StepCosts(), 8)).toBe(0);
    expect(new DraftGate().wanted(fixed(usual), 8)).toBe(3);
    expect(new DraftGate().wanted(fixed(usual), 2)).toBe(2);
  });

  it("asks for more the more are right, and none past what there may be", () => {
    const gate = free();
    const first = gate.wanted(fixed(usual), 100);
    for (let i = 0; i < 20; i++) gate.observed(4, 4);
    expect(gate.wanted(fixed(usual), 100)).toBeGreaterThan(first);
    expect(gate.wanted(fixed(usual), 1)).toBe(1);
  });

  it.each([
    ["proposals are wrong", (gate: DraftGate) => gate.observed(3, 0)],
    ["a proposal takes longer than a step", (gate: DraftGate) => gate.took(1, 20)],
  ])("tries ever more seldom while %s, and goes on when that ends", (_, bad) => {
    const gate = new DraftGate();
    gate.took(3, 3);
    for (let i = 0; i < 20; i++) bad(gate);
    const tries: number[] = [];
    for (let step = 0; step < 2000; step++) if (gate.wanted(fixed(usual, 10), 8) > 0) tries.push(step);
    const pauses = tries.map((at, i) => at - (tries[i - 1] ?? -1));
    expect(pauses.slice(0, 5)).toEqual([32, 64, 128, 256, 512]);
    for (let i = 0; i < 20; i++) {
      gate.observed(3, 3);
      gate.took(3, 3);
    }
    expect(gate.wanted(fixed(usual, 10), 8)).toBeGreaterThan(3);
  });
});

describe("an answer with a draft model", () => {
  it.each([0, 15, 60, 100])("is the answer without, with %d of 100 proposals wrong", async (wrong) => {
    for (const options of [
      {},
      { temperature: 0.5, seed: 3 },
      { frequencyPenalty: 200 },
      { stop: ["ab", "f"] },
      { ignoreEos: false },
    ]) {
      const asked = { ...on(80), ...options };
      const plain = fakeBackend({ chooses: false, maxTokens: 16 });
      const drafter = guessing(wrong);
      const drafting = drafted(drafter);
      const without = await collect(plain.session().generate([3, 1, 4, 1, 5], asked));
      const session = drafting.session();
      const found = await collect(session.generate([3, 1, 4, 1, 5], asked));
      expect([found.ids, found.text, found.finish.reason]).toEqual([without.ids, without.text, without.finish.reason]);
      const { accepted = 0 } = found.finish.speculation ?? {};
      expect(drafting.asked.length).toBe(plain.asked.length - accepted);
      if (found.ids.length > 40) expect(drafter.asked).toBeGreaterThan(0);
      if (wrong === 0 && !("temperature" in options || "frequencyPenalty" in options) && found.ids.length > 40)
        expect(accepted).toBeGreaterThan(30);
    }
  });

  it("is the same beside others, in a cache that has no room for all", async () => {
    const ask = fc.record({ seed: fc.nat(9), length: fc.integer({ min: 5, max: 40 }), temperature: fc.nat(1) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(ask, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 16, max: 40 }),
        fc.constantFrom(undefined, 6),
        async (asks, blocks, window) => {
          const room = { blocks, ...(window !== undefined && { window }) };
          const answers = async (backend: ReturnType<typeof fakeBackend>) => {
            const all = asks.map(({ seed, length, temperature }) =>
              collect(backend.session(60).generate([seed + 1, 2, 3, 1], { ...on(length), temperature, seed })),
            );
            return (await Promise.all(all)).map(({ ids }) => ids);
          };
          const plain = await answers(fakeBackend({ chooses: false, maxTokens: 16, ...room }));
          expect(await answers(drafted(guessing(20), room))).toEqual(plain);
        },
      ),
      { numRuns: 40 },
    );
  });

  it("drops what its own vocabulary has beyond the other one", async () => {
    const drafter = { ...guessing(0), propose: async () => [2, VOCAB + 5, 1] };
    const speculation = new Speculation(VOCAB, fixed(flat), { drafter });
    const text = [3, 1, 4];
    speculation.follow(text);
    await speculation.propose(text, 8);
    expect(speculation.draft(8)).toEqual([2]);
  });

  it("has no proposal for a text that went on without it", async () => {
    const speculation = new Speculation(VOCAB, fixed(flat), { drafter: guessing(0) });
    speculation.follow([3, 1, 4]);
    await speculation.propose([3, 1, 4], 8); // the step is then shared with others, and has no drafts
    speculation.follow([3, 1, 4, 1]);
    expect(speculation.draft(8)).toEqual([]);
  });

  it("has what the text itself says first, and no proposal for the last token", async () => {
    const drafter = guessing(0);
    const speculation = new Speculation(VOCAB, fixed(flat), { drafter });
    const text = Array.from({ length: 40 }, (_, i) => i % 4);
    for (let n = 1; n <= text.length; n++) speculation.follow(text.slice(0, n));
    await speculation.propose(text, 8);
    expect(speculation.draft(4)).toEqual([0, 1, 2]); // counts are 1, 2, 3, 5
    speculation.follow([...text, 9, 8]);
    await speculation.propose([...text, 9, 8], 0);
    expect(drafter.asked).toBe(0);
  });
});

/** A draft model over the fake backend. */
function draftModel(backend: ReturnType<typeof fakeBackend>, context = 200): DraftModel {
  const model = { stats: () => ({ context }), session: () => backend.session(context) };
  return new DraftModel("small", model as unknown as Model);
}

describe("a draft model's session", () => {
  it("follows the text, and goes back to where its proposal was wrong", async () => {
    const backend = fakeBackend({ chooses: false });
    const drafter = new Drafter(draftModel(backend));
    const text = [3, 1, 4, 1, 5];
    const first = await drafter.propose(text, 4);
    expect(first).toEqual((await collect(fakeBackend({ chooses: false }).session().generate(text, on(4)))).ids);
    const steps = backend.asked.length;
    const other = (first[2]! + 1) % VOCAB; // two were right
    const next = [...text, first[0]!, first[1]!, other];
    expect(await drafter.propose(next, 1)).toHaveLength(1);
    expect(backend.asked.slice(steps).map(({ positions }) => positions)).toEqual([[7]]);
  });

  it.each([
    ["has no room for the text", () => draftModel(fakeBackend({ chooses: false }), 6)],
    ["has no memory for it", () => draftModel(fakeBackend({ chooses: false, storeBlocks: 1 }))],
    [
      "fails",
      () =>
        draftModel(fakeBackend({ chooses: false, fails: () => ({ at: "submit", error: new MemoryError("full") }) })),
    ],
  ])("proposes nothing where it %s, and the answer comes without", async (_, make) => {
    const plain = fakeBackend({ chooses: false, maxTokens: 16 });
    const backend = drafted(new Drafter(make()));
    const prompt = [3, 1, 4, 1, 5];
    const { ids } = await collect(backend.session().generate(prompt, on(30)));
    expect(ids).toEqual((await collect(plain.session().generate(prompt, on(30)))).ids);
    expect(await new Drafter(make()).propose(prompt, 4)).toEqual([]);
  });

  it("an abort ends it with the answer, and closing gives its blocks back", async () => {
    const backend = fakeBackend({ chooses: false });
    const controller = new AbortController();
    const drafter = new Drafter(draftModel(backend));
    const proposing = drafter.propose([3, 1, 4], 30, controller.signal);
    controller.abort(new Error("enough"));
    await expect(proposing).rejects.toThrow("enough");
    await drafter.propose([3, 1, 4], 4);
    drafter.close();
    const { blocks, free, cached } = backend.pool.usage();
    expect(blocks - free - cached).toBe(0);
    expect(await drafter.propose([3, 1, 4], 4)).toEqual([]);
  });
});
