// OpenAI's encodings from gpt-tokenizer, against tiktoken.

import { describe, expect, it } from "vitest";
import { WeightsError } from "../../src/errors.ts";
import { namedEncoding } from "../../src/tokenizer/tiktoken.ts";
import { some } from "../support/some.ts";
import { readJson, tokenizerOf } from "./support.ts";

interface Case {
  readonly text: string;
  readonly ids: readonly number[];
}
interface Table {
  readonly encodings: readonly { name: string; vocab: number; encode: readonly Case[]; special: Case }[];
  readonly decode: readonly Case[];
}
const { encodings, decode } = readJson<Table>("test/fixtures/tokenizer/tiktoken.json");

describe.each(some(encodings, 1))("$name", ({ name, vocab, encode, special }) => {
  const opened = tokenizerOf({ "tokenizer_config.json": { tiktoken_encoding: name } });

  it("gives tiktoken's ids, and the text back", async () => {
    const tokenizer = await opened;
    expect(encode.map(({ text }) => tokenizer.encode(text))).toEqual(encode.map(({ ids }) => ids));
    expect(encode.map(({ ids }) => tokenizer.decode(ids))).toEqual(encode.map(({ text }) => text));
  });

  it("reads control tokens only when asked to", async () => {
    const tokenizer = await opened;
    const eos = name === "o200k_harmony" ? ["<|return|>", "<|call|>", "<|endoftext|>"] : ["<|endoftext|>"];
    expect(tokenizer.encode(special.text, { specialTokens: true })).toEqual(special.ids);
    expect(tokenizer.encode(special.text).filter((id) => tokenizer.isSpecial(id))).toEqual([]);
    expect(tokenizer.vocabSize).toBe(vocab);
    expect(tokenizer.bosId).toBe(null);
    expect(tokenizer.eosIds.map((id) => tokenizer.idToPiece(id))).toEqual(eos);
  });

  if (name === "cl100k_base") {
    it("decodes bytes that are no characters as tiktoken does", async () => {
      const tokenizer = await opened;
      expect(decode.map(({ ids }) => tokenizer.decode(ids))).toEqual(decode.map(({ text }) => text));
    });
  }
});

describe("an encoding is named", () => {
  it.each<[string, Readonly<Record<string, unknown>>[], string[], string | null]>([
    ["in tokenizer_config.json", [{ tiktoken_encoding: "o200k_base" }, {}], [], "o200k_base"],
    ["in config.json", [{}, { encoding: "cl100k_base" }], [], "cl100k_base"],
    ["by a model, as DBRX does", [{ encoding_name: null, model_name: "gpt-4" }, {}], [], "cl100k_base"],
    ["by a file", [{}, { model_name: "toString" }], ["config.json", "o200k_base.tiktoken"], "o200k_base"],
    ["nowhere", [{ encoding: 3, model_name: "mixtral" }, {}], ["config.json"], null],
  ])("%s", (_, configs, files, expected) => {
    expect(namedEncoding(configs, files)).toBe(expected);
  });

  it.each(["qwen", "constructor", "p50k_base"])("but %s is not supported", async (name) => {
    const opened = tokenizerOf({ "config.json": { tiktoken_encoding: name } });
    await expect(opened).rejects.toThrow(WeightsError);
    await expect(opened).rejects.toThrow(
      `"${name}" is not supported (supported: cl100k_base, o200k_base, o200k_harmony)`,
    );
  });
});
