// Tokens while experts are read ahead and given up, in turns of the trial: those of a model that
// has all experts in memory, from records that are packed once and from a GGUF file's blocks.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import type { ExpertStats } from "../../src/experts/stats.ts";
import { open } from "../../src/index.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";

/** Some turns of 16 with prefetching, and without. */
const TOKENS = 70;
const GGUF = inShared("fixtures/gguf/tales-Q4_K_M.gguf");

async function tokens(path: string, expertSlots: number) {
  const cache = mkdtempSync(join(tmpdir(), "hotset-ahead-"));
  onTestFinished(() => rmSync(cache, { recursive: true, force: true }));
  vi.stubEnv("HOTSET_CACHE", cache);
  onTestFinished(() => void vi.unstubAllEnvs());
  const model = await open(path, { backend: "cpu", context: 256, expertSlots });
  const ids: number[] = [];
  const text = "Once upon a time there was a miller who had three sons";
  for await (const piece of model.session().generate(text, { maxTokens: TOKENS, temperature: 0, ignoreEos: true }))
    ids.push(...piece.ids);
  const experts: ExpertStats | null = model.stats().experts;
  await model.close();
  return { ids, experts };
}

for (const [name, path, skip] of [
  ["models/tales", inRepo("models/tales"), null],
  ["a GGUF file", GGUF.path, GGUF.skip],
] as const) {
  it.skipIf(skip)(titled(`are the same with experts of ${name} read ahead`, skip), async () => {
    const { ids, experts } = await tokens(path, 3);
    expect(experts!.main.bytes.prefetch).toBeGreaterThan(experts!.recordBytes);
    expect(experts!.main.bytes.wasted).toBeLessThanOrEqual(experts!.main.bytes.prefetch);
    const all = await tokens(path, 8);
    expect(all.experts).toBeNull();
    expect(ids).toEqual(all.ids);
  });
}
