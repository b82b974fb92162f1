// A constraint in the generation loop: applied before everything else, ended by an end token,
// deterministic, never on the backend's own choosing.

import { describe, expect, it } from "vitest";
import { createSampler } from "../../src/engine/sampler.ts";
import { RequestError } from "../../src/errors.ts";
import type { Constraint } from "../../src/grammar/types.ts";
import { EOS, expected, fakeBackend, VOCAB } from "../support/fake_backend.ts";
import { collect } from "../support/pieces.ts";

/** Allows the tokens of one list after the other, then an end token only. */
function listed(lists: readonly (readonly number[])[], log: string[] = []): Constraint {
  let at = 0;
  return {
    async mask() {
      log.push(`mask ${at}`);
      return (lists[at] ?? [EOS]).reduce((mask, id) => {
        mask[id >> 5]! |= 1 << (id & 31);
        return mask;
      }, new Int32Array(1));
    },
    accept(id) {
      log.push(`accept ${id}`);
      if (!(lists[at] ?? [EOS]).includes(id)) throw new RequestError(`no ${id} here`);
      at++;
    },
    get ended() {
      return at > lists.length;
    },
    close() {},
  };
}

const run = (options: Parameters<ReturnType<ReturnType<typeof fakeBackend>["session"]>["generate"]>[1]) => {
  const backend = fakeBackend();
  return { backend, done: collect(backend.session().generate([3, 4], { maxTokens: 20, ...options })) };
};

describe("a constraint", () => {
  it("leaves one token where it allows one, and forces the end: reason eos", async () => {
    const constraint = listed([[5], [7], [5]]);
    const { backend, done } = run({ constraint });
    const { ids, finish } = await done;
    expect(ids).toEqual([5, 7, 5, EOS]);
    expect(finish).toMatchObject({ reason: "eos", completionTokens: 4 });
    expect(constraint.ended).toBe(true);
    expect(backend.shape).toMatch(/^l+$/); // the backend chose nothing
  });

  it("ends with length where maxTokens comes first", async () => {
    const constraint = listed([[5], [7], [5]]);
    const { finish, ids } = await run({ constraint, maxTokens: 2 }).done;
    expect(ids).toEqual([5, 7]);
    expect(finish.reason).toBe("length");
    expect(constraint.ended).toBe(false);
  });

  it("chooses the best of those allowed, as without one where all are", async () => {
    const all = Array.from({ length: VOCAB }, (_, id) => id);
    const free = expected([3, 4], 6, {}, false);
    const { ids } = await run({ constraint: listed(free.map(() => all)), maxTokens: 6 }).done;
    expect(ids).toEqual(free.slice(0, ids.length));
    const without = await run({ constraint: listed([all.filter((id) => id !== free[0])]), maxTokens: 1 }).done;
    expect(without.ids[0]).not.toBe(free[0]);
  });

  it("comes before biases and filters, and draws the same tokens for a seed", async () => {
    const lists = Array.from({ length: 12 }, () => [2, 5, 9]);
    const options = { temperature: 300, topK: 2, seed: 7, logitBias: { 1: 1e6, 5: 10 }, repeatPenalty: 1.1 };
    const first = await run({ ...options, constraint: listed(lists) }).done;
    const again = await run({ ...options, constraint: listed(lists) }).done;
    expect(again.ids).toEqual(first.ids);
    expect(first.ids.slice(0, 12).every((id) => [2, 5, 9].includes(id))).toBe(true);
    expect(new Set(first.ids.slice(0, 12)).size).toBeGreaterThan(1);
  });

  it("leaves log probabilities those of the model", async () => {
    const backend = fakeBackend();
    const plain: number[] = [];
    for await (const piece of backend.session().generate([3, 4], { maxTokens: 1, logprobs: 16 }))
      for (const { top } of piece.logprobs ?? []) plain.push(top.find(({ id }) => id === 5)!.logprob);
    const bound: number[] = [];
    const constraint = listed([[5]]);
    for await (const piece of backend.session().generate([3, 4], { maxTokens: 1, logprobs: 1, constraint }))
      for (const { id, logprob } of piece.logprobs ?? []) if (id === 5) bound.push(logprob);
    expect(bound).toEqual(plain);
  });

  it("is asked for each mask once, and told of each token before the next mask", async () => {
    const log: string[] = [];
    await run({ constraint: listed([[5], [7]], log) }).done;
    expect(log).toEqual(["mask 0", "accept 5", "mask 1", "accept 7", "mask 2", `accept ${EOS}`]);
  });

  it("computes the mask when the step has been handed to the backend", async () => {
    const backend = fakeBackend();
    const constraint = listed([[5], [7]]);
    const steps: number[] = [];
    const mask = () => {
      steps.push(backend.asked.length);
      return constraint.mask();
    };
    await collect(backend.session().generate([3, 4], { maxTokens: 3, constraint: { ...constraint, mask } }));
    expect(steps.slice(1)).toEqual([2, 3]); // the first waits for its blocks as well
  });

  it("that allows nothing is an error that says so, and so is ignoreEos beside one", async () => {
    await expect(run({ constraint: listed([[]]) }).done).rejects.toThrow(/allows no token/);
    await expect(run({ constraint: listed([]), ignoreEos: true }).done).rejects.toThrow(/ignoreEos/);
  });

  it("that fails rejects the generation, and an abort while the mask is computed does too", async () => {
    const broken = { ...listed([]), mask: async () => Promise.reject(new RequestError("broken grammar")) };
    await expect(run({ constraint: broken }).done).rejects.toThrow(/broken grammar/);
    const stop = new AbortController();
    const slow: Constraint = {
      ...listed([[5], [5], [5]]),
      ended: false,
      accept: () => stop.abort(),
    };
    await expect(run({ constraint: slow, signal: stop.signal }).done).rejects.toThrow(/abort/i);
  });
});

describe("a mask in the sampler", () => {
  it("bans what has no bit, ids beyond the mask too", () => {
    const sampler = createSampler({ seed: 1 }, 40, []);
    const logits = Float32Array.from({ length: 40 }, (_, id) => id);
    expect(sampler.next(logits)).toBe(39);
    expect(sampler.next(logits, Int32Array.of(1 << 31))).toBe(31);
    expect(sampler.next(logits, Int32Array.of(0, 1 << 3))).toBe(35);
    expect(() => sampler.next(logits, Int32Array.of(0))).toThrow(RequestError);
    expect([...logits]).toEqual(Array.from({ length: 40 }, (_, id) => id));
  });
});
