// tokenizer.json in its many forms, against the Rust implementation that defines it.

import { Tokenizer as Library } from "@huggingface/tokenizers";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { readJson, TALES_JSON, talesFromJson, tokenizerOf } from "./support.ts";

interface Variants {
  readonly variants: readonly {
    readonly name: string;
    readonly patch: object;
    readonly cases: readonly { text: string; plain: number[]; special: number[]; decoded: string }[];
  }[];
}
const { variants } = readJson<Variants>("test/fixtures/tokenizer/rust_tokenizers.json");
type Json = Readonly<Record<string, unknown>>;
const tales = JSON.parse(TALES_JSON) as Json;

describe.each(variants)("$name", ({ patch, cases }) => {
  const opened = tokenizerOf({ "tokenizer.json": { ...tales, ...patch } });
  it.each(cases)("$text", async ({ text, plain, special, decoded }) => {
    const tokenizer = await opened;
    expect(tokenizer.encode(text, { addBos: false })).toEqual(plain);
    expect(tokenizer.encode(text, { addBos: false, specialTokens: true })).toEqual(special);
    expect(tokenizer.decode(special)).toBe(decoded);
  });
});

it("agrees with the JavaScript library on text without control tokens", () => {
  const library = new Library(tales, {});
  const unit = fc.oneof(
    fc.constantFrom(" ", "the", "\n", "e"),
    fc.string({ unit: "grapheme", minLength: 1, maxLength: 1 }),
  );
  fc.assert(
    fc.property(fc.string({ unit }), (text) => {
      fc.pre(!text.includes("<"));
      expect(talesFromJson.encode(text)).toEqual(library.encode(text).ids);
    }),
  );
});

/** A small model of characters and the merges given. */
function small(model: Json, rest: Json = {}): Json {
  return { added_tokens: [], normalizer: null, pre_tokenizer: null, decoder: null, model, ...rest };
}
const added = (id: unknown, content: unknown, special = true, more: Json = {}): Json => ({
  id,
  content,
  special,
  ...more,
});
const vocab = { "<": 0, s: 1, ">": 2, "<s": 3, "<s>": 4 };
const merges = ["< s", "<s >"];

describe("control tokens in text", () => {
  const file = small({ type: "BPE", vocab, merges }, { added_tokens: [added(4, "<s>")] });

  it("are not built by merges either", async () => {
    const tokenizer = await tokenizerOf({ "tokenizer.json": file });
    expect(tokenizer.encode("<s><s", {})).toEqual([3, 2, 3]);
    expect(tokenizer.encode("<s><s", { specialTokens: true })).toEqual([4, 3]);
    expect([tokenizer.isSpecial(4), tokenizer.isSpecial(3)]).toEqual([true, false]);
  });

  it("are not whole words either", async () => {
    const model = { type: "BPE", vocab, merges: ["< s"], ignore_merges: true };
    const tokenizer = await tokenizerOf({ "tokenizer.json": { ...file, model } });
    expect(tokenizer.encode("<s>")).toEqual([3, 2]);
  });
});

describe("BOS and EOS", () => {
  const template = (token: string): Json => ({ type: "TemplateProcessing", single: [{ SpecialToken: { id: token } }] });
  const sequence = { type: "Sequence", processors: [{ type: "ByteLevel" }, template("<s>")] };
  const file = small({ type: "BPE", vocab, merges }, { added_tokens: [added(4, "<s>"), added(5, "</s>")] });
  it.each<[string, Json, Json, { bosId: number | null; eosIds: number[]; addBos: boolean }]>([
    ["nothing said", {}, {}, { bosId: null, eosIds: [], addBos: false }],
    ["a template", { post_processor: template("<s>") }, {}, { bosId: 4, eosIds: [], addBos: true }],
    ["a template in a sequence", { post_processor: sequence }, {}, { bosId: 4, eosIds: [], addBos: true }],
    ["a config", {}, { bos_token: "<s>", eos_token: "</s>" }, { bosId: 4, eosIds: [5], addBos: false }],
    ["add_bos_token", {}, { bos_token: "<s>", add_bos_token: true }, { bosId: 4, eosIds: [], addBos: true }],
    [
      "a config against a template",
      { post_processor: template("<s>") },
      { add_bos_token: false },
      { bosId: 4, eosIds: [], addBos: false },
    ],
    [
      "a token that is not there",
      {},
      { bos_token: "<x>", add_bos_token: true },
      { bosId: null, eosIds: [], addBos: false },
    ],
  ])("%s", async (_, patch, config, expected) => {
    const { bosId, eosIds, addBos } = await tokenizerOf({
      "tokenizer.json": { ...file, ...patch },
      "tokenizer_config.json": config,
    });
    expect({ bosId, eosIds, addBos }).toEqual(expected);
  });
});

describe("a file that cannot be used is refused by name", () => {
  const bpe = { type: "BPE", vocab, merges };
  const levels = 20_000;
  const nested = `${'{"type":"Sequence","decoders":['.repeat(levels)}${"]}".repeat(levels)}}`;
  const metaspace = { type: "Metaspace", prepend_scheme: "always" };
  it.each<[string, unknown, RegExp]>([
    ["no JSON", "{", /tokenizer\.json is not valid JSON/],
    ["no object", "[]", /expected a JSON object, found \[\]/],
    ["no UTF-8", Uint8Array.of(0x22, 0xff, 0x22), /is not valid UTF-8/],
    ["endless nesting", `{"model":{"type":"BPE","vocab":{"a":0}},"decoder":${nested}`, /nested too deeply/],
    ["no model", {}, /expected type "BPE", found undefined/],
    ["Unigram", small({ type: "Unigram", vocab: [["a", 0]] }), /found "Unigram"/],
    ["no vocabulary", small({ type: "BPE", vocab: {}, merges: [] }), /expected pieces and their ids, found none/],
    ["an id twice", small({ ...bpe, vocab: { a: 0, b: 0 }, merges: [] }), /"a" and "b" have the same id 0/],
    ["an id beyond reason", small({ ...bpe, vocab: { a: 1e9 }, merges: [] }), /\["a"\]: expected an id below/],
    ["a negative id", small({ ...bpe, vocab: { a: -1 }, merges: [] }), /found -1/],
    ["an id that is no number", small({ ...bpe, vocab: { a: "1" }, merges: [] }), /found "1"/],
    ["merges that are no list", small({ ...bpe, merges: {} }), /model\.merges: expected a list/],
    ["a merge of three", small({ ...bpe, merges: ["< s >"] }), /merges\[0\]: expected two pieces, found "< s >"/],
    ["a merge of numbers", small({ ...bpe, merges: [[0, 1]] }), /merges\[0\]: expected two pieces/],
    ["a merge of unknown pieces", small({ ...bpe, merges: ["< s", "x s"] }), /merges\[1\]: "x" is not in model\.vocab/],
    ["a merge into nothing", small({ ...bpe, merges: ["s >"] }), /merges\[0\]: "s>" is not in model\.vocab/],
    ["a word suffix", small({ ...bpe, end_of_word_suffix: "</w>" }), /end_of_word_suffix "<\/w>" is not supported/],
    ["added tokens without id", small(bpe, { added_tokens: [added(undefined, "x")] }), /added tokens: expected an id/],
    [
      "an added id beyond reason",
      small(bpe, { added_tokens: [added(2 ** 40, "x")] }),
      /added tokens: expected an id below/,
    ],
    ["single_word", small(bpe, { added_tokens: [added(9, "x", true, { single_word: true })] }), /"single_word"/],
    ["an unknown normalizer", small(bpe, { normalizer: { type: "Magic" } }), /normalizer or pre_tokenizer: .*Magic/],
    [
      "an unknown pre-tokenizer",
      small(bpe, { pre_tokenizer: { type: "Magic" } }),
      /normalizer or pre_tokenizer: .*Magic/,
    ],
    [
      "a bad pattern",
      small(bpe, { pre_tokenizer: { type: "Split", pattern: { Regex: "(" }, behavior: "Isolated" } }),
      /pre_tokenizer/,
    ],
    [
      "a Split of another kind",
      small(bpe, { pre_tokenizer: { type: "Split", behavior: "MergedWithNext" } }),
      /"MergedWithNext"/,
    ],
    [
      "a Split without a pattern",
      small(bpe, { pre_tokenizer: { type: "Split", pattern: {}, behavior: "Isolated" } }),
      /pre_tokenizer Split: expected a pattern .*, found \{\}/,
    ],
    [
      "a Replace without a pattern, in a row",
      small(bpe, { normalizer: { type: "Sequence", normalizers: [{ type: "Replace", pattern: "x", content: "" }] } }),
      /normalizer Replace: expected a pattern .*, found "x"/,
    ],
    ["an added token of a megabyte", small(bpe, { added_tokens: [added(9, "x".repeat(1e6))] }), /found 1000000/],
    [
      "added tokens of many megabytes in all",
      small(bpe, { added_tokens: Array.from({ length: 1100 }, (_, i) => added(9 + i, `${i}`.padEnd(4000, "x"))) }),
      /in all, found 4400000/,
    ],
    ["another space mark", small(bpe, { pre_tokenizer: { ...metaspace, replacement: "_" } }), /replacement "_"/],
    [
      "Metaspace in a row",
      small(bpe, { pre_tokenizer: { type: "Sequence", pretokenizers: [metaspace, { type: "Digits" }] } }),
      /in a row/,
    ],
    [
      "an unknown decoder",
      small(bpe, { decoder: { type: "WordPiece", prefix: "##" } }),
      /decoder .*WordPiece.*not supported/,
    ],
  ])("%s", async (_, file, expected) => {
    const opened = tokenizerOf({ "tokenizer.json": file });
    await expect(opened).rejects.toThrow(WeightsError);
    await expect(opened).rejects.toThrow(expected);
  });
});

it("a normalizer that doubles the text again and again is stopped", async () => {
  const double = { type: "Replace", pattern: { String: "a" }, content: "aa" };
  const tokenizer = await tokenizerOf({
    "tokenizer.json": small(
      { type: "BPE", vocab, merges },
      { normalizer: { type: "Sequence", normalizers: Array(60).fill(double) } },
    ),
  });
  expect(() => tokenizer.encode("a")).toThrow(/normalizer or pre_tokenizer: 1 characters became 8192/);
});
