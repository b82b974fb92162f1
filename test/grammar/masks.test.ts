// Masks are right, token by token, where lengths are counted; and grammars are written so that
// xgrammar knows them ahead.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { afterAll, describe, expect, it } from "vitest";
import { RequestError } from "../../src/errors.ts";
import { ebnfGrammar } from "../../src/grammar/ebnf.ts";
import { closedRules } from "../../src/grammar/follow.ts";
import { createGrammars } from "../../src/grammar/grammars.ts";
import { isWide, type Rule } from "../../src/grammar/right.ts";
import { schemaGrammar } from "../../src/grammar/schema.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { some } from "../support/some.ts";
import { talesFromJson } from "../tokenizer/support.ts";
import { allowed, randomFrom } from "./support.ts";

const tokenizer = talesFromJson;
const grammars = createGrammars(tokenizer, tokenizer.vocabSize, tokenizer.eosIds);
afterAll(() => grammars.close());

const bytesOf = (text: string): number[] => [...new TextEncoder().encode(text)];
/** Escapes, characters of two to four bytes, and pairs of surrogates. */
const CHARACTERS = ["a", "b", " ", "é", "漢", "😀", "\\n", '\\"', "\\u00e9", "\\ud83d\\ude00"];

/** How an escape may break off. */
const BROKEN =
  /^(?:\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u(?:[dD](?:[c-fC-F][0-9a-fA-F]?)?)?)?)?)?)?)?$/;

/**
 * Whether bytes are the beginning of a JSON string of `min` to `max` characters, by its definition.
 */
function begins(bytes: readonly number[], min: number, max: number): boolean {
  // Bytes that end within a character are looked at without it.
  let size = bytes.length;
  let open = false;
  for (let back = 1; back <= Math.min(3, size); back++) {
    const byte = bytes[size - back]!;
    if (byte < 0x80) break;
    if (byte < 0xc0) continue;
    const needs = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2;
    if (byte < 0xc2 || byte > 0xf4) return false;
    if (needs > back) {
      const second = back > 1 ? bytes[size - back + 1]! : null;
      const [low, high] = SECOND[byte] ?? [0x80, 0xbf];
      if (second !== null && (second < low || second > high)) return false;
      [size, open] = [size - back, true];
    }
    break;
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Uint8Array.from(bytes.slice(0, size)));
  } catch {
    return false;
  }
  const [quote, ...rest] = text;
  if (quote === undefined) return !open;
  if (quote !== '"') return false;
  const inner = rest.join("");
  const whole =
    /^(?:[ !#-[\]-\u{10ffff}]|\\["\\/bfnrt]|\\u(?:[0-9a-ce-fA-CE-F][0-9a-fA-F]{3}|[dD][0-7][0-9a-fA-F]{2}|[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}))*/u.exec(
      inner,
    )![0];
  const tail = inner.slice(whole.length);
  const count = [...(JSON.parse(`"${whole}"`) as string)].length;
  if (tail === '"') return !open && count >= min && count <= max;
  if (!BROKEN.test(tail) || (open && tail !== "")) return false;
  return count + (tail !== "" || open ? 1 : 0) <= max;
}

const SECOND: Readonly<Record<number, readonly [number, number]>> = {
  224: [0xa0, 0xbf],
  237: [0x80, 0x9f],
  240: [0x90, 0xbf],
  244: [0x80, 0x8f],
};

describe("masks of strings whose length is bounded", () => {
  const bounds: readonly (readonly [number, number])[] = [
    [0, 0],
    [0, 1],
    [1, 1],
    [2, 5],
    [0, 16],
    [0, 31],
    [0, 32],
    [0, 33],
    [0, 47],
    [0, 49],
    [15, 64],
    [31, 31],
    [33, 33],
    [40, 90],
    [64, 64],
    [0, 100],
    [70, Number.POSITIVE_INFINITY],
    [0, 5000],
  ];
  it.each(some(bounds, 3))(
    "%d to %d characters: every token is allowed that a text can go on with, and no other",
    async (min, max) => {
      const grammar = await grammars.jsonSchema({
        type: "string",
        ...(min > 0 && { minLength: min }),
        ...(max < Number.POSITIVE_INFINITY && { maxLength: max }),
      });
      const random = randomFrom(min * 101 + Math.min(max, 9999));
      const byte = (b: number): number => tokenizer.pieceToId(`<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`)!;
      for (let round = 0; round < 2; round++) {
        const matcher = await grammar.matcher();
        const written = bytesOf('"');
        matcher.accept(byte(0x22));
        const length = Math.min(max, min + 45);
        for (let i = 0; ; i++) {
          // Near the bounds every place, elsewhere one in twenty: a mask is compared with hundreds
          // of tokens.
          if (i === length || Math.min(Math.abs(min - i), max - i) < 3 || random() < 0.05) {
            const mask = new Set(allowed((await matcher.mask())!));
            for (let id = 0; id < tokenizer.vocabSize; id++) {
              if (tokenizer.isSpecial(id) || tokenizer.tokenBytes(id).length === 0) continue;
              const can = begins([...written, ...tokenizer.tokenBytes(id)], min, max);
              if (can !== mask.has(id))
                expect.fail(`token ${JSON.stringify(tokenizer.tokenText(id))} after ${i} characters: ${mask.has(id)}`);
            }
          }
          if (i === length) break;
          for (const b of bytesOf(CHARACTERS[Math.floor(random() * CHARACTERS.length)]!)) {
            written.push(b);
            matcher.accept(byte(b));
          }
        }
        matcher.close();
      }
    },
  );

  it("stay compact: a limit of a million is counted in few rules", () => {
    const few = schemaGrammar({ type: "string", maxLength: 1000 }).rules.size;
    expect(schemaGrammar({ type: "string", maxLength: 1e6 }).rules.size).toBeLessThan(2 * few + 200);
    expect(schemaGrammar({ type: "string", minLength: 1e6 }).rules.size).toBeLessThan(3000);
  });
});

/**
 * Rules that something comes behind, although they may end within many tokens: after each such end
 * xgrammar tries all that follows, token by token, for each mask again.
 */
function openWithin(rules: ReadonlyMap<string, Rule>): string[] {
  const closed = closedRules(rules);
  const open = (rule: string): boolean => !closed.has(rule);
  /** Rules that may end behind any of many characters. */
  const wide = new Set<string>();
  for (let size = -1; size !== wide.size; ) {
    size = wide.size;
    for (const [name, { body }] of rules) {
      const ends = body.some((terms) => {
        const last = terms[terms.length - 1];
        const goesOn = last !== undefined && "rule" in last;
        if (goesOn && wide.has(last.rule)) return true;
        return (!goesOn || open(last.rule)) && terms.some((term) => "set" in term && isWide(term.set));
      });
      if (ends) wide.add(name);
    }
  }
  const found = new Set<string>();
  for (const { body } of rules.values()) {
    for (const terms of body) {
      for (const term of terms.slice(0, -1)) {
        if ("rule" in term && wide.has(term.rule) && !rules.get(term.rule)!.apart) found.add(term.rule);
      }
    }
  }
  return [...found];
}

describe("rules end where texts do", () => {
  const text = { type: "string" };
  it.each<[string, unknown]>([
    ["any value", true],
    ["a string", text],
    ["lengths", { type: "object", properties: { a: { ...text, maxLength: 60 }, b: { ...text, minLength: 40 } } }],
    ["patterns", { type: "array", items: { ...text, pattern: "^[^,]{2,30}$" } }],
    ["formats", { type: "array", items: { ...text, format: "email" } }],
    ["names", { type: "object", patternProperties: { "^x": text }, additionalProperties: { type: "number" } }],
    ["lists of strings", { type: "array", items: { enum: ["é", "漢字", "a"] }, minItems: 3, maxItems: 60 }],
    ["letters", { type: "array", items: { ...text, pattern: "^\\p{L}+$" } }],
  ])("in the grammar of %s", (_, schema) => {
    expect(openWithin(schemaGrammar(schema).rules)).toEqual([]);
  });

  it.each([
    'root ::= "[" ([^\\]])* "]"',
    'root ::= (line)*\nline ::= [^\\n]+ "\\n"',
    'root ::= item ("," item)*\nitem ::= char+\nchar ::= letter | "\\\\" letter\nletter ::= [^,\\\\]',
    'root ::= "<" [^>]{3,200} ">"',
    'root ::= ([^a] | "a" [^b])* "ab"',
  ])("in the grammar %s", (grammar) => {
    expect(openWithin(ebnfGrammar(grammar).rules)).toEqual([]);
  });

  const suite = inShared("fixtures/json-schema-test-suite");
  it.skipIf(leftToCi)(titled("in every grammar of the official suite", suite.skip ?? leftToCi), () => {
    if (suite.skip !== null) return;
    let grammarsSeen = 0;
    for (const draft of ["draft2020-12", "draft7"]) {
      const folder = `${suite.path}/${draft}`;
      for (const file of existsSync(folder) ? readdirSync(folder) : []) {
        const groups = JSON.parse(readFileSync(`${folder}/${file}`, "utf8")) as {
          description: string;
          schema: unknown;
        }[];
        for (const { description, schema } of groups) {
          try {
            const { rules } = schemaGrammar(schema);
            grammarsSeen++;
            expect(openWithin(rules), `${file}: ${description}`).toEqual([]);
          } catch (error) {
            if (!(error instanceof RequestError)) throw error;
          }
        }
      }
    }
    expect(grammarsSeen).toBeGreaterThan(300);
  });
});
