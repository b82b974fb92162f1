// Tokens that may not come: least lengths, lists of those allowed, and bad words as
// vLLM means them.

import { describe, expect, it } from "vitest";
import type { GenerateOptions } from "../../src/engine/api.ts";
import { createBans } from "../../src/engine/bans.ts";
import { RequestError } from "../../src/errors.ts";
import { EOS, expected, fakeBackend } from "../support/fake_backend.ts";
import { collect } from "../support/pieces.ts";

const VOCAB = 40;
/** A letter is a token; a word that follows a space is one other token. */
const encode = (text: string): number[] =>
  text.startsWith(" ") && text.length === 2
    ? [20 + text.charCodeAt(1) - 97]
    : Array.from(text, (c) => c.charCodeAt(0) - 97);

function left(options: GenerateOptions, generated: readonly number[], only?: readonly number[]): number[] {
  const mask = only?.reduce((bits, id) => {
    bits[id >> 5]! |= 1 << (id & 31);
    return bits;
  }, new Int32Array(2));
  const found = createBans(options, { vocab: VOCAB, ends: [2, 39], encode })!.mask(generated, mask ?? null);
  return Array.from({ length: VOCAB }, (_, id) => id).filter((id) => found[id >> 5]! & (1 << (id & 31)));
}
const all = (...without: number[]): number[] =>
  Array.from({ length: VOCAB }, (_, id) => id).filter((id) => !without.includes(id));

describe("tokens that may come", () => {
  it.each<[string, GenerateOptions, readonly number[], readonly number[] | undefined, readonly number[]]>([
    ["no end before the least length", { minTokens: 2 }, [5], undefined, all(2, 39)],
    ["an end after it", { minTokens: 2 }, [5, 6], undefined, all()],
    ["an end before it, where a constraint has nothing else", { minTokens: 2 }, [5], [2], [2]],
    ["no end before it, where a constraint has something else", { minTokens: 2 }, [5], [2, 7], [7]],
    ["those allowed", { allowedIds: [1, 35] }, [], undefined, [1, 35]],
    ["those allowed by both", { allowedIds: [1, 35] }, [], [35, 36], [35]],
    ["all but a word of one token, with and without a space", { badWords: ["d"] }, [], undefined, all(3, 23)],
    ["a space in front of the word makes no difference", { badWords: ["  d"] }, [], undefined, all(3, 23)],
    ["the last of a word's tokens after the others", { badWords: ["abc"] }, [9, 0, 1], undefined, all(2)],
    ["all of them before that", { badWords: ["abc"] }, [0], undefined, all()],
    ["all of them after something else", { badWords: ["abc"] }, [0, 0], undefined, all()],
    ["several words", { badWords: ["abc", "d"] }, [0, 1], undefined, all(2, 3, 23)],
  ])("%s", (_, options, generated, only, ids) => expect(left(options, generated, only)).toEqual(ids));

  it("nothing is banned where nothing asks for it", () => {
    expect(createBans({ stopIds: [1] }, { vocab: VOCAB, ends: [2], encode })).toBeNull();
  });

  it.each<[GenerateOptions, RegExp]>([
    [{ allowedIds: [] }, /at least one/],
    [{ allowedIds: [40] }, /0 to 39, found 40/],
    [{ badWords: [" "] }, /not empty/],
  ])("%j is refused", (options, message) => {
    expect(() => createBans(options, { vocab: VOCAB, ends: [], encode })).toThrow(message);
  });
});

describe("a generation", () => {
  const run = (options: GenerateOptions) => {
    const backend = fakeBackend();
    return collect(backend.session().generate([3, 4], { maxTokens: 12, ...options }));
  };

  it("ends at a stop id as at EOS, whether host or backend chooses, and past EOS as well", async () => {
    const free = expected([3, 4], 12, {}, false);
    const stop = free[4]!;
    const ids = free.slice(0, free.indexOf(stop) + 1);
    for (const more of [{}, { logprobs: 0 }, { ignoreEos: true }]) {
      const answer = await run({ stopIds: [stop], ...more });
      expect(answer.ids).toEqual(ids);
      expect(answer.finish).toMatchObject({ reason: "eos", completionTokens: ids.length });
    }
  });

  it("does not write tokens that are not allowed", async () => {
    const { ids } = await run({ allowedIds: [5, 6, EOS], minTokens: 12 });
    expect(ids).toHaveLength(12);
    expect(ids.every((id) => id === 5 || id === 6)).toBe(true);
  });

  it("takes no stop text for an end before its least length", async () => {
    const free = expected([3, 4], 12, {}, false).slice(0, 12);
    const letter = String.fromCharCode(97 + free[0]!);
    expect((await run({ stop: [letter] })).finish).toMatchObject({ reason: "stop", completionTokens: 1 });
    const { finish } = await run({ stop: [letter], minTokens: 6 });
    expect(finish.completionTokens).toBeGreaterThan(6);
  });

  it("of a least length beyond the most is refused", async () => {
    await expect(run({ minTokens: 13 })).rejects.toThrow(RequestError);
  });
});
