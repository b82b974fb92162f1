// models/tales against its own reference (float32 PyTorch, confirmed by transformers): logits, experts, greedy text.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { backends } from "../support/backends.ts";
import { inRepo } from "../support/fixtures.ts";
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

describe.each(backends)("models/tales at f32: $name", ({ make }) => {
  it("has the reference's logits within 1e-3, its experts and its greedy tokens", async () => {
    const model = await loadFolder(folder, await make({ maxTokens: 64 }), "f32", "f32");
    try {
      for (const p of prompts) {
        const { logits, experts } = await model.run(p.ids);
        const last = logits.subarray((p.ids.length - 1) * model.config.vocab_size);
        const off = p.last_logits.map((value, i) => Math.abs(value - last[i]!));
        expect(Math.max(...off), p.prompt).toBeLessThan(1e-3);
        expect(
          experts.map((layer) => layer.at(-1)),
          p.prompt,
        ).toEqual(p.top2_experts_last);
        const unsure = p.greedy_gap_top1_top2.findIndex((gap) => gap <= CERTAIN);
        const certain = unsure < 0 ? p.greedy_ids.length : unsure;
        expect(certain, p.prompt).toBeGreaterThan(8);
        expect(await model.greedy(p.ids, certain), p.prompt).toEqual(p.greedy_ids.slice(0, certain));
      }
    } finally {
      model.close();
    }
  });
});
