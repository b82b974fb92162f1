// What every tokenizer promises: streaming, awkward text, single tokens, and which file is read.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { RequestError, WeightsError } from "../../src/errors.ts";
import { openTokenizer, type Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { memoryFiles } from "../weights/memory_files.ts";
import {
  piece,
  readJson,
  sentencePieceModel,
  TALES_JSON,
  talesFromJson,
  talesFromModel,
  tokenizerOf,
} from "./support.ts";

const { variants } = readJson<{ variants: { name: string; patch: object }[] }>(
  "test/fixtures/tokenizer/rust_tokenizers.json",
);
const byteLevel = variants.find(({ name }) => name === "byte level")?.patch;

const tokenizers: readonly (readonly [string, Tokenizer])[] = [
  ["tokenizer.model", talesFromModel],
  ["tokenizer.json", talesFromJson],
  ["byte level", await tokenizerOf({ "tokenizer.json": byteLevel })],
];

describe.each(tokenizers)("%s", (_, tokenizer) => {
  // Any ids, bytes of characters (3..258 in SentencePiece's files) more often than chance has them.
  const ids = fc.array(fc.oneof(fc.nat(tokenizer.vocabSize - 1), fc.nat(270)), { maxLength: 30 });
  const options = fc.record({ skipSpecialTokens: fc.boolean() });

  it("streams the decoded text, and what it gave is the beginning of whatever follows", () => {
    fc.assert(
      fc.property(ids, ids, options, (ids, more, options) => {
        const stream = tokenizer.stream(options);
        const shown = ids.map((id) => stream.push(id)).join("");
        expect(tokenizer.decode([...ids, ...more], options).startsWith(shown)).toBe(true);
        expect(shown + stream.end()).toBe(tokenizer.decode(ids, options));
      }),
    );
  });

  it("streams what follows a prompt", () => {
    fc.assert(
      fc.property(ids, ids, options, (prompt, ids, options) => {
        const before = tokenizer.stream(options);
        const known = prompt.map((id) => before.push(id)).join("");
        const stream = tokenizer.stream({ ...options, prompt });
        const text = ids.map((id) => stream.push(id)).join("") + stream.end();
        expect(known + text).toBe(tokenizer.decode([...prompt, ...ids], options));
      }),
    );
  });

  it("encodes any string to ids of the vocabulary that are no control tokens", () => {
    const odd = fc.constantFrom("</s>", "<s>", "<unk>", "<0x0A>", "<|end|>", " ");
    const text = fc.array(fc.oneof(odd, fc.string({ unit: "binary", maxLength: 1 }))).map((parts) => parts.join(""));
    fc.assert(
      fc.property(text, (text) => {
        const ids = tokenizer.encode(text, { addBos: false });
        expect(ids.filter((id) => tokenizer.isSpecial(id) || tokenizer.idToPiece(id) === null)).toEqual([]);
        expect(tokenizer.decode(ids).normalize()).toBe(
          text.replaceAll("▁", tokenizer === tokenizers[2]![1] ? "▁" : " ").normalize(),
        );
      }),
    );
  });

  it.each([
    ["\ud800", "\ufffd"],
    ["a\udc00b", "a\ufffdb"],
    ["\udc00\ud83d", "\ufffd\ufffd"],
    ["a\0b", "a\0b"],
    ["\ufeff", "\ufeff"],
  ])("%j comes back as %j", (text, expected) => {
    expect(tokenizer.decode(tokenizer.encode(text))).toBe(expected);
  });

  it("the bytes of its tokens are the text", () => {
    const text = "the café 😂";
    const bytes = tokenizer.encode(text, { addBos: false }).flatMap((id) => [...tokenizer.tokenBytes(id)]);
    expect(new TextDecoder().decode(Uint8Array.from(bytes)).trimStart()).toBe(text);
  });

  it("finds every piece by its name", () => {
    for (let id = 0; id < tokenizer.vocabSize; id++)
      expect(tokenizer.pieceToId(tokenizer.idToPiece(id) ?? "")).toBe(id);
    expect(tokenizer.pieceToId("no such piece")).toBe(null);
  });

  it.each([-1, 1.5, Number.NaN, "1" as unknown as number])("refuses the id %s", (id) => {
    expect(() => tokenizer.decode([id])).toThrow(RequestError);
    expect(() => tokenizer.stream().push(id)).toThrow(/expected whole numbers from 0/);
  });

  it("an id beyond the vocabulary adds nothing", () => {
    expect(tokenizer.decode([tokenizer.vocabSize, 2 ** 40])).toBe("");
    expect(tokenizer.idToPiece(tokenizer.vocabSize)).toBe(null);
  });
});

describe("streaming", () => {
  const of = (piece: string): number => talesFromModel.pieceToId(piece) as number;

  it("gives a character when its last byte comes", () => {
    const stream = talesFromModel.stream();
    expect(["<0xF0>", "<0x9F>", "<0x98>", "<0x82>", "<0xF0>"].map((p) => stream.push(of(p)))).toEqual([
      "",
      "",
      "",
      "😂",
      "",
    ]);
    expect(stream.end()).toBe("\ufffd");
    expect(stream.end()).toBe("");
  });

  it("leaves out the space that encoding puts in front, but not after a prompt with text", () => {
    expect(talesFromModel.stream().push(of("▁the"))).toBe("the");
    expect(talesFromModel.stream({ prompt: [1] }).push(of("▁the"))).toBe("the");
    expect(talesFromModel.stream({ prompt: [1, of("he")] }).push(of("▁the"))).toBe(" the");
    expect(talesFromModel.stream({ prompt: [of("<0xC3>")] }).push(of("<0xA9>"))).toBe("é");
  });

  it("shows one token with its space, a control token by its name, half a character as U+FFFD", () => {
    const ids = ["▁the", "</s>", "<0xC3>", "<0x0A>"].map(of);
    expect(ids.map((id) => talesFromModel.tokenText(id))).toEqual([" the", "</s>", "\ufffd", "\n"]);
  });
});

describe("openTokenizer", () => {
  it("prefers tokenizer.json to tokenizer.model", async () => {
    const both = { "tokenizer.json": TALES_JSON, "tokenizer.model": "not a model" };
    expect((await tokenizerOf(both)).vocabSize).toBe(4096);
  });

  it("prefers tokenizer.model to the name of an encoding", async () => {
    const model = sentencePieceModel({ pieces: [piece("▁"), piece("a")] });
    const both = { "tokenizer.model": model, "config.json": { tiktoken_encoding: "cl100k_base" } };
    expect((await tokenizerOf(both)).vocabSize).toBe(5);
  });

  it.each<[string, Readonly<Record<string, unknown>>, RegExp]>([
    [
      "no tokenizer",
      { "config.json": { model_type: "mixtral" } },
      /^folder: expected tokenizer\.json, tokenizer\.model or/,
    ],
    [
      "a broken config",
      { "tokenizer_config.json": "nope", "tokenizer.json": TALES_JSON },
      /tokenizer_config\.json is not valid JSON/,
    ],
    [
      "a bad added token",
      { "added_tokens.json": { x: "y" }, "tokenizer.json": TALES_JSON },
      /added_tokens\.json: added tokens/,
    ],
  ])("%s", async (_, contents, expected) => {
    const opened = tokenizerOf(contents);
    await expect(opened).rejects.toThrow(WeightsError);
    await expect(opened).rejects.toThrow(expected);
  });

  it("refuses a file too large to be a tokenizer before reading it", async () => {
    const files = memoryFiles({ "tokenizer.json": "{}" });
    const huge = { ...files, size: async () => 2 ** 33 };
    await expect(openTokenizer(huge)).rejects.toThrow(/8589934592 bytes.*at most 268435456/);
  });
});

describe("a tokenizer for a model", () => {
  const added = (id: number, special: boolean) => ({ id, content: "<beyond>", special, normalized: false });
  const filesWith = (...tokens: object[]) => {
    const json = JSON.parse(TALES_JSON) as { added_tokens: object[] };
    return memoryFiles({
      "tokenizer.json": JSON.stringify({ ...json, added_tokens: [...json.added_tokens, ...tokens] }),
    });
  };

  it("may have fewer ids than the model, not more that texts become", async () => {
    await openTokenizer(filesWith(), 4096);
    await openTokenizer(filesWith(), 4160);
    await expect(openTokenizer(filesWith(), 4095)).rejects.toThrow(WeightsError);
    await expect(openTokenizer(filesWith(), 4095)).rejects.toThrow(/folder: .* token 4095 .* vocab_size is 4095/);
  });

  it("spells plain added tokens beyond the model's ids as text", async () => {
    const tokenizer = await openTokenizer(filesWith(added(4096, false)), 4096);
    expect(Math.max(...tokenizer.encode("a <beyond> b"))).toBeLessThan(4096);
    expect(tokenizer.decode(tokenizer.encode("a <beyond> b"))).toBe("a <beyond> b");
    const wide = await openTokenizer(filesWith(added(4096, false)), 4097);
    expect(wide.encode("a <beyond> b")).toContain(4096);
  });

  it("knows control tokens beyond them, which no text becomes", async () => {
    const tokenizer = await openTokenizer(filesWith(added(4096, true)), 4096);
    expect(Math.max(...tokenizer.encode("a <beyond> b"))).toBeLessThan(4096);
    expect(tokenizer.pieceToId("<beyond>")).toBe(4096);
  });

  it("may not put a BOS in front that the model lacks", async () => {
    const files = memoryFiles({
      "tokenizer.json": JSON.stringify({
        ...(JSON.parse(TALES_JSON) as object),
        added_tokens: [added(4096, true)],
      }),
      "tokenizer_config.json": JSON.stringify({ bos_token: "<beyond>", add_bos_token: true }),
    });
    await expect(openTokenizer(files, 4096)).rejects.toThrow(/token 4096/);
  });
});

describe("ends of a text", () => {
  const names = ["<|im_end|>", "<|eot_id|>", "<|end|>", "<|return|>", "<|call|>", "[OWN]", "[MESSAGE]"];
  const tokens = (...wanted: string[]) =>
    wanted.map((content) => ({ id: 4096 + names.indexOf(content), content, special: true, normalized: false }));
  it.each<[string, string[], Record<string, unknown>, string[]]>([
    ["eos_token of tokenizer_config.json", [], { eos_token: "</s>" }, ["</s>"]],
    ["eos_token as an object", ["[OWN]"], { eos_token: { content: "[OWN]" } }, ["[OWN]"]],
    ["a known end that no file names", ["<|im_end|>"], { eos_token: "</s>" }, ["</s>", "<|im_end|>"]],
    [
      "eot_token and eom_token",
      ["[OWN]", "[MESSAGE]"],
      { eot_token: "[OWN]", eom_token: "[MESSAGE]" },
      ["[OWN]", "[MESSAGE]"],
    ],
    [
      "ends of parts where there are ends of answers",
      ["<|end|>", "<|return|>", "<|call|>"],
      {},
      ["<|return|>", "<|call|>"],
    ],
    ["the same name alone", ["<|end|>"], {}, ["<|end|>"]],
    ["a name that the vocabulary lacks", [], { eos_token: "<|im_end|>" }, []],
  ])("%s", async (_, added, config, wanted) => {
    const json = JSON.parse(TALES_JSON) as { added_tokens: object[] };
    const tokenizer = await tokenizerOf({
      "tokenizer.json": JSON.stringify({ ...json, added_tokens: [...json.added_tokens, ...tokens(...added)] }),
      "tokenizer_config.json": JSON.stringify(config),
    });
    expect(tokenizer.eosIds.map((id) => tokenizer.idToPiece(id))).toEqual(wanted);
  });

  it("special_tokens_map.json adds to tokenizer_config.json", async () => {
    const json = JSON.parse(TALES_JSON) as { added_tokens: object[] };
    const tokenizer = await tokenizerOf({
      "tokenizer.json": JSON.stringify({ ...json, added_tokens: [...json.added_tokens, ...tokens("[OWN]")] }),
      "tokenizer_config.json": JSON.stringify({ eos_token: "</s>" }),
      "special_tokens_map.json": JSON.stringify({ eos_token: "[OWN]" }),
    });
    expect(tokenizer.eosIds.map((id) => tokenizer.idToPiece(id))).toEqual(["</s>", "[OWN]"]);
  });
});
