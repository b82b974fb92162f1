// Ids and texts of SentencePiece models against SentencePiece itself.

import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { inShared, titled } from "../support/fixtures.ts";
import {
  BYTE,
  message,
  piece,
  readJson,
  sentencePieceModel,
  TALES_MODEL,
  talesFromJson,
  talesFromModel,
  tokenizerOf,
  UNUSED,
  USER_DEFINED,
} from "./support.ts";

interface Table {
  readonly encode: readonly { readonly text: string; readonly ids: readonly number[]; readonly decoded: string }[];
  readonly decode: readonly { readonly ids: readonly number[]; readonly text: string }[];
}
const table = readJson<Table>("test/fixtures/tokenizer/sentencepiece.json");

function lines<T>(path: string): T[] {
  const text = readFileSync(path, "utf8").trim();
  return text.split("\n").map((line) => JSON.parse(line) as T);
}

const sources: readonly (readonly [string, Tokenizer])[] = [
  ["tokenizer.model", talesFromModel],
  ["tokenizer.json", talesFromJson],
];
describe.each(sources)("models/tales from %s", (_, tokenizer) => {
  it.each(table.encode)("encodes $text", ({ text, ids, decoded }) => {
    expect(tokenizer.encode(text, { addBos: false })).toEqual(ids);
    expect(tokenizer.decode(ids)).toBe(decoded);
  });

  it.each(table.decode)("decodes $ids", ({ ids, text }) => {
    expect(tokenizer.decode(ids)).toBe(text);
  });

  it("is Mistral's: BOS 1 in front, EOS 2, 4,096 ids", () => {
    const { vocabSize, bosId, eosIds, addBos } = tokenizer;
    expect({ vocabSize, bosId, eosIds, addBos }).toEqual({ vocabSize: 4096, bosId: 1, eosIds: [2], addBos: true });
    expect(tokenizer.encode("")).toEqual([1]);
    expect(tokenizer.encode("", { addBos: false })).toEqual([]);
  });

  it("encodes the prompts of models/tales/reference.json, and decodes its continuations", () => {
    type Prompt = { prompt: string; ids: number[]; greedy_ids: number[]; greedy_text: string };
    const { prompts } = readJson<{ prompts: Prompt[] }>("models/tales/reference.json");
    expect(prompts.map(({ prompt }) => tokenizer.encode(prompt))).toEqual(prompts.map(({ ids }) => ids));
    expect(prompts.map((p) => tokenizer.decode(p.greedy_ids))).toEqual(prompts.map((p) => p.greedy_text));
  });
});

it("both files of models/tales give the same ids for any text", () => {
  const part = fc.oneof(
    fc.constantFrom(" ", "▁", "e", "t", "\n", "<", "/s>"),
    fc.string({ unit: "binary", maxLength: 2 }),
  );
  const text = fc.array(part).map((parts) => parts.join(""));
  fc.assert(
    fc.property(text, (text) => {
      expect(talesFromModel.encode(text)).toEqual(talesFromJson.encode(text));
    }),
  );
});

describe.each(["mistral-v1", "mistral-v3"])("%s", (name) => {
  const model = inShared(`fixtures/tokenizers/${name}/tokenizer.model`);
  const expected = inShared(`fixtures/tokenizers/${name}/expected.jsonl`);
  it.skipIf(expected.skip !== null)(
    titled("encodes and decodes every line of expected.jsonl", expected.skip),
    async () => {
      const tokenizer = await tokenizerOf({ "tokenizer.model": readFileSync(model.path) });
      const cases = lines<{ text: string; ids: number[]; decoded: string }>(expected.path);
      expect(cases.length).toBe(70);
      for (const { text, ids, decoded } of cases) {
        expect(tokenizer.encode(text, { addBos: false }), JSON.stringify(text)).toEqual(ids);
        expect(tokenizer.decode(ids)).toBe(decoded);
      }
    },
  );
});

const decoding = inShared("fixtures/tokenizers/mistral-v1/decode-expected.jsonl");
it.skipIf(decoding.skip !== null)(
  titled("mistral-v1 decodes every prefix of decode-expected.jsonl", decoding.skip),
  async () => {
    const { path } = inShared("fixtures/tokenizers/mistral-v1/tokenizer.model");
    const tokenizer = await tokenizerOf({ "tokenizer.model": readFileSync(path) });
    for (const { ids, text, prefixes } of lines<{ ids: number[]; text: string; prefixes: string[] }>(decoding.path)) {
      expect(tokenizer.decode(ids)).toBe(text);
      expect(ids.map((_, i) => tokenizer.decode(ids.slice(0, i + 1)))).toEqual(prefixes);
      const stream = tokenizer.stream();
      let shown = "";
      for (const id of ids) {
        shown += stream.push(id);
        expect(text.startsWith(shown)).toBe(true);
      }
      expect(shown + stream.end()).toBe(text);
    }
  },
);

const book = inShared("fixtures/perplexity/tales-valid.txt");
it.skipIf(book.skip !== null)(titled("the held-out text of models/tales comes back whole", book.skip), () => {
  const text = readFileSync(book.path, "utf8");
  const ids = talesFromModel.encode(text, { addBos: false });
  expect(talesFromModel.decode(ids)).toBe(text);
  expect(talesFromJson.encode(text, { addBos: false })).toEqual(ids);
});

it("encodes long input of any kind", () => {
  for (const unit of ["a", " ", "ab", " the", "😂", "\n", "</s>"]) {
    const text = unit.repeat(50_000);
    expect(talesFromModel.decode(talesFromModel.encode(text))).toBe(text);
  }
});

describe("rules of a small model", () => {
  it("equal scores merge from the left, whichever pair they come from", async () => {
    // aaa could be a+aa or aa+a: SentencePiece takes the leftmost pair of equal score.
    const pieces = [piece("▁"), piece("a"), piece("aa", -1), piece("aaa", -1)];
    const model = await tokenizerOf({ "tokenizer.model": sentencePieceModel({ pieces }) });
    const spelled = model.encode("aaaaa", { addBos: false }).map((id) => model.idToPiece(id));
    expect(spelled).toEqual(["▁", "aaa", "aa"]);
  });

  it("user-defined pieces are found in plain text; control pieces are not", async () => {
    const pieces = [piece("▁"), piece("<"), piece("s"), piece(">"), piece("<s>x", 0, USER_DEFINED)];
    const model = await tokenizerOf({ "tokenizer.model": sentencePieceModel({ pieces }) });
    expect(model.encode("<s><s>x", { addBos: false })).toEqual([3, 4, 5, 6, 7]);
    expect(model.encode("<s>", { addBos: false, specialTokens: true })).toEqual([1]);
    expect(model.decode([1, 3, 4, 7, 2])).toBe("<<s>x");
    expect(model.decode([1, 4, 2], { skipSpecialTokens: false })).toBe("<s><</s>");
  });

  it("without byte fallback, unknown characters in a row are one <unk>", async () => {
    const model = await tokenizerOf({ "tokenizer.model": sentencePieceModel({}) });
    expect(model.encode("axyzax", { addBos: false })).toEqual([3, 4, 0, 4, 0]);
  });

  it("takes BOS, EOS and added tokens from the files beside it", async () => {
    const model = await tokenizerOf({
      "tokenizer.model": sentencePieceModel({}),
      "added_tokens.json": { "<|im_end|>": 5 },
      "tokenizer_config.json": { add_bos_token: false, eos_token: { content: "<|im_end|>" } },
    });
    const { vocabSize, bosId, eosIds, addBos } = model;
    expect({ vocabSize, bosId, eosIds, addBos }).toEqual({ vocabSize: 6, bosId: 1, eosIds: [5], addBos: false });
    expect(model.encode("a<|im_end|>", { specialTokens: true })).toEqual([3, 4, 5]);
  });

  it.each([
    [undefined, [3, 4, 2, 3, 4]],
    [true, [3, 4, 2, 3, 4]],
    [false, [3, 4, 2, 4]],
  ])("with legacy %s, the space in front is put as transformers does", async (legacy, ids) => {
    const model = await tokenizerOf({
      "tokenizer.model": sentencePieceModel({}),
      "tokenizer_config.json": { legacy },
    });
    expect(model.encode("a</s>a", { addBos: false, specialTokens: true })).toEqual(ids);
  });
});

const bytes = Array.from({ length: 256 }, (_, i) =>
  piece(`<0x${i.toString(16).toUpperCase().padStart(2, "0")}>`, 0, BYTE),
);
const identity = [1, "identity"] as const;
describe("a file that cannot be used is refused by name", () => {
  it.each<[string, Uint8Array, RegExp]>([
    ["nothing in it", new Uint8Array(0), /expected pieces, found none/],
    ["no protobuf", new TextEncoder().encode("IQ== 0\nIg== 1\n"), /expected pieces, found none/],
    ["cut short", TALES_MODEL.slice(0, 30_000), /byte \d+: expected a SentencePiece model.*complete/],
    ["a length of 2^60", Uint8Array.of(0x0a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10), /where 0 are left/],
    ["a varint without end", new Uint8Array(20).fill(0xff), /longer than 10 bytes/],
    ["a piece that is not UTF-8", message([1, message([1, Uint8Array.of(0xff)])]), /not UTF-8/],
    ["an empty piece", message([1, message([2, { float: 1 }])]), /an empty piece/],
    ["a piece of type 9", message([1, piece("a", 0, 9)]), /unknown type 9/],
    ["a score that is NaN", message([1, piece("a", Number.NaN)]), /"a" with score NaN/],
    ["a piece twice", sentencePieceModel({ pieces: [piece("a"), piece("a")] }), /pieces 3 and 4 are both "a"/],
    ["an unused piece", sentencePieceModel({ pieces: [piece("a", 0, UNUSED)] }), /piece 3: pieces of type UNUSED/],
    ["a huge piece", sentencePieceModel({ pieces: [piece("a".repeat(257))] }), /piece 3: expected at most 256/],
    ["a unigram model", sentencePieceModel({ trainer: message([3, 1]) }), /model_type 1 \(unigram\)/],
    ["nmt_nfkc", sentencePieceModel({ normalizer: message([1, "nmt_nfkc"], [2, "x"], [4, 0]) }), /found "nmt_nfkc"/],
    ["spaces removed", sentencePieceModel({ normalizer: message(identity, [4, 1]) }), /remove_extra_whitespaces/],
    ["spaces kept", sentencePieceModel({ normalizer: message(identity, [4, 0], [5, 0]) }), /escape_whitespaces/],
    ["spaces as suffix", sentencePieceModel({ trainer: message([3, 2], [24, 1]) }), /treat_whitespace_as_suffix/],
    ["a missing byte", sentencePieceModel({ pieces: bytes.slice(1), trainer: message([3, 2], [35, 1]) }), /found 255/],
    ["a wrong byte", sentencePieceModel({ pieces: [piece("<0xag>", 0, BYTE)] }), /expected a byte such as/],
  ])("%s", async (_, model, expected) => {
    const opened = tokenizerOf({ "tokenizer.model": model });
    await expect(opened).rejects.toThrow(WeightsError);
    await expect(opened).rejects.toThrow(expected);
  });

  it("a mutated file is read or refused, and never crashes", async () => {
    const small = sentencePieceModel({ pieces: [...bytes.slice(0, 3), piece("▁"), piece("a"), piece("▁a", -1)] });
    const mutation = fc.array(fc.tuple(fc.nat(small.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(mutation, fc.nat(small.length), async (changes, end) => {
        const model = small.slice(0, end || small.length);
        for (const [at, byte] of changes) if (at < model.length) model[at] = byte;
        try {
          const tokenizer = await tokenizerOf({ "tokenizer.model": model });
          tokenizer.decode(tokenizer.encode("a a </s>"));
        } catch (error) {
          expect(error).toBeInstanceOf(WeightsError);
        }
      }),
      { numRuns: 300 },
    );
  });
});
