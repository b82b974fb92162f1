// Many clients at once of models/tales on the CPU: each gets the tokens that it gets alone.

import { describe, expect, it } from "vitest";
import { open } from "../../src/index.ts";
import { turn } from "../../src/turn.ts";
import { inRepo } from "../support/fixtures.ts";
import { collect } from "../support/pieces.ts";

describe("on models/tales", () => {
  it("16 clients at once get what each gets alone; one that stops frees its blocks within a step; all come back", async () => {
    const model = await open(inRepo("models/tales"), { backend: "cpu", weights: "q4", context: 256 });
    const prompts = Array.from({ length: 16 }, (_, c) =>
      Array.from({ length: 36 }, (_, i) => (i === 0 ? 1 : 300 + ((i * (c + 3)) % 1999))),
    );
    const options = { temperature: 0, maxTokens: 24, ignoreEos: true };
    const answer = async (prompt: readonly number[]) => {
      const session = model.session();
      const { ids } = await collect(session.generate(prompt, options));
      session.close();
      return ids;
    };
    const held = (): number => {
      const { blocks, free, cached } = model.stats().blocks;
      return blocks - free - cached;
    };
    const alone: number[][] = [];
    for (const prompt of prompts) alone.push(await answer(prompt));
    expect(held()).toBe(0);

    const together = Promise.all(prompts.map(answer));
    while (held() < 32) await turn(); // two blocks each
    const abort = new AbortController();
    const session = model.session();
    const steps = session.generate([1, 2, 3], { ...options, maxTokens: 200, signal: abort.signal });
    for (let i = 0; i < 5; i++) await steps.next();
    const waits = steps.next();
    expect(held()).toBe(33);
    abort.abort(new Error("left"));
    // The step under way may still give a token; there is no other.
    const more = async () => [(await waits).value!.ids, await steps.next()];
    await expect(more()).rejects.toThrow("left");
    session.close();
    expect(session.tokens).toEqual([]);
    expect(held()).toBe(32);
    expect(await together).toEqual(alone);
    expect(held()).toBe(0);
    expect(model.stats()).toMatchObject({ sessions: 0 });
    await model.close();
  });
});
