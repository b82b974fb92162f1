// Earlier places like the end of a text, by tokens and by bytes: a copy in other tokens than its
// source's, and one with other words.

import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ByteLookup } from "../../src/engine/byte_lookup.ts";
import { Speculation } from "../../src/engine/speculation.ts";
import { type Spelling, spellingOf } from "../../src/engine/spelling.ts";
import { StepCosts } from "../../src/engine/step_costs.ts";
import { TextLookup } from "../../src/engine/text_lookup.ts";
import { readJson, talesFromModel, tokenizerOf } from "../tokenizer/support.ts";

/** Tokens of these texts, in this order; an empty one is a control token. */
function spelled(pieces: readonly string[]): Spelling & { ids(text: string): number[]; text(ids: number[]): string } {
  const bytes = pieces.map((piece) => new TextEncoder().encode(piece));
  return {
    bytes: (id) => bytes[id]!,
    id(wanted) {
      const at = pieces.indexOf(new TextDecoder().decode(wanted));
      return at < 0 ? null : at;
    },
    ids: (text) => text.split("|").map((piece) => pieces.indexOf(piece)),
    text: (ids) => ids.map((id) => pieces[id]).join("|"),
  };
}

const WORDS = spelled([
  ...["", "a", "d", "e", "p", "ep", " d", " deep", " wood", " fox", " wolf", " in", " the", " lived", " who", " was"],
  ...[" there", " old", ",", ".", " One", " day", " Now", "ld", " o", " and", " said", " a", " an", " went", " out"],
]);
const STORY = " there| was| a| fox| who| lived| in| the| deep| wood|.| One| day";

function lookup(text: string): TextLookup {
  const found = new TextLookup(100, WORDS);
  for (const id of WORDS.ids(text)) {
    found.push(id);
    found.find();
  }
  return found;
}

/** What is expected to follow, `count` tokens. */
function expected(text: string, count: number): string | null {
  const found = lookup(text);
  const match = found.find();
  return match && WORDS.text(Array.from({ length: count }, (_, ahead) => found.after(match, ahead)));
}

describe("a copy", () => {
  it.each([
    ["in its source's tokens", "| there| was| a| fox| who", " lived| in"],
    [
      "within a word that is spelled in other tokens, byte by byte",
      "| there| was| a| fox| who| lived| in| the| d|e",
      "e|p| wood|.| One",
    ],
    ["of which nothing but a byte is left", "| there| was| a| fox| who| lived| in| the| d|e|e", "p| wood|.| One"],
    ["behind such a word", "| there| was| a| fox| who| lived| in| the| d|e|ep", " wood|.| One| day"],
    ["behind a word that is another one", "| there| was| a| fox| who| lived| in| the| old| wood", ".| One| day"],
    ["behind a word that is left out", "| there| was| a| fox| who| lived| in| the| wood", ".| One| day"],
    ["behind words that are put in", "| there| was| a| fox| who| lived| in| the| old| and| deep", " wood|.| One| day"],
  ])("is expected to go on as its source: %s", (_, copy, next) => {
    expect(expected(`${STORY}|.| Now${copy}`, next.split("|").length)).toBe(next);
  });

  it("is not looked for any more long after it parted from its source", () => {
    const parted = `${STORY}|.| Now| there| was| a| fox| who| lived| in| an`;
    expect(expected(`${parted}| wood`, 1)).toBe(".");
    expect(expected(`${parted}${"|d|e|,|a|e|,".repeat(10)}| wood`, 1)).not.toBe(".");
  });

  it("needs no text: tokens without one are found by themselves", () => {
    const found = new TextLookup(100, null);
    for (const id of [1, 2, 3, 1, 2]) found.push(id);
    expect(found.find()).toEqual({ at: 2, length: 2, tokens: 2, rest: [], near: false });
  });

  it("is drafted from its first right tokens on, whatever tokens they are", () => {
    const costs = new StepCosts();
    costs.note(1, 10);
    for (const size of [2, 4, 8, 16]) costs.note(size, 10 + size / 4);
    const drafts = (spelling: Spelling | null): string[] => {
      const speculation = new Speculation(100, costs, { spelling });
      const ids = WORDS.ids(`${STORY}|.| Now| there| was| a| fox| who| lived| in| the| d|e|ep`);
      for (let n = 1; n <= ids.length; n++) speculation.follow(ids.slice(0, n));
      return WORDS.text([...speculation.draft(3)]).split("|");
    };
    expect(drafts(WORDS)).toEqual([" wood", ".", " One"]);
    expect(drafts(null)).toEqual([""]);
  });
});

describe("places by bytes", () => {
  const PIECES = spelled(["", "a", "b", "c", "ab", "bc", "ca", "abc", "bca", "cab", "aa"]);
  const text = fc.array(fc.nat(10), { maxLength: 40 });
  const filled = (ids: readonly number[]): ByteLookup => {
    const found = new ByteLookup(PIECES);
    for (const id of ids) found.push(id);
    return found;
  };
  const bytesOf = (ids: readonly number[]): number[] => ids.flatMap((id) => [...PIECES.bytes(id)]);

  it("are the longest, as a search through all of the text finds", () => {
    fc.assert(
      fc.property(text, (ids) => {
        const bytes = bytesOf(ids);
        const last = bytes.length - (ids.length > 0 ? PIECES.bytes(ids.at(-1)!).length : 0);
        const lengths = bytes.map((_, at) => {
          let length = 0;
          while (length < at && bytes[at - 1 - length] === bytes[bytes.length - 1 - length]) length++;
          return at > last ? 0 : length;
        });
        const found = filled(ids).find();
        if (found) expect(lengths[found.at]).toBe(found.length);
        const all = lengths.filter((length) => length >= 6);
        if (all.length <= 16) expect(found?.length ?? 0).toBe(Math.max(0, ...all));
      }),
      { numRuns: 500 },
    );
  });

  it("within a token are followed by tokens that spell its rest", () => {
    fc.assert(
      fc.property(text, fc.nat(120), (ids, at) => {
        const found = filled(ids);
        const starts = ids.map((_, i) => bytesOf(ids.slice(0, i)).length);
        const place = Math.min(at, bytesOf(ids).length);
        const next = starts.findIndex((start) => start >= place);
        expect(found.tokenAt(place)).toBe(next < 0 ? ids.length : next);
        const end = next < 0 ? bytesOf(ids).length : starts[next]!;
        expect(bytesOf(found.rest(place))).toEqual(bytesOf(ids).slice(place, end));
      }),
    );
  });
});

describe("tokens by their bytes", async () => {
  const { variants } = readJson<{ readonly variants: readonly { readonly name: string; readonly patch: object }[] }>(
    "test/fixtures/tokenizer/rust_tokenizers.json",
  );
  const byteLevel = variants.find(({ name }) => name === "byte level")!.patch;
  it.each([
    ["pieces of SentencePiece", talesFromModel],
    ["GPT-2's alphabet", await tokenizerOf({ "tokenizer.json": byteLevel })],
  ])("are those of %s", (_, tokenizer) => {
    const spelling = spellingOf(tokenizer, tokenizer.vocabSize);
    let whole = 0;
    for (let id = 0; id < tokenizer.vocabSize; id++) {
      const bytes = tokenizer.tokenBytes(id);
      if (bytes.length === 0) continue; // a control token's
      const found = spelling.id(bytes);
      if (found === null) expect(new TextDecoder().decode(bytes)).toContain("\uFFFD");
      else {
        expect(tokenizer.tokenBytes(found)).toEqual(bytes);
        expect(tokenizer.isSpecial(found)).toBe(false);
        whole++;
      }
    }
    expect(whole).toBeGreaterThan(0.9 * tokenizer.vocabSize);
    expect(spelling.id(new TextEncoder().encode("no token is as long as this text"))).toBe(null);
    const [e] = tokenizer.encode("e", { addBos: false }).slice(-1);
    expect(spellingOf(tokenizer, e!).id(new TextEncoder().encode("e"))).not.toBe(e);
  });

  it("are those that a text is encoded with, not single bytes", () => {
    const { id } = spellingOf(talesFromModel, talesFromModel.vocabSize);
    for (const piece of ["e", "eep", " wood"]) {
      const bytes = new TextEncoder().encode(piece);
      const found = id(bytes);
      if (found !== null) expect(talesFromModel.idToPiece(found)).toBe(piece.replace(" ", "\u2581"));
    }
  });
});
