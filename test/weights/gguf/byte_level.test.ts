// Byte-level vocabularies of GGUF files: ids and cuts of every pre-tokenizer against the Rust
// tokenizers (fixture by test/tokenizer/pre_tokenizers.py).

import { describe, expect, it } from "vitest";
import { WeightsError } from "../../../src/errors.ts";
import { readFolderConfig } from "../../../src/tokenizer/folder_config.ts";
import { openTokenizer, type Tokenizer } from "../../../src/tokenizer/tokenizer.ts";
import { tokenizerJsonSpec } from "../../../src/tokenizer/tokenizer_json.ts";
import { PRE_TOKENIZERS } from "../../../src/weights/gguf/pre_tokenizers.ts";
import { readJson } from "../../tokenizer/support.ts";
import { folderOf, metadataOf, type Plain } from "./metadata.ts";

interface Fixture {
  readonly tokens: string;
  readonly added: readonly { readonly content: string; readonly special: boolean }[];
  readonly merges: string;
  readonly texts: readonly string[];
  /** By the name of the pre-tokenizer, for each text: ids, "|", lengths of words. */
  readonly cases: Readonly<Record<string, readonly string[]>>;
}
const fixture = readJson<Fixture>("test/fixtures/tokenizer/pre_tokenizers.json");
const tokens = fixture.tokens.split(" ");
const [START, END, CALL] = fixture.added.map((_, i) => tokens.length + i) as [number, number, number];

/** The metadata that llama.cpp's converter would write. */
function converted(pre: string | null): Record<string, Plain> {
  const kinds = fixture.added.map(({ special }) => (special ? 3 : 4));
  return {
    "tokenizer.ggml.model": "gpt2",
    ...(pre !== null && { "tokenizer.ggml.pre": pre }),
    "tokenizer.ggml.tokens": [...tokens, ...fixture.added.map(({ content }) => content), "[PAD903]"],
    "tokenizer.ggml.token_type": Int32Array.from([...tokens.map(() => 1), ...kinds, 5]),
    "tokenizer.ggml.merges": fixture.merges.split("\n"),
    "tokenizer.ggml.bos_token_id": START,
    "tokenizer.ggml.eos_token_id": END,
  };
}

function tokenizerOf(entries: Readonly<Record<string, Plain>>): Promise<Tokenizer> {
  return openTokenizer(folderOf(metadataOf(entries)));
}

const numbers = (list: string): number[] => (list === "" ? [] : list.split(" ").map(Number));

describe.each(Object.entries(fixture.cases))("%s", (pre, cases) => {
  it("gives the ids of the Rust tokenizers, and the text comes back", async () => {
    const tokenizer = await tokenizerOf(converted(pre));
    const composed = PRE_TOKENIZERS.get(pre)?.normalForm !== undefined;
    expect(cases.length).toBe(fixture.texts.length);
    for (const [i, text] of fixture.texts.entries()) {
      const ids = numbers(cases[i]!.split("|")[0]!);
      expect(tokenizer.encode(text, { addBos: false, specialTokens: true }), JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.decode(ids, { skipSpecialTokens: false })).toBe(composed ? text.normalize("NFC") : text);
    }
  });

  it("cuts words where they do", async () => {
    const files = folderOf(metadataOf(converted(pre)));
    const bytes = new Uint8Array((await files.size("tokenizer.json"))!);
    await files.read("tokenizer.json", 0, bytes);
    const json = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    const { normalize, words } = tokenizerJsonSpec(json, await readFolderConfig(files), "tokenizer.json");
    for (const [i, text] of fixture.texts.entries()) {
      if (text === "") continue;
      const lengths = words(normalize(text, true), true).map((word) => word.length);
      expect(lengths, JSON.stringify(text)).toEqual(numbers(cases[i]!.split("|")[1]!));
    }
  });
});

it.each(Object.keys(fixture.cases))("%s: long runs of any kind are encoded in bounded time", async (pre) => {
  const tokenizer = await tokenizerOf(converted(pre));
  for (const unit of [" ", "中", "\u0301", " \t", "'s", "AA"]) {
    const text = `${unit.repeat(20_000)}x`;
    const ids = tokenizer.encode(text, { addBos: false });
    expect(tokenizer.decode(ids)).toBe(text);
  }
});

describe("the vocabulary", () => {
  it("has its ends, its control tokens and no padding", async () => {
    const tokenizer = await tokenizerOf(converted("qwen2"));
    const { bosId, eosIds, addBos, vocabSize } = tokenizer;
    expect({ bosId, eosIds, addBos, vocabSize }).toEqual({
      bosId: START,
      eosIds: [END],
      addBos: false,
      vocabSize: tokens.length + 3,
    });
    expect([START, END, CALL].map((id) => tokenizer.isSpecial(id))).toEqual([true, true, false]);
    expect(tokenizer.encode("<tool_call>")).toEqual([CALL]);
    expect(tokenizer.encode("<|im_end|>")).not.toContain(END);
    expect(tokenizer.idToPiece(tokens.length + 3)).toBeNull();
  });

  it("puts BOS in front where the pre-tokenizer or the file says so", async () => {
    const addBos = async (pre: string, entries: Record<string, Plain> = {}) =>
      (await tokenizerOf({ ...converted(pre), ...entries })).addBos;
    expect(await addBos("llama-bpe")).toBe(true);
    expect(await addBos("tekken")).toBe(true);
    expect(await addBos("dbrx")).toBe(false);
    expect(await addBos("llama-bpe", { "tokenizer.ggml.add_bos_token": false })).toBe(false);
    expect(await addBos("qwen2", { "tokenizer.ggml.add_bos_token": true })).toBe(true);
  });

  it("without the name of a pre-tokenizer has llama.cpp's rules", async () => {
    const [named, unnamed] = [await tokenizerOf(converted("default")), await tokenizerOf(converted(null))];
    for (const text of fixture.texts) expect(unnamed.encode(text)).toEqual(named.encode(text));
  });

  it("may have tokens named like parts of objects and like numbers", async () => {
    const tokenizer = await tokenizerOf({
      ...converted("gpt-2"),
      "tokenizer.ggml.tokens": ["_", "__", "proto", "__proto__", "1", "10", "0", "constructor"],
      "tokenizer.ggml.token_type": new Int32Array(8).fill(1),
      "tokenizer.ggml.merges": ["_ _", "1 0"],
      "tokenizer.ggml.bos_token_id": 3,
      "tokenizer.ggml.eos_token_id": 7,
    });
    expect(tokenizer.encode("__ 10")).toEqual([1, 5]);
    expect([tokenizer.bosId, tokenizer.eosIds, tokenizer.pieceToId("__proto__")]).toEqual([3, [7], 3]);
  });

  it("finds the space between the tokens of a merge after the first character", async () => {
    // a token of a space alone is "Ġ" in the byte alphabet, but not all converters kept to it
    const tokenizer = await tokenizerOf({
      ...converted("qwen2"),
      "tokenizer.ggml.tokens": [" ", "a", " a"],
      "tokenizer.ggml.token_type": Int32Array.of(1, 1, 1),
      "tokenizer.ggml.merges": ["  a"],
      "tokenizer.ggml.bos_token_id": 0,
      "tokenizer.ggml.eos_token_id": 0,
    });
    expect(tokenizer.encode("a")).toEqual([1]);
  });
});

describe("a vocabulary that cannot be used is refused by key", () => {
  it.each<[string, Record<string, Plain>, RegExp]>([
    [
      "an unknown name",
      { "tokenizer.ggml.pre": "gemma9" },
      /pre: "gemma9" is not known: expected one of default, qwen2/,
    ],
    ["merges without a space", { "tokenizer.ggml.merges": ["ab"] }, /merge 0: expected two tokens/],
    ["merges that are numbers", { "tokenizer.ggml.merges": Int32Array.of(1) }, /merges: expected an array of strings/],
    ["merges of nothing", { "tokenizer.ggml.merges": ["a zzzz"] }, /"zzzz" is not in model\.vocab/],
  ])("%s", async (_, entries, message) => {
    const opened = (async () => tokenizerOf({ ...converted("qwen2"), ...entries }))();
    await expect(opened).rejects.toThrow(WeightsError);
    await expect(opened).rejects.toThrow(message);
  });

  it("no merges", async () => {
    const entries = Object.fromEntries(Object.entries(converted("qwen2")).filter(([key]) => !key.endsWith("merges")));
    await expect((async () => tokenizerOf(entries))()).rejects.toThrow(/merges is missing/);
  });
});
