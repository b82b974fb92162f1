// Drafted tokens on models of many kinds: sliding windows, sinks, latents, odd heads, keys that
// depend on the length of the text, weights in blocks. A conversation of two turns that is saved
// between them has the same tokens with drafts as without.

import { describe, expect, it, onTestFinished, vi } from "vitest";
import type { GenerateOptions, OpenOptions, Piece } from "../../src/engine/api.ts";
import { type Model, open } from "../../src/index.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";
import { some } from "../support/some.ts";

// Drafts follow from the text alone, however long steps take here: as many as there may be.
vi.mock("../../src/engine/step_costs.ts", () => ({
  StepCosts: class {
    readonly one = 1e9;
    note(): void {}
    relative(): number {
      return 1;
    }
  },
}));

/** The path below test/fixtures, or of the shared fixtures; further options of both models. */
const CASES: readonly (readonly [string, OpenOptions])[] = [
  ["mixtral/bf16-odd-window-shards", { kv: "q8" }],
  ["mixtral/f32-all-experts", { kv: "f16", chunk: 3 }],
  ["dense/qwen2_moe", { kv: "q8" }],
  ["dense/gpt_oss_bare", { activations: "f32" }],
  ["dense/deepseek_v2", { kv: "q8", chunk: 4 }],
  ["dense/qwen3_moe_many", { weights: "q4" }],
];
const SHARED: typeof CASES = [
  ["families/gpt_oss-a", { kv: "q8" }],
  ["families/mixtral-dynamic-a", {}],
  ["families/phimoe-a", { kv: "f16" }],
  ["families/deepseek_v3-a", { expertSlots: 2 }],
  ["gguf/t2-Q4_K_M.gguf", { kv: "q8" }],
];
const ALL = [
  ...CASES.map(([name, more]) => ({ name, more, path: inRepo(`test/fixtures/${name}`), skip: null })),
  ...SHARED.map(([name, more]) => ({ name, more, ...inShared(`fixtures/${name}`) })),
];

const ASKS: readonly GenerateOptions[] = [
  { temperature: 0 },
  { temperature: 0.4, topP: 0.9, seed: 7 },
  { temperature: 0, repeatPenalty: 1.05, frequencyPenalty: 0.1, logprobs: 1 },
];

/** All that a generation gives, and how many tokens it drafted. */
async function read(pieces: AsyncIterable<Piece>) {
  const all: unknown[] = [];
  const ids: number[] = [];
  let drafted = 0;
  for await (const { finish, ...piece } of pieces) {
    all.push(piece, finish?.reason);
    ids.push(...piece.ids);
    drafted += finish?.speculation?.drafted ?? 0;
  }
  return { all, ids, drafted };
}

/** A conversation: what a model writes behind a text and behind more of it, saved in between. */
async function conversation(model: Model, options: GenerateOptions) {
  const prompt = Array.from({ length: 30 }, (_, i) => 3 + (((i % 5) * 7) % 40));
  const asked = { maxTokens: 40, ignoreEos: true, ...options };
  const first = model.session();
  const one = await read(first.generate(prompt, asked));
  const bytes = await first.save();
  first.close();
  const second = await model.restore(bytes);
  const two = await read(second.generate([...prompt, ...one.ids, 3, 10, 17], asked));
  second.close();
  return { pieces: [one.all, two.all], drafted: one.drafted + two.drafted };
}

describe("a conversation with drafts", () => {
  for (const { name, more, path, skip } of some(ALL, 5))
    it.skipIf(skip)(titled(`is the one without: ${name}`, skip), async () => {
      const opened = async (options: OpenOptions): Promise<Model> => {
        const model = await open(path, { backend: "cpu", threads: 1, context: 128, ...more, ...options });
        onTestFinished(() => model.close());
        return model;
      };
      const plain = await opened({ speculation: "off" });
      const drafting = await opened({ draft: path });
      for (const ask of ASKS) {
        const [wanted, found] = [await conversation(plain, ask), await conversation(drafting, ask)];
        expect(found.pieces).toEqual(wanted.pieces);
        expect([wanted.drafted, found.drafted > 0]).toEqual([0, true]);
      }
    });
});
