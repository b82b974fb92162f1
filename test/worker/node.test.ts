// openInWorker() in Node: the same tokens, from a thread that leaves the caller's free.

import { describe, expect, it } from "vitest";
import { HotsetError, open, openInWorker, WeightsError } from "../../src/index.ts";
import { inRepo } from "../support/fixtures.ts";

const OPTIONS = { backend: "cpu", weights: "q4", context: 256, threads: 1 } as const;
const GREEDY = { temperature: 0, maxTokens: 16 } as const;

describe("openInWorker() in Node", () => {
  it("gives open()'s tokens", async () => {
    const found: number[][] = [];
    for (const way of [open, openInWorker]) {
      const model = await way(inRepo("models/tales"), OPTIONS);
      const ids: number[] = [];
      for await (const piece of model.session().generate("Once upon a time", GREEDY)) ids.push(...piece.ids);
      found.push(ids);
      await model.close();
    }
    expect(found[0]).toHaveLength(GREEDY.maxTokens);
    expect(found[1]).toEqual(found[0]);
  });

  it("throws open()'s errors, for bad paths too", async () => {
    await expect(openInWorker(inRepo("models/none"), OPTIONS)).rejects.toBeInstanceOf(WeightsError);
    await expect(openInWorker("", OPTIONS)).rejects.toBeInstanceOf(HotsetError);
  });
});
