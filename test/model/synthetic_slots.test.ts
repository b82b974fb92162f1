// Families of many experts as synthetic models, with as many experts as published and small
// matrices: packed by `hotset quantize`, and the same greedy tokens with half of the experts.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { open, quantize } from "../../src/index.ts";
import { collect } from "../support/pieces.ts";
import { some } from "../support/some.ts";

const SMALL = "hidden_size=64&num_attention_heads=4&vocab_size=300";
const PROMPT = [1, 2, 3, 4, 5, 6, 7, 8];

it.each(
  some(
    [
      ["qwen3-30b-a3b", 128, "layers=1&head_dim=16&moe_intermediate_size=32"],
      ["gpt-oss-20b", 32, "layers=2&head_dim=16&num_key_value_heads=2&intermediate_size=64"],
      ["deepseek-v2-lite", 64, "layers=2&num_key_value_heads=4&intermediate_size=64&moe_intermediate_size=32"],
    ],
    1,
  ),
)("%s with half of its %i experts", async (name, experts, sizes) => {
  const folder = mkdtempSync(join(tmpdir(), "hotset-synthetic-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const packed = join(folder, "packed");
  await quantize(`synthetic:${name}?${sizes}&${SMALL}`, packed, { threads: 1 });
  const texts: string[] = [];
  for (const slots of [null, experts / 2]) {
    const options = { backend: "cpu", threads: 1, context: 64, ...(slots && { expertSlots: slots }) } as const;
    const model = await open(packed, options);
    try {
      const greedy = { maxTokens: 16, temperature: 0, ignoreEos: true };
      const { ids } = await collect(model.session().generate(PROMPT, greedy));
      texts.push(ids.join());
      expect(model.stats().experts?.main.slots).toBe(slots ?? undefined);
    } finally {
      await model.close();
    }
  }
  expect(texts[0]!.split(",")).toHaveLength(16);
  expect(texts[1]).toBe(texts[0]);
});
