// Whole models whose RoPE depends on the length of the text, through sessions: what they write is
// what transformers writes, also saved and restored, beside other texts, and past the limit at
// which a text is read again.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Model } from "../../src/engine/model.ts";
import { argMax } from "../../src/engine/sampler.ts";
import { open } from "../../src/index.ts";
import { backends } from "../support/backends.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { collect } from "../support/pieces.ts";

interface Case {
  readonly prompt_ids: number[];
  readonly greedy_ids: number[];
  readonly greedy_ids_cached?: number[];
}

const FOLDERS = ["mixtral-dynamic-a", "phimoe-a"].map((name) => ({ name, ...inShared(`fixtures/families/${name}`) }));
const EXACT = { weights: "f32", kv: "f32", activations: "f32", chunk: 32, context: 256 } as const;
const greedily = (maxTokens: number) => ({ maxTokens, temperature: 0, ignoreEos: true });

describe.each(FOLDERS)("$name", ({ name, path, skip }) => {
  const cases = (): Case[] => JSON.parse(readFileSync(`${path}/expected.json`, "utf8")).cases;
  const opened = async (options: object, use: (model: Model) => Promise<void>) => {
    const model = await open(path, { ...options, ...EXACT });
    try {
      await use(model);
    } finally {
      await model.close();
    }
  };

  it.skipIf(skip).each(backends)(titled("sessions together write transformers' tokens: $name", skip), ({ options }) =>
    opened(options, async (model) => {
      const answers = cases().map(async ({ prompt_ids, greedy_ids, greedy_ids_cached: wanted = greedy_ids }) => {
        const session = model.session();
        const half = Math.floor(wanted.length / 2);
        const { ids } = await collect(session.generate(prompt_ids, greedily(half)));
        expect(ids).toEqual(wanted.slice(0, half));
        return session;
      });
      const sessions = await Promise.all(answers);
      for (const [i, { prompt_ids, greedy_ids }] of cases().entries()) {
        // what follows is a longer prompt, which turns as a whole
        const restored = await model.restore(await sessions[i]!.save());
        const text = [...prompt_ids, ...greedy_ids.slice(0, 12)];
        const { ids } = await collect(restored.generate(text, greedily(1)));
        expect(ids, `prompt ${i}`).toEqual([greedy_ids[12]]);
        restored.close();
      }
    }),
  );

  if (name !== "phimoe-a") return; // dynamic scaling reads no text again
  it.skipIf(skip).each(backends)(
    titled("a text that outgrows the short factors goes on with the long ones: $name", skip),
    ({ options }) =>
      opened(options, async (model) => {
        const text = cases()[2]!.prompt_ids.slice(0, 60);
        const { ids } = await collect(model.session().generate(text, greedily(8)));
        const whole = [...text, ...ids];
        // As the whole text is read at once: up to 64 tokens by the short factors.
        for (let n = text.length; n < whole.length; n++) {
          const logits = await model.logits(whole.slice(0, n));
          expect(argMax(logits.subarray(-model.architecture.vocab)), `after ${n}`).toBe(whole[n]);
        }
      }),
  );
});
