// Drafted tokens on every mix of tiers that the CPU has: the same tokens as without, with every way
// to choose them, and fewer reads where experts lie on disk.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { GenerateOptions } from "../../src/engine/api.ts";
import type { Grammar } from "../../src/grammar/types.ts";
import { type Model, open } from "../../src/index.ts";
import { inRepo } from "../support/fixtures.ts";
import { collect } from "../support/pieces.ts";
import { some } from "../support/some.ts";

// Drafts follow from the text alone, however long steps take here. They are not free: those that
// are wrong ask for experts too.
vi.mock("../../src/engine/step_costs.ts", () => ({
  StepCosts: class {
    readonly one = 1;
    note(): void {}
    relative(tokens: number): number {
      return 1 + 0.1 * (tokens - 1);
    }
  },
}));

const line = "The fox went to the well, and the hare went to the well. ";
const prompt = line.repeat(4);
/** After it the model repeats itself. */
const story =
  "Once upon a time there was a fox who lived in the deep wood. One day the fox met a hare and said: give me your bread. The hare said: I have no bread, but I know where the baker lives. ";
const schema = {
  type: "object",
  properties: { names: { type: "array", items: { enum: ["the fox", "the hare"] }, minItems: 5, maxItems: 8 } },
  required: ["names"],
};

const TIERS = [
  ["all experts resident", {}],
  ["half of them, the others on disk", { expertSlots: 4 }],
  ["one of eight, the others on disk", { expertSlots: 1 }],
] as const;

/** The options of a generation; a constraint comes from the model. */
type Ask = (model: Model) => Promise<{ readonly options: GenerateOptions; readonly grammar?: Grammar }>;
const asks: Readonly<Record<string, Ask>> = {
  greedy: async () => ({ options: { temperature: 0 } }),
  "temperature, top-p and min-p": async () => ({ options: { temperature: 0.5, topP: 0.9, minP: 0.02 } }),
  "temperature and top-k": async () => ({ options: { temperature: 0.6, topK: 5 } }),
  penalties: async () => ({ options: { temperature: 0, repeatPenalty: 1.05, frequencyPenalty: 0.2 } }),
  "log probabilities": async () => ({ options: { temperature: 0, logprobs: 2 } }),
  "a stop text": async () => ({ options: { temperature: 0, stop: ["well, and the hare went to the well. The"] } }),
  "words that must not be written": async () => ({ options: { temperature: 0, badWords: ["hare"] } }),
  "a JSON schema": async (model) => ({
    options: { temperature: 0.7, ignoreEos: false },
    grammar: await model.grammars.jsonSchema(schema),
  }),
  "a pattern": async (model) => ({
    options: { temperature: 0, ignoreEos: false },
    grammar: await model.grammars.regex("(the (fox|hare) went to the (well|wood), ){6}"),
  }),
};

describe("an answer with drafts on tiers", () => {
  const caches = mkdtempSync(join(tmpdir(), "hotset-speculation-"));
  const opening = { backend: "cpu", weights: "q4", context: 256, threads: 1 } as const;
  const plain: Model[] = [];
  const drafting: Model[] = [];

  beforeAll(async () => {
    vi.stubEnv("HOTSET_CACHE", caches); // no scores of earlier runs
    for (const [, tiers] of TIERS) {
      plain.push(await open(inRepo("models/tales"), { ...opening, ...tiers, speculation: "off" }));
      drafting.push(await open(inRepo("models/tales"), { ...opening, ...tiers }));
    }
  });
  afterAll(async () => {
    vi.unstubAllEnvs();
    for (const model of [...plain, ...drafting]) await model.close();
    rmSync(caches, { recursive: true });
  });

  async function answer(model: Model, ask: Ask, text = prompt) {
    const { options, grammar } = await ask(model);
    const constraint = await grammar?.matcher();
    const session = model.session();
    try {
      const asked = { maxTokens: 48, seed: 11, ignoreEos: true, ...options, ...(constraint && { constraint }) };
      const { ids, text: written, finish } = await collect(session.generate(text, asked));
      return {
        same: { ids, text: written, reason: finish.reason, stop: finish.stop },
        speculation: finish.speculation,
      };
    } finally {
      session.close();
      constraint?.close();
    }
  }

  describe.each(TIERS.map(([name], at) => ({ name, at })))("$name", ({ at }) => {
    it.each(some(Object.entries(asks), 2))("is the answer without: %s", async (_, ask) => {
      const { same, speculation } = await answer(drafting[at]!, ask);
      expect(same).toEqual((await answer(plain[0]!, ask)).same);
      if (at > 0) expect(same).toEqual((await answer(plain[at]!, ask)).same);
      expect(speculation!.drafted).toBeGreaterThan(0);
    });
  });

  it("a step's guesses are orders for experts: what is missing is read once for all of them", async () => {
    const misses = (model: Model): number =>
      model.stats().experts!.main.layers.reduce((sum, layer) => sum + layer.misses, 0);
    const [off, on] = [plain[2]!, drafting[2]!];
    const before = [misses(off), misses(on)];
    const repeating: Ask = async () => ({ options: { temperature: 0, maxTokens: 80 } });
    const { speculation } = await answer(on, repeating, story.repeat(3));
    await answer(off, repeating, story.repeat(3));
    expect(speculation!.accepted).toBeGreaterThan(20);
    expect(misses(on) - before[1]!).toBeLessThan(misses(off) - before[0]!);
  });
});
