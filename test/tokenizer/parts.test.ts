// The parts on their own: merging against the textbook loop, UTF-8 against the platform's decoder,
// added tokens.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AddedSplitter } from "../../src/tokenizer/added.ts";
import { Bpe } from "../../src/tokenizer/bpe.ts";
import { BYTE_TO_CHARACTER, spellBytes, spelledBytes } from "../../src/tokenizer/byte_alphabet.ts";
import { type Merge, Merges } from "../../src/tokenizer/merges.ts";
import type { AddedToken } from "../../src/tokenizer/types.ts";
import { Utf8Decoder } from "../../src/tokenizer/utf8.ts";

/** The textbook: while any pair merges, merge the one of lowest rank, the leftmost of equals. */
function textbook(word: readonly number[], merges: readonly Merge[]): number[] {
  const symbols = [...word];
  for (;;) {
    let best: { merge: Merge; at: number } | null = null;
    for (let at = 0; at + 1 < symbols.length; at++) {
      const merge = merges.find((m) => m.left === symbols[at] && m.right === symbols[at + 1]);
      if (merge && (best === null || merge.rank < best.merge.rank)) best = { merge, at };
    }
    if (best === null) return symbols;
    symbols.splice(best.at, 2, best.merge.result);
  }
}

describe("Bpe", () => {
  const letters = ["▁", "a", "b", "c"];
  const ordinary = new Map(letters.map((letter, id) => [letter, id]));
  const vocabulary = { ordinary, byteIds: null, unkId: null, fuseUnk: false, wholeWords: false };

  it("equals the textbook loop for any merges and ranks", () => {
    const rules = fc.array(fc.tuple(fc.nat(9), fc.nat(9), fc.nat(4)), { maxLength: 12 });
    const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), maxLength: 40 });
    fc.assert(
      fc.property(rules, word, (rules, word) => {
        const merges = rules.map(([left, right, rank], i) => ({ left, right, rank, result: 4 + (i % 6) }));
        const once = [...new Map(merges.map((merge) => [`${merge.left} ${merge.right}`, merge])).values()];
        const out: number[] = [];
        new Bpe({ ...vocabulary, merges: new Merges(merges) }).encode(word, out);
        expect(out).toEqual(
          textbook(
            [...word].map((letter) => letters.indexOf(letter)),
            once,
          ),
        );
      }),
      { numRuns: 500 },
    );
  });

  it("merges across a space mark where the vocabulary has such a piece, and only there", () => {
    const across = { left: 1, right: 0, rank: 0, result: 4 };
    const encode = (pieces: readonly [string, number][], merges: Merge[]): number[] => {
      const out: number[] = [];
      new Bpe({ ...vocabulary, ordinary: new Map([...ordinary, ...pieces]), merges: new Merges(merges) }).encode(
        "▁a▁▁b",
        out,
      );
      return out;
    };
    expect(encode([["a▁", 4]], [across])).toEqual([0, 4, 0, 2]);
    expect(encode([["▁a", 4]], [{ left: 0, right: 1, rank: 0, result: 4 }])).toEqual([4, 0, 0, 2]);
  });
});

describe("Utf8Decoder", () => {
  // Bytes around every edge of the encoding's table, so that near misses are common.
  const edges = [
    0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc1, 0xc2, 0xdf, 0xe0, 0xed, 0xef, 0xf0, 0xf4, 0xf5, 0xff,
  ];
  const bytes = fc.oneof(
    fc.array(fc.constantFrom(...edges), { maxLength: 12 }).map((list) => Uint8Array.from(list)),
    fc.string({ unit: "binary" }).map((text) => new TextEncoder().encode(text)),
  );

  it("equals TextDecoder, however the bytes are cut", () => {
    fc.assert(
      fc.property(bytes, fc.integer({ min: 1, max: 4 }), (bytes, step) => {
        const decoder = new Utf8Decoder("sequence");
        let text = "";
        for (let at = 0; at < bytes.length; at += step) text += decoder.push(bytes.subarray(at, at + step));
        expect(text + decoder.end()).toBe(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
      }),
      { numRuns: 500 },
    );
  });

  it.each([
    [[0xe4, 0xb8], "\ufffd\ufffd", "\ufffd"],
    [[0xe4, 0xb8, 0x41], "\ufffd\ufffdA", "\ufffdA"],
    [[0xf0, 0x9f, 0x98, 0xf0, 0x9f, 0x98, 0x82], "\ufffd\ufffd\ufffd😂", "\ufffd😂"],
    [[0xed, 0xa0, 0x80], "\ufffd\ufffd\ufffd", "\ufffd\ufffd\ufffd"],
  ])("%j", (bytes, eachByte, sequence) => {
    const decode = (decoder: Utf8Decoder): string => decoder.push(Uint8Array.from(bytes)) + decoder.end();
    expect(decode(new Utf8Decoder("each byte"))).toBe(eachByte);
    expect(decode(new Utf8Decoder("sequence"))).toBe(sequence);
  });
});

describe("the byte alphabet", () => {
  it("is GPT-2's: space is Ġ, line end Ċ, 0xAD is the last of those moved", () => {
    expect([0x20, 0x0a, 0x00, 0x7f, 0xad, 0x41, 0xe9].map((byte) => BYTE_TO_CHARACTER[byte]).join("")).toBe("ĠĊĀġŃAé");
    expect(new Set(BYTE_TO_CHARACTER).size).toBe(256);
    expect([...spelledBytes(spellBytes(Array(256).keys()))]).toEqual([...Array(256).keys()]);
    expect([...spelledBytes("中A")]).toEqual([0xe4, 0xb8, 0xad, 0x41]);
  });
});

describe("AddedSplitter", () => {
  const token = (match: string, id: number, more: Partial<AddedToken> = {}): AddedToken => {
    return { id, content: match, match, special: true, normalized: false, lstrip: false, rstrip: false, ...more };
  };
  const tokens = [
    token("<a>", 1),
    token("<a>b", 2),
    token("<", 3),
    token("|", 4, { lstrip: true, rstrip: true }),
    token("", 5),
  ];

  it.each<[string, (string | number)[]]>([
    ["", []],
    ["plain", ["plain"]],
    ["<a>b<a>c<<", [2, 1, "c", 3, 3]],
    ["x<a", ["x", 3, "a"]],
    ["x  | \n y", ["x", 4, "y"]],
    [" | ", [4]],
  ])("%j", (text, expected) => {
    const sections = [...new AddedSplitter(tokens).split(text)];
    expect(sections.map((section) => ("token" in section ? section.token.id : section.text))).toEqual(expected);
  });

  it("takes time in proportion to the text, however many tokens begin alike", () => {
    const many = Array.from({ length: 1000 }, (_, id) => token(`[[${id}]`, id));
    const sections = [...new AddedSplitter(many).split("[".repeat(200_000))];
    expect(sections).toEqual([{ text: "[".repeat(200_000), start: 0 }]);
  });
});
