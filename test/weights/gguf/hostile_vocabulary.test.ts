// Vocabularies as no program writes them: an error that names what is wrong, or a tokenizer that
// works.

import fc from "fast-check";
import { expect, it } from "vitest";
import { WeightsError } from "../../../src/errors.ts";
import { openTokenizer, type Tokenizer } from "../../../src/tokenizer/tokenizer.ts";
import { folderOf, metadataOf, type Plain } from "./metadata.ts";

const token = fc.oneof(
  fc.constantFrom(
    "<s>",
    "</s>",
    "<unk>",
    "▁",
    "▁a",
    "a",
    "aa",
    "b",
    "ab",
    "Ġ",
    "Ġa",
    " ",
    "",
    "<0x41>",
    "<0xzz>",
    "[PAD7]",
  ),
  fc.string({ maxLength: 4, unit: "binary" }),
);
const bytes = Array.from({ length: 256 }, (_, i) => `<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`);
const rarely = <T>(usual: fc.Arbitrary<T>, rare: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 40, arbitrary: usual }, { weight: 1, arbitrary: rare });
const id = rarely(fc.nat(4), fc.constantFrom(9, -1, -2, 2 ** 32 - 1, 2 ** 31));
const numbers = (one: fc.Arbitrary<number>) => fc.array(one, { minLength: 1, maxLength: 12 });

const anyKeys = fc.record(
  {
    model: rarely(fc.constantFrom("llama", "gpt2"), fc.constantFrom("bert", "")),
    pre: rarely(fc.constantFrom("default", "qwen2", "llama-bpe", "deepseek-llm"), fc.constant("x")),
    tokens: rarely(fc.uniqueArray(token, { minLength: 5, maxLength: 12 }), fc.array(token, { maxLength: 12 })),
    byteTokens: fc.boolean(),
    scores: numbers(rarely(fc.integer({ min: -9, max: 0 }), fc.constantFrom(Number.NaN, -1000))),
    kinds: numbers(rarely(fc.constantFrom(1, 1, 1, 3, 4), fc.integer({ min: 0, max: 7 }))),
    merges: fc.array(
      rarely(
        fc.constantFrom("a a", "a b", "Ġ a"),
        fc.tuple(token, token).map((pair) => pair.join(" ")),
      ),
      { maxLength: 3 },
    ),
    bos_token_id: id,
    eos_token_id: id,
    eot_token_id: id,
    unknown_token_id: id,
    add_bos_token: fc.boolean(),
    add_space_prefix: fc.boolean(),
  },
  { requiredKeys: ["model", "tokens", "byteTokens"] },
);

/** Arrays are as long as the tokens most of the time. */
function entriesOf(keys: Record<string, unknown>, exact: boolean): Record<string, Plain> {
  const {
    tokens: own,
    byteTokens,
    scores,
    kinds,
    ...rest
  } = keys as {
    tokens: string[];
    byteTokens: boolean;
    scores?: number[];
    kinds?: number[];
  };
  const tokens = byteTokens ? [...own, ...bytes] : own;
  const length = (list: readonly number[]): number => (exact ? tokens.length : list.length);
  const named = Object.entries(rest as Record<string, Plain>).map(
    ([key, value]) => [`tokenizer.ggml.${key}`, value] as const,
  );
  const kindOf = (list: readonly number[], i: number): number => (i >= own.length ? 6 : list[i % list.length]!);
  return {
    ...Object.fromEntries(named),
    "tokenizer.ggml.tokens": tokens,
    ...(scores && {
      "tokenizer.ggml.scores": Float32Array.from(
        { length: length(scores) },
        (_, i) => scores[i % scores.length]! - (i % 5),
      ),
    }),
    ...(kinds && {
      "tokenizer.ggml.token_type": Int32Array.from({ length: length(kinds) }, (_, i) => kindOf(kinds, i)),
    }),
  };
}

it("any vocabulary is refused by name, or encodes and decodes", async () => {
  let opened = 0;
  const property = fc.asyncProperty(
    anyKeys,
    fc.integer({ min: 0, max: 9 }),
    fc.string({ unit: "binary" }),
    async (keys, n, text) => {
      let tokenizer: Tokenizer;
      try {
        tokenizer = await openTokenizer(folderOf(metadataOf(entriesOf(keys, n > 0))));
      } catch (error) {
        expect(error).toBeInstanceOf(WeightsError);
        expect((error as Error).message.length).toBeLessThan(1000);
        return;
      }
      opened++;
      for (const specialTokens of [false, true]) {
        const ids = tokenizer.encode(`${text} aab <s>`, { specialTokens });
        for (const id of ids) expect(id).toBeLessThan(tokenizer.vocabSize);
        expect(typeof tokenizer.decode(ids)).toBe("string");
      }
      for (let id = 0; id < tokenizer.vocabSize; id++) tokenizer.tokenText(id);
    },
  );
  await fc.assert(property, { numRuns: 500 });
  expect(opened).toBeGreaterThan(20);
});
