// Drafted tokens on WebGPU: the same tokens as without, with every way to choose them, on every mix
// of tiers; fewer submits than tokens, and fewer missing experts.

import { beforeAll, describe, expect, it, onTestFinished, vi } from "vitest";
import type { WebGpuOps } from "../../src/backend/webgpu/webgpu.ts";
import type { GenerateOptions, OpenOptions } from "../../src/engine/api.ts";
import type { Grammar } from "../../src/grammar/types.ts";
import { type Model, open } from "../../src/index.ts";
import { adapters, NO_ADAPTER, noAdapter, usualAdapters } from "../support/adapters.ts";
import { inRepo } from "../support/fixtures.ts";
import { collect } from "../support/pieces.ts";
import { shown, some } from "../support/some.ts";

// Drafts follow from the text alone, however long steps take here: as many as may be, or none.
const drafts = vi.hoisted(() => ({ on: true }));
vi.mock("../../src/engine/step_costs.ts", () => ({
  StepCosts: class {
    get one(): number | null {
      return drafts.on ? 1e9 : null;
    }
    note(): void {}
    relative(): number {
      return 1;
    }
  },
}));
const made = vi.hoisted(() => ({ last: null as unknown }));
vi.mock("../../src/backend/webgpu/webgpu.ts", async (original) => {
  const module = await original<typeof import("../../src/backend/webgpu/webgpu.ts")>();
  return {
    ...module,
    async createWebGpuOps(...args: Parameters<typeof module.createWebGpuOps>) {
      made.last = await module.createWebGpuOps(...args);
      return made.last;
    },
  };
});

const tales = inRepo("models/tales");
const prompt = "The fox went to the well, and the hare went to the well. ".repeat(3);
/** After it the model repeats itself. */
const story =
  "Once upon a time there was a fox who lived in the deep wood. One day the fox met a hare and said: give me your bread. The hare said: I have no bread, but I know where the baker lives. ";
const schema = {
  type: "object",
  properties: { names: { type: "array", items: { enum: ["the fox", "the hare"] }, minItems: 3, maxItems: 5 } },
  required: ["names"],
};

/** The options of a generation; a constraint comes from the model. */
type Ask = (model: Model) => Promise<{ readonly options: GenerateOptions; readonly grammar?: Grammar }>;
const asks: Readonly<Record<string, Ask>> = {
  greedy: async () => ({ options: { temperature: 0 } }),
  "temperature, top-k, top-p and min-p": async () => ({
    options: { temperature: 0.2, topK: 40, topP: 0.9, minP: 0.02 },
  }),
  "temperature alone": async () => ({ options: { temperature: 0.05 } }),
  "a top-k that only the host takes": async () => ({ options: { temperature: 0.2, topK: 300 } }),
  penalties: async () => ({
    options: { temperature: 0, repeatPenalty: 1.005, presencePenalty: 0.01, frequencyPenalty: 0.01 },
  }),
  "biases of tokens": async () => ({ options: { temperature: 0, logitBias: { 300: 2, 301: -3 } } }),
  "log probabilities": async () => ({ options: { temperature: 0, logprobs: 2 } }),
  "a stop text": async () => ({ options: { temperature: 0, stop: ["well, and the hare went to the well. The"] } }),
  "words that must not be written": async () => ({ options: { temperature: 0, badWords: ["hare"] } }),
  "a JSON schema": async (model) => ({
    options: { temperature: 0.7, ignoreEos: false },
    grammar: await model.grammars.jsonSchema(schema),
  }),
};

/** Experts that steps have used and that were in no slot. */
const missing = (model: Model): number =>
  (model.stats().experts?.main.layers ?? []).reduce((sum, { misses }) => sum + misses, 0);

/** Experts in slots, how many of a layer are kept in RAM, and whether all asks are tried. */
const TIERS = [
  ["half of the experts in slots, the others in RAM", { expertSlots: 4, ram: 2 ** 30 }, 8, true],
  ["two of eight in slots, some in RAM, all on disk", { expertSlots: 2, ram: 24 * 2 ** 20 }, 5, false],
] as const;
/** A few that differ most. */
const FEW = ["greedy", "temperature, top-k, top-p and min-p", "a stop text", "a JSON schema"];

describe.skipIf(noAdapter)(`drafts on webgpu${noAdapter ? `: ${NO_ADAPTER}` : ""}`, () => {
  if (adapters.length === 0) it("needs an adapter", () => Promise.reject(new Error(NO_ADAPTER)));

  describe.each(usualAdapters().map(({ name }) => name))("%s", (adapter) => {
    const opening = { backend: "webgpu", adapter, weights: "q4", context: 512 } as const;
    const opsOf = new WeakMap<Model, WebGpuOps>();
    async function opened(options: OpenOptions): Promise<Model> {
      const model = await open(tales, { ...opening, ...options });
      opsOf.set(model, made.last as WebGpuOps);
      return model;
    }
    let model: Model;
    beforeAll(async () => {
      model = await opened({ speculation: "lookup" });
      return () => model.close();
    });

    async function answer(of: Model, ask: Ask, on: boolean, text = prompt) {
      drafts.on = on;
      const { options, grammar } = await ask(of);
      const constraint = await grammar?.matcher();
      const session = of.session();
      try {
        const asked = { maxTokens: 40, seed: 11, ignoreEos: true, ...options, ...(constraint && { constraint }) };
        const ops = opsOf.get(of)!;
        const before = ops.counters();
        const missed = missing(of);
        const { ids, text: written, finish } = await collect(session.generate(text, asked));
        return {
          same: { ids, text: written, reason: finish.reason, stop: finish.stop },
          speculation: finish.speculation,
          missing: missing(of) - missed,
          submits: ops.counters().submits - before.submits,
          dispatches: ops.counters().dispatches - before.dispatches,
          bytesRead: ops.counters().bytesRead - before.bytesRead,
        };
      } finally {
        session.close();
        constraint?.close();
      }
    }

    it.each(some(Object.entries(asks), 2))("is the answer without: %s", async (name, ask) => {
      const without = await answer(model, ask, false);
      const found = await answer(model, ask, true);
      expect(found.same).toEqual(without.same);
      expect(without.speculation).toBeUndefined();
      // A drawn text may repeat itself only where steps are in flight.
      if (!/temperature|top-k/.test(name)) expect(found.speculation!.drafted).toBeGreaterThan(0);
    });

    it.each([
      ["held by a pattern", { maxTokens: 80, ignoreEos: false }, 1.5],
      // How many steps are in flight when a draft leads, and are used up, follows from time.
      ["free", { maxTokens: 120 }, 1],
    ] as const)(
      "takes fewer submits than tokens, and fewer dispatches, of a text that repeats itself: %s",
      async (_, options, least) => {
        const ask: Ask = async ({ grammars }) => ({
          options: { temperature: 0, ...options },
          ...("ignoreEos" in options && { grammar: await grammars.regex(story.trim().replaceAll(".", "\\.")) }),
        });
        const without = await answer(model, ask, false, story.repeat(3));
        const found = await answer(model, ask, true, story.repeat(3));
        expect(found.same).toEqual(without.same);
        expect(found.same.ids.length / found.submits).toBeGreaterThan(least);
        expect(found.submits).toBeLessThan(without.submits);
        expect(found.dispatches).toBeLessThan(without.dispatches);
        // Where the device chooses, a row of a step is four bytes: no logits are read.
        if (!("ignoreEos" in options)) expect(found.bytesRead).toBeLessThan(4 * 8 * found.submits);
      },
    );

    it.each(
      some(
        [
          ["half of them in slots", { expertSlots: 4, ram: 2 ** 30 }],
          ["all experts loaded", { ram: 2 ** 30 }],
        ] as const,
        1,
      ),
    )("is the answer without: of a draft model on the CPU, %s", async (_, tiers) => {
      const drafted = await opened({ ...tiers, draft: tales });
      onTestFinished(() => drafted.close());
      const text = "The wolf went down to the river.";
      for (const ask of [asks.greedy!, asks["temperature, top-k, top-p and min-p"]!]) {
        const without = await answer(drafted, ask, false, text);
        const found = await answer(drafted, ask, true, text);
        expect(found.same).toEqual(without.same);
        expect(found.speculation!.accepted).toBeGreaterThan(10);
        // Of a drawn text half of the guesses are wrong, and wrong ones ask for experts too.
        if (without.missing === 0 || ask !== asks.greedy) continue;
        expect(found.missing).toBeLessThan(0.75 * without.missing);
        // Routes and experts' rows are read, and no logits of drafted rows: the device chooses.
        expect(found.bytesRead).toBeLessThan(0.5 * without.bytesRead);
      }
    });

    it("drafts nothing where that is not asked for", async () => {
      const other = await opened({});
      const { speculation, noDrafts } = other.stats();
      expect([speculation, noDrafts]).toEqual([null, expect.stringMatching(/where --speculation lookup or --draft/)]);
      await other.close();
    });

    const kept = new Map<string, unknown>();
    /** What the model answers whose experts are all loaded, without drafts. */
    async function ofLoaded(name: string, ask: Ask): Promise<unknown> {
      if (!kept.has(name)) kept.set(name, (await answer(model, ask, false)).same);
      return kept.get(name);
    }

    describe.each(some(TIERS, 1))("%s", (_, tiers, inRam, all) => {
      let slotted: Model;
      beforeAll(async () => {
        slotted = await opened({ ...tiers, speculation: "lookup" });
        return () => slotted.close();
      });

      it.each(
        some(
          shown(Object.entries(asks), ([name]) => all || FEW.includes(name)),
          2,
        ),
      )("is the answer without, and that of experts loaded: %s", async (name, ask) => {
        const loaded = await ofLoaded(name, ask);
        const found = await answer(slotted, ask, true);
        expect(found.same).toEqual(loaded);
        expect((await answer(slotted, ask, false)).same).toEqual(loaded);
        if (!/temperature|top-k/.test(name)) expect(found.speculation!.drafted).toBeGreaterThan(0);
        const { ms, ram } = slotted.stats().experts!;
        expect(ms.hostCompute).toBe(0);
        expect(ram!.slots).toBe(inRam);
      });

      // With half in slots a draft model's guesses show it.
      it.skipIf(all)(
        "a step's guesses are orders for experts: what is missing is brought once for all of them",
        async () => {
          const ask: Ask = async ({ grammars }) => ({
            options: { temperature: 0, maxTokens: 80, ignoreEos: false },
            grammar: await grammars.regex(story.trim().replaceAll(".", "\\.")),
          });
          await answer(slotted, ask, false, story.repeat(3)); // so that both find what such a text leaves
          const found = await answer(slotted, ask, true, story.repeat(3));
          const without = await answer(slotted, ask, false, story.repeat(3));
          expect(found.same).toEqual(without.same);
          expect(found.missing).toBeLessThan(without.missing);
          expect(found.submits).toBeLessThan(without.submits);
          expect(found.speculation!.accepted).toBeGreaterThan(20);
        },
      );
    });
  });
});
