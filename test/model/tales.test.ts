// models/tales against its own reference (float32 PyTorch, confirmed by transformers): logits,
// experts, greedy text.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { argMax } from "../../src/engine/sampler.ts";
import { backends } from "../support/backends.ts";
import { inRepo } from "../support/fixtures.ts";
import { EVERYTHING } from "../support/level.ts";
import { loadFolder } from "../support/model.ts";

interface Prompt {
  prompt: string;
  ids: number[];
  last_logits: number[];
  top2_experts_last: number[][];
  greedy_ids: number[];
  greedy_gap_top1_top2: number[];
}

const folder = inRepo("models/tales");
const { prompts } = JSON.parse(readFileSync(`${folder}/reference.json`, "utf8")) as { prompts: Prompt[] };
/** Below this gap between the two best logits, rounding may decide which token comes first. */
const CERTAIN = 0.01;

describe.each(backends)("models/tales at f32: $name", ({ name, make }) => {
  it("has the reference's logits within 1e-3, its experts and its greedy tokens", async () => {
    const model = await loadFolder(folder, await make({ maxTokens: 64 }), "f32", "f32");
    const V = model.architecture.vocab;
    try {
      // On an adapter a prompt takes seconds: one shows as much as all, where not everything runs.
      for (const p of EVERYTHING || name === "cpu" ? prompts : prompts.slice(0, 1)) {
        const { logits, experts } = await model.run(p.ids);
        const last = logits.subarray((p.ids.length - 1) * V);
        const off = p.last_logits.map((value, i) => Math.abs(value - last[i]!));
        expect(Math.max(...off), p.prompt).toBeLessThan(1e-3);
        expect(
          experts.map((layer) => layer.at(-1)),
          p.prompt,
        ).toEqual(p.top2_experts_last);
        // Greedy decoding over a cache, one token a step, up to the first step that rounding may
        // decide (a few steps on software adapters, which take a third of a second for one) ...
        const unsure = p.greedy_gap_top1_top2.findIndex((gap) => gap <= CERTAIN);
        const certain = unsure < 0 ? p.greedy_ids.length : unsure;
        const free = name === "cpu" ? certain : Math.min(certain, 8);
        expect(await model.greedy(free), p.prompt).toEqual(p.greedy_ids.slice(0, free));
        // ... and every certain step of the 48, each after the reference's own tokens.
        const forced = await model.run([...p.ids, ...p.greedy_ids]);
        for (const [step, id] of p.greedy_ids.entries()) {
          if (p.greedy_gap_top1_top2[step]! <= CERTAIN) continue;
          const at = (p.ids.length - 1 + step) * V;
          expect(argMax(forced.logits.subarray(at, at + V)), `${p.prompt}: step ${step}`).toBe(id);
        }
      }
    } finally {
      model.close();
    }
  });
});
