// The tokenizer, templates and settings of a GGUF file against those of the folder that it was made
// of: SentencePiece vocabularies.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { openChat } from "../../../src/chat/conventions.ts";
import { readTemplate } from "../../../src/chat/template.ts";
import { WeightsError } from "../../../src/errors.ts";
import { parseSentencePiece } from "../../../src/tokenizer/sentencepiece.ts";
import { findTokenizer, openTokenizer, type Tokenizer } from "../../../src/tokenizer/tokenizer.ts";
import { smallFiles, tokenizerNote } from "../../../src/weights/gguf/small_files.ts";
import { inRepo, inShared, titled } from "../../support/fixtures.ts";
import { TALES_JSON, talesFromJson, talesFromModel } from "../../tokenizer/support.ts";
import { folderOf, metadataOf, type Plain } from "./metadata.ts";

const KINDS = ["normal", "unknown", "control", "user defined", "unused", "byte"];

function tokenizerOf(entries: Readonly<Record<string, Plain>>): Promise<Tokenizer> {
  return openTokenizer(folderOf(metadataOf(entries)));
}

/** What llama.cpp's converter writes for a tokenizer.model. */
function converted(path: string): Record<string, Plain> {
  const { pieces } = parseSentencePiece(readFileSync(path), path);
  return {
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.pre": "default",
    "tokenizer.ggml.tokens": pieces.map(({ text }) => text),
    "tokenizer.ggml.scores": Float32Array.from(pieces, ({ score }) => score),
    "tokenizer.ggml.token_type": Int32Array.from(pieces, ({ kind }) => KINDS.indexOf(kind) + 1),
    "tokenizer.ggml.bos_token_id": 1,
    "tokenizer.ggml.eos_token_id": 2,
    "tokenizer.ggml.unknown_token_id": 0,
    "tokenizer.ggml.add_bos_token": true,
    "tokenizer.ggml.add_eos_token": false,
  };
}

const without = (entries: Record<string, Plain>, ...keys: string[]): Record<string, Plain> =>
  Object.fromEntries(Object.entries(entries).filter(([key]) => !keys.includes(key)));

interface Case {
  readonly text: string;
  readonly ids: readonly number[];
  readonly decoded: string;
}

describe.each(["mistral-v1", "mistral-v3"])("%s", (name) => {
  const model = inShared(`fixtures/tokenizers/${name}/tokenizer.model`);
  it.skipIf(model.skip !== null)(titled("gives SentencePiece's ids", model.skip), async () => {
    const tokenizer = await tokenizerOf(converted(model.path));
    const lines = readFileSync(inShared(`fixtures/tokenizers/${name}/expected.jsonl`).path, "utf8")
      .trim()
      .split("\n");
    expect(lines.length).toBe(70);
    for (const { text, ids, decoded } of lines.map((line) => JSON.parse(line) as Case)) {
      expect(tokenizer.encode(text, { addBos: false }), JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(decoded);
    }
    const { bosId, eosIds, addBos } = tokenizer;
    expect({ bosId, eosIds, addBos }).toEqual({ bosId: 1, eosIds: [2], addBos: true });
  });
});

const t2 = inShared("fixtures/gguf/t2-tokenizer.model");
describe.skipIf(t2.skip !== null)(titled("the vocabulary of fixtures/gguf", t2.skip), () => {
  const { cases } = JSON.parse(readFileSync(inShared("fixtures/gguf/tokenizer-cases.json").path, "utf8")) as {
    cases: readonly Case[];
  };
  const file = t2.skip === null ? converted(t2.path) : {};

  it.each<[string, Record<string, Plain>]>([
    ["as the converter writes it", file],
    [
      "with the ids and flags that old files leave out",
      without(file, ...Object.keys(file).filter((key) => /_id$|add_|pre$/.test(key))),
    ],
    [
      "without kinds, as in files of 2023",
      without(file, "tokenizer.ggml.token_type", "tokenizer.ggml.unknown_token_id"),
    ],
    [
      "with <unk> as a control token",
      {
        ...file,
        "tokenizer.ggml.token_type": (file["tokenizer.ggml.token_type"] as Int32Array | undefined)?.with(0, 3) ?? [],
      },
    ],
  ])("%s", async (_, entries) => {
    const tokenizer = await tokenizerOf(entries);
    expect(cases.length).toBe(30);
    for (const { text, ids, decoded } of cases) {
      expect(tokenizer.encode(text, { addBos: false }), JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(decoded);
    }
    expect(tokenizer.encode("")).toEqual([1]);
    expect([tokenizer.isSpecial(0), tokenizer.isSpecial(1), tokenizer.eosIds]).toEqual([true, true, [2]]);
  });
});

const TALES = converted(inRepo("models/tales/tokenizer.model"));

describe("models/tales", () => {
  it("has its folder's ids, and from merges too where all scores are the same", async () => {
    const { model } = JSON.parse(TALES_JSON) as { model: { merges: readonly [string, string][] } };
    const merges = model.merges.map((pair) => (typeof pair === "string" ? pair : pair.join(" ")));
    const scores = new Float32Array(4096).fill(-1000);
    const byMerges = await tokenizerOf({
      ...TALES,
      "tokenizer.ggml.scores": scores,
      "tokenizer.ggml.merges": merges,
    });
    const both = await tokenizerOf({ ...TALES, "tokenizer.ggml.merges": merges });
    const text = readFileSync(inRepo("models/tales/README.md"), "utf8");
    for (const tokenizer of [byMerges, both, await tokenizerOf(TALES)]) {
      for (const part of [text, "", " x", "x  ", "na\u00efve \u65e5\u672c", "\u{1f600}</s>"]) {
        for (const specialTokens of [false, true]) {
          const ids = talesFromJson.encode(part, { specialTokens });
          expect(tokenizer.encode(part, { specialTokens })).toEqual(ids);
          expect(tokenizer.decode(ids)).toBe(talesFromJson.decode(ids));
        }
      }
    }
  });

  it("without the space in front", async () => {
    const tokenizer = await tokenizerOf({ ...TALES, "tokenizer.ggml.add_space_prefix": false });
    expect(tokenizer.encode(" once")).toEqual(talesFromModel.encode("once"));
    expect(tokenizer.decode(tokenizer.encode(" once"))).toBe(" once");
  });

  it("padding beyond the vocabulary is no token, and tokens that a program added are found in text", async () => {
    const grown = {
      ...TALES,
      "tokenizer.ggml.tokens": [...(TALES["tokenizer.ggml.tokens"] as string[]), "a  b", "<|im_end|>", "[PAD4098]", ""],
      "tokenizer.ggml.scores": Float32Array.of(...(TALES["tokenizer.ggml.scores"] as Float32Array), -1, -1, -1, -1),
      "tokenizer.ggml.token_type": Int32Array.of(...(TALES["tokenizer.ggml.token_type"] as Int32Array), 4, 3, 5, 5),
    };
    const tokenizer = await tokenizerOf(grown);
    expect([tokenizer.vocabSize, tokenizer.idToPiece(4098), tokenizer.idToPiece(4099)]).toEqual([4100, null, null]);
    expect(tokenizer.decode([4098, 4099])).toBe("");
    expect(tokenizer.encode("a  b", { addBos: false })).toEqual([4096]);
    const once = talesFromModel.encode("once", { addBos: false });
    // cut out of the text before anything else, each rest with a space in front, as llama.cpp does
    expect(tokenizer.encode("oncea  bonce", { addBos: false })).toEqual([...once, 4096, ...once]);
    expect(tokenizer.eosIds).toEqual([2, 4097]);
    expect(tokenizer.encode("[PAD4098]")).toEqual(talesFromModel.encode("[PAD4098]"));
  });

  it("BOS and ends as the file has them", async () => {
    const tokenizer = await tokenizerOf({
      ...TALES,
      "tokenizer.ggml.eos_token_id": 300,
      "tokenizer.ggml.eot_token_id": 301,
      "tokenizer.ggml.add_bos_token": false,
    });
    expect([tokenizer.addBos, tokenizer.eosIds, tokenizer.isSpecial(300)]).toEqual([false, [300, 301], true]);
    const other = await tokenizerOf({ ...TALES, "tokenizer.ggml.eos_token_id": 300 });
    expect(other.eosIds, "</s> ends an answer too").toEqual([300, 2]);
  });

  it("no vocabulary is no tokenizer", async () => {
    expect(await findTokenizer(folderOf(metadataOf({ "general.architecture": "llama" })))).toBeNull();
    expect(await findTokenizer(folderOf(metadataOf({ "tokenizer.ggml.model": "none" })))).toBeNull();
  });

  it("a whole tokenizer.json is taken as it is", async () => {
    const tokenizer = await tokenizerOf({
      ...TALES,
      "tokenizer.ggml.pre": "unheard of",
      "tokenizer.huggingface.json": TALES_JSON,
    });
    const { bosId, eosIds, addBos } = tokenizer;
    expect({ bosId, eosIds, addBos }).toEqual({ bosId: 1, eosIds: [2], addBos: true });
    expect(tokenizer.encode("Once upon a time")).toEqual(talesFromJson.encode("Once upon a time"));
  });
});

describe("a vocabulary that cannot be used is refused by key", () => {
  const changed = (key: string, value: Plain | ((old: never) => Plain)): Record<string, Plain> => {
    const name = `tokenizer.ggml.${key}`;
    return { ...TALES, [name]: typeof value === "function" ? value(TALES[name] as never) : value };
  };
  const tokens = (id: number, text: string) => changed("tokens", (old: readonly string[]) => old.with(id, text));
  it.each<[string, Record<string, Plain>, RegExp]>([
    [
      "another model",
      changed("model", "bert"),
      /tokenizer\.ggml\.model: .*"bert".*supported: llama, gpt2.*--tokenizer/,
    ],
    ["no tokens", without(TALES, "tokenizer.ggml.tokens"), /tokens is missing/],
    ["tokens that are numbers", changed("tokens", Int32Array.of(1)), /expected an array of strings/],
    ["an empty vocabulary", changed("tokens", []), /expected 1 to 2097152 tokens, found 0/],
    ["a token of a megabyte", tokens(600, "x".repeat(2 ** 20)), /token 600: expected at most 4096 characters/],
    ["a token of 300 characters", tokens(600, "x".repeat(300)), /piece 600: expected at most 256/],
    ["a token twice", tokens(600, "the"), /pieces .* both "the"/],
    ["a byte below zero", tokens(5, "<0x-1>"), /token 5: expected a byte such as <0x0A>, found "<0x-1>"/],
    ["a byte of three digits", tokens(5, "<0x100>"), /token 5: expected a byte/],
    ["scores for some", changed("scores", (old: Float32Array) => old.slice(1)), /expected 4096, .* found 4095/],
    ["scores that are texts", changed("scores", ["1"]), /scores: expected an array of numbers/],
    ["a score that is NaN", changed("scores", (old: Float32Array) => old.with(9, Number.NaN)), /token 9: .* NaN/],
    ["kinds for some", changed("token_type", (old: Int32Array) => old.slice(1)), /token_type: expected 4096/],
    ["kinds that are texts", changed("token_type", ["1"]), /token_type: expected an array of numbers/],
    ["a kind of 7", changed("token_type", (old: Int32Array) => old.with(9, 7)), /token 9: .* from 1 to 6, found 7/],
    ["BOS beyond the vocabulary", changed("bos_token_id", 4096), /bos_token_id: expected an id below 4096/],
    ["EOS below zero", changed("eos_token_id", -2), /eos_token_id: .* found -2/],
    ["an id that is no number", changed("eot_token_id", "2"), /eot_token_id: expected a whole number/],
    ["no scores and no merges", without(TALES, "tokenizer.ggml.scores"), /scores: .* found none.*--tokenizer/],
    ["scores all the same", changed("scores", new Float32Array(4096)), /scores: .* found the same for all/],
    ["spaces removed", changed("remove_extra_whitespaces", true), /remove_extra_whitespaces/],
    [
      "a merge of one",
      { ...changed("scores", new Float32Array(4096)), "tokenizer.ggml.merges": ["ab"] },
      /merges: merge 0: expected two tokens .* found "ab"/,
    ],
    [
      "a merge of unknown tokens",
      { ...changed("scores", new Float32Array(4096)), "tokenizer.ggml.merges": ["\u0416\u0416 b"] },
      /merges\[0\]: .* is not in model\.vocab/,
    ],
  ])("%s", async (_, entries, message) => {
    const opened = (async () => tokenizerOf(entries))();
    await expect(opened).rejects.toThrow(WeightsError);
    await expect(opened).rejects.toThrow(message);
  });

  it("in bounded time, if its tokens are made to be long", async () => {
    const long = Array.from({ length: 20_000 }, (_, i) => "ab".repeat(100) + i);
    const entries = {
      ...without(TALES, "tokenizer.ggml.token_type"),
      "tokenizer.ggml.tokens": long,
      "tokenizer.ggml.scores": Float32Array.from(long, (_, i) => -i),
    };
    await expect((async () => tokenizerOf(entries))()).rejects.toThrow(/longer in all than any vocabulary/);
  });
});

describe("templates and settings", () => {
  const template = "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}";
  const tools = `{{ bos_token }}{{ tools | tojson }}${template}`;

  it("are files of their names", async () => {
    const files = folderOf(
      metadataOf({
        ...TALES,
        "tokenizer.chat_template": template,
        "tokenizer.chat_templates": ["tool_use"],
        "tokenizer.chat_template.tool_use": tools,
        "tokenizer.chat_template.../x": "not a name",
      }),
    );
    expect((await files.list()).toSorted()).toEqual(
      ["chat_template.jinja", "generation_config.json", "tokenizer.model", "tokenizer_config.json"].toSorted(),
    );
    expect(await files.list("additional_chat_templates")).toEqual(["tool_use.jinja"]);
    const found = await readTemplate(files);
    expect([found?.text, found?.withTools]).toEqual([template, tools]);
    expect(found?.tokens).toEqual({ bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>" });
    const chat = await openChat(files, await openTokenizer(files));
    const ids = chat.prompt([{ role: "user", content: "Once" }]);
    expect(ids, "BOS once").toEqual([1, ...talesFromModel.encode("[user]Once", { addBos: false }), 2]);
  });

  const configOf = (entries: Record<string, Plain>): unknown => {
    const bytes = smallFiles(metadataOf(entries)).get("generation_config.json")!();
    return JSON.parse(new TextDecoder().decode(bytes));
  };
  it.each<[string, Record<string, Plain>, unknown]>([
    ["nothing", {}, {}],
    [
      "ends",
      { "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.eot_token_id": 5, "tokenizer.ggml.eom_token_id": 2 },
      { eos_token_id: [2, 5] },
    ],
    ["no end", { "tokenizer.ggml.eos_token_id": -1 }, {}],
    [
      "sampling",
      { "general.sampling.temp": 0.8, "general.sampling.top_p": 0.95, "general.sampling.top_k": 20 },
      { do_sample: true, temperature: 0.8, top_p: 0.95, top_k: 20 },
    ],
    ["greedy", { "general.sampling.temp": 0 }, { do_sample: false, temperature: 0 }],
    ["a penalty alone", { "general.sampling.penalty_repeat": 1.1 }, { do_sample: false, repetition_penalty: 1.1 }],
  ])("generation_config.json: %s", (_, entries, expected) => {
    expect(configOf(entries)).toEqual(expected);
  });

  it("a byte-level vocabulary without a name of its rules is noted", () => {
    const gpt2 = { "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.tokens": ["a"], "tokenizer.ggml.merges": [] };
    expect(tokenizerNote(metadataOf(gpt2))).toMatch(/tokenizer\.ggml\.pre is missing: .*--tokenizer/);
    expect(tokenizerNote(metadataOf({ ...gpt2, "tokenizer.ggml.pre": "qwen2" }))).toBeNull();
    expect(tokenizerNote(metadataOf(TALES))).toBeNull();
    expect(tokenizerNote(metadataOf({}))).toBeNull();
    expect(tokenizerNote(metadataOf({ ...gpt2, "tokenizer.ggml.pre": "new" }))).toMatch(/"new" is not known/);
  });
});
