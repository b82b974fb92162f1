// The tokenizer, templates and settings of a GGUF file against those of the folder that it was made
// of: SentencePiece vocabularies.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { readTemplate } from "../../../src/chat/template.ts";
import { WeightsError } from "../../../src/errors.ts";
import { parseSentencePiece } from "../../../src/tokenizer/sentencepiece.ts";
import { findTokenizer, openTokenizer, type Tokenizer } from "../../../src/tokenizer/tokenizer.ts";
import type { Metadata } from "../../../src/weights/gguf/metadata.ts";
import { smallFiles, tokenizerNote } from "../../../src/weights/gguf/small_files.ts";
import { inRepo, inShared, titled } from "../../support/fixtures.ts";
import { TALES_JSON, talesFromJson } from "../../tokenizer/support.ts";
import { memoryFiles } from "../memory_files.ts";
import { metadataOf, type Plain } from "./metadata.ts";

const KINDS = ["normal", "unknown", "control", "user defined", "unused", "byte"];

/** The files of a file with this metadata, all of them made. */
function folderOf(m: Metadata) {
  return memoryFiles(Object.fromEntries([...smallFiles(m)].map(([name, make]) => [name, make()])));
}

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
