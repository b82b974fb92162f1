// On the CPU a token's values do not depend on what is computed beside it: so neither sharing a
// prefix nor sharing a step changes an answer by a bit.

import { describe, expect, it } from "vitest";
import { open } from "../../src/index.ts";
import { inRepo } from "../support/fixtures.ts";
import { collect } from "../support/pieces.ts";
import { some } from "../support/some.ts";

const ids = Array.from({ length: 41 }, (_, i) => (i === 0 ? 1 : 200 + 31 * i));

describe("rows of a step on the CPU", () => {
  it.each(some(["q4", "f32", "f16", "q8"] as const, 1))(
    "are the same whatever the chunks, bit for bit (%s)",
    async (weights) => {
      const seen: Float32Array[] = [];
      for (const chunk of [1, 3, 7, 64]) {
        const model = await open(inRepo("models/tales"), { backend: "cpu", weights, context: 64, chunk });
        seen.push(await model.logits(ids));
        await model.close();
      }
      for (const logits of seen.slice(1)) expect(logits).toEqual(seen[0]);
    },
  );

  it("give the same answer with a cached prefix as without, log probabilities and all", async () => {
    const model = await open(inRepo("models/tales"), { backend: "cpu", weights: "q4", context: 128 });
    const ask = async () => {
      const session = model.session();
      const logprobs: number[] = [];
      const options = { temperature: 0, maxTokens: 20, ignoreEos: true, logprobs: 0 };
      async function* noted() {
        for await (const piece of session.generate(ids, options)) {
          logprobs.push(...(piece.logprobs ?? []).map(({ logprob }) => logprob));
          yield piece;
        }
      }
      const { ids: found, finish } = await collect(noted());
      session.close();
      return { found, logprobs, cached: finish.cachedTokens };
    };
    const first = await ask();
    const second = await ask();
    expect([first.cached, second.cached]).toEqual([0, 32]);
    expect(second).toEqual({ ...first, cached: 32 });
    await model.close();
  });
});
