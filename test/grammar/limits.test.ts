// Bad input is refused by name, without hanging (tests that do end by their time limit); and what
// xgrammar has been found to get wrong is got right by how it is asked.

import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, describe, expect, it } from "vitest";
import { RequestError } from "../../src/errors.ts";
import { createGrammars } from "../../src/grammar/grammars.ts";
import { parseRegex } from "../../src/grammar/regex.ts";
import { Unsupported } from "../../src/grammar/unsupported.ts";
import { talesFromJson } from "../tokenizer/support.ts";
import { accepts, allowed, randomFrom, randomText } from "./support.ts";

const tokenizer = talesFromJson;
const grammars = createGrammars(tokenizer, tokenizer.vocabSize + 3, tokenizer.eosIds);
afterAll(() => grammars.close());

/** A value nested so deep that nothing may recurse into it. */
function nested(depth: number, wrap: (inner: unknown) => unknown): unknown {
  let value: unknown = true;
  for (let i = 0; i < depth; i++) value = wrap(value);
  return value;
}

const anyOfs = Array.from({ length: 12 }, (_, i) => ({
  anyOf: Array.from({ length: 12 }, (_, j) => ({ properties: { [`p${i}`]: { const: j } } })),
}));

const schemas: readonly (readonly [string, unknown, RegExp])[] = [
  ["10,000 deep in not", nested(10_000, (not) => ({ not })), /nested more than 100 deep/],
  ["10,000 deep in items", nested(10_000, (items) => ({ items })), /nested more than 100 deep/],
  ["10,000 deep in enum", { enum: [nested(10_000, (inner) => [inner])] }, /nested more than 100 deep/],
  ["five megabytes", { enum: ["x".repeat(5e6)] }, /larger than 4096 KiB/],
  ["no schema", 7, /expected an object, found 7/],
  ["a list", [], /expected an object/],
  ["draft 3", { $schema: "http://json-schema.org/draft-03/schema#" }, /keyword `\$schema` at # names a draft before 4/],
  ["a wrong type", { properties: { a: { type: "text" } } }, /keyword `type` at #\/properties\/a holds "text"/],
  ["a wrong value", { minLength: "3" }, /keyword `minLength` at # holds "3", expected a whole number/],
  ["a wrong list", { required: "a" }, /keyword `required` at # holds "a", expected a list of names/],
  ["a wrong pattern", { pattern: "(" }, /keyword `pattern` at # is not a regular expression of ECMAScript: "\("/],
  ["look-ahead that repeats", { pattern: "((?=a)b)*c" }, /keyword `pattern` at # .*look-around that repeats/],
  ["a back reference", { pattern: "(a)\\1" }, /keyword `pattern` at # .*back references/],
  ["a pattern that explodes", { pattern: "(a|b)*a(a|b){20}" }, /keyword `pattern` at # .*too many states/],
  ["repetitions", { pattern: "(((a{900}){900}){900}){900}" }, /keyword `pattern` at # .*too many states/],
  ["alternatives that multiply", { allOf: anyOfs }, /combinations/],
  ["itself", { $ref: "#" }, /keyword `\$ref` at # refers to itself without end/],
  [
    "nothing there",
    { $ref: "#/$defs/a" },
    /keyword `\$ref` at # refers to "#\/\$defs\/a", which the schema does not have/,
  ],
  ["elsewhere", { $ref: "https://example.com/a.json" }, /keyword `\$ref` at # .*not part of the schema/],
  ["unique items", { uniqueItems: true, minItems: 2 }, /keyword `uniqueItems` at # needs 2 different items/],
  ["a contradiction", { type: "string", minLength: 3, maxLength: 2 }, /found no value/],
  ["too long to count", { pattern: "^(abc|[^x]y){900}$" }, /too large to compile|too many states/],
];

describe("refused by name", () => {
  it.each(schemas)("%s", async (_, schema, message) => {
    const refused = grammars.jsonSchema(schema);
    await expect(refused).rejects.toThrow(RequestError);
    await expect(refused).rejects.toThrow(message);
  });

  it.each([
    ["(a+)+$(", /^regex: the pattern is not a regular expression of ECMAScript: /],
    ["(?>a)", /^regex: the pattern is not a regular expression of ECMAScript: /],
    ["((?<!a)b)*", /look-around that repeats/],
    ["(?:$|a)(?<=b)", /before a look-behind/],
    ["\\Afoo\\Z\\_", /the escape \\A/],
    ["(a|b)*a(a|b){20}", /too many states/],
    [`${"(".repeat(60)}a${")".repeat(60)}`, /nested more than 50 deep/],
    ["a{5000}", /more than 1000 repetitions/],
    ["[^\\s\\S]", /no text matches/],
    ["x".repeat(3000), /more than 2000 characters/],
  ] as const)("the pattern %s", async (pattern, message) => {
    const refused = grammars.regex(pattern);
    await expect(refused).rejects.toThrow(RequestError);
    await expect(refused).rejects.toThrow(message);
  });

  it.each([
    ["", /expected a rule `root`/],
    ["root ::= foo", /`root` refers to `foo`, which is not defined/],
    ["root ::= (", /line 1, column 11: expected \)/],
    ['root ::= "a', /line 1, column 12: a text that does not end/],
    ["root ::= [a", /a class that does not end/],
    ['root ::= root "a" | "a"', /left recursion/],
    ['root ::= a\na ::= b? root "x"\nb ::= "b"', /left recursion/],
    ['root ::= ("a"?)*', /repeats what may be empty/],
    ['root ::= "a" root', /derives no text/],
    ['root ::= "a"{9999}', /more than 1000 repetitions/],
    ["root ::= (([^x]{1000}){1000}){1000}", /not supported|too large/],
    [`root ::= ${"(".repeat(1000)}`, /nested more than 50 deep/],
    ['root ::= "a"\nroot ::= "b"', /defined twice/],
    ['root ::= "\\q"', /escape \\q/],
  ] as const)("the grammar %s", async (text, message) => {
    const refused = grammars.ebnf(text);
    await expect(refused).rejects.toThrow(RequestError);
    await expect(refused).rejects.toThrow(message);
  });

  it("and after all that the next one is compiled", async () => {
    expect(await accepts(await grammars.regex("[0-9]+"), "42", tokenizer)).toBe(true);
  });
});

describe("patterns", () => {
  const random = randomFrom(5);
  it.each([
    "\\d{3}-\\d{4}",
    "[^a-z]{1,5}",
    "\\p{L}{1,6}",
    "\\p{Script=Greek}\\P{L}",
    "[à-ÿ]+|[ぁ-ゖ]{2}|\\u{1F600}",
    '(ab|ac|ad|b[^\\\\"]){2,3}',
    "[a-z.+-]{1,4}@[a-z]+\\.(com|org)",
    "(\\s|\\x41|\\cA|\\n){3}",
    "a*?b+?c??",
    "(?!ab|.*c)[abc]{1,3}",
    "(?=.*[0-9])(?=.*[a-z])[a-z0-9]{2,4}",
    "(\\w+ )\\b[a-z]{1,3}(?<!b)",
    "((?!foo)[a-z]){1,6}$",
    "^(^a|b$)$",
    "[-\\]^\"'\\\\]{4}",
    ".{0,4}\\.",
  ])("%s: texts of a random model match, by ECMAScript's own account", async (pattern) => {
    const grammar = await grammars.regex(pattern);
    for (let i = 0; i < 30; i++) {
      const text = await randomText(grammar, tokenizer, random);
      expect(text).toMatch(new RegExp(`^(?:${pattern})$`, "u"));
    }
  });

  it("are parsed, or are unsupported by name", () => {
    expect(() => parseRegex("(?s:a)")).toThrow(Unsupported);
    expect(parseRegex("(?<year>\\d+)").kind).toBe("repeat");
  });
});

describe("the mask", () => {
  it("never has control tokens or ids beyond the tokenizer, and has the end token where the text may end only", async () => {
    const matcher = await (await grammars.ebnf("root ::= [^x] [^x]?")).matcher();
    const first = allowed((await matcher.mask())!);
    expect(first.length).toBeGreaterThan(300);
    expect(first.filter((id) => id >= tokenizer.vocabSize || tokenizer.isSpecial(id))).toEqual([]);
    matcher.accept(tokenizer.pieceToId("a")!);
    const second = allowed((await matcher.mask())!);
    expect(second.filter((id) => id >= tokenizer.vocabSize || tokenizer.isSpecial(id))).toEqual([...tokenizer.eosIds]);
    expect(matcher.ended).toBe(false);
    expect(() => matcher.accept(tokenizer.pieceToId("x")!)).toThrow(RequestError);
    matcher.accept(tokenizer.eosIds[0]!);
    expect(matcher.ended).toBe(true);
    expect(allowed((await matcher.mask())!)).toEqual([...tokenizer.eosIds]);
    matcher.close();
    matcher.close();
    await expect(matcher.mask()).rejects.toThrow(/constraint is closed/);
  });

  it("of a string is UTF-8 only: no surrogates, no bytes that begin nothing", async () => {
    const grammar = await grammars.jsonSchema({ type: "string" });
    const byte = (b: number): number => tokenizer.pieceToId(`<0x${b.toString(16).toUpperCase().padStart(2, "0")}>`)!;
    const following = async (...bytes: number[]) => {
      const matcher = await grammar.matcher();
      for (const b of bytes) matcher.accept(byte(b));
      const ids = new Set(allowed((await matcher.mask())!));
      matcher.close();
      return Array.from({ length: 256 }, (_, b) => b).filter((b) => ids.has(byte(b)));
    };
    const range = (low: number, high: number): number[] => Array.from({ length: high - low + 1 }, (_, i) => low + i);
    const ascii = range(0x20, 0x7f);
    expect(await following(0x22)).toEqual([...ascii, ...range(0xc2, 0xf4)]);
    expect(await following(0x22, 0xed)).toEqual(range(0x80, 0x9f));
    expect(await following(0x22, 0xe0)).toEqual(range(0xa0, 0xbf));
    expect(await following(0x22, 0xf4)).toEqual(range(0x80, 0x8f));
  });

  it("of one of 500 texts that begin alike allows these only", async () => {
    const random = randomFrom(9);
    const word = () => Array.from({ length: 6 }, () => 'abé"漢'[Math.floor(random() * 5)]).join("");
    const words = Array.from({ length: 500 }, word);
    const grammar = await grammars.jsonSchema({ enum: words });
    for (let i = 0; i < 40; i++) expect(words).toContain(JSON.parse((await randomText(grammar, tokenizer, random))!));
    for (const one of words.slice(0, 40)) expect(await accepts(grammar, JSON.stringify(one), tokenizer)).toBe(true);
    expect(await accepts(grammar, '"zzzzzz"', tokenizer)).toBe(false);
  });

  it("of texts and names beyond ASCII is right wherever they stand", async () => {
    const random = randomFrom(11);
    const word = () => Array.from({ length: 5 }, () => "aéèê漢"[Math.floor(random() * 5)]).join("");
    const words = [...new Set(Array.from({ length: 60 }, word))];
    const properties = Object.fromEntries(words.map((name) => [name, { type: "boolean" }]));
    const schemas = [
      { type: "object", properties, additionalProperties: false },
      { type: "string", pattern: `^(${words.join("|")})$` },
      { type: "array", items: { enum: words.slice(0, 20) }, uniqueItems: true, minItems: 1, maxItems: 3 },
      { type: "object", patternProperties: { [`^(${words.join("|")})$`]: { const: 1 } }, additionalProperties: false },
    ];
    for (const schema of schemas) {
      const grammar = await grammars.jsonSchema(schema);
      const validate = new Ajv2020().compile(schema);
      for (let i = 0; i < 40; i++) {
        const text = await randomText(grammar, tokenizer, random);
        expect(text === null || validate(JSON.parse(text)), `${text}`).toBe(true);
      }
    }
    const rules = words.map((one, i) => `w${i} ::= "${one}"`).join("\n");
    const apart = grammars.ebnf(`root ::= ${words.map((_, i) => `w${i}`).join(" | ")}\n${rules}`);
    await expect(apart).rejects.toThrow(/write their texts as alternatives/);
    const together = await grammars.ebnf(`root ::= ${words.map((one) => `"${one}"`).join(" | ")}`);
    for (let i = 0; i < 60; i++) expect(words).toContain(await randomText(together, tokenizer, random));
  });
});

describe("a library that was loaded", () => {
  it("leaves no globals behind", () => {
    const names = ["xgrammar", "require", "__filename"];
    expect(names.filter((name) => Object.hasOwn(globalThis, name))).toEqual([]);
  });

  it("compiles equal texts once, and frees on close", async () => {
    const own = createGrammars(tokenizer, tokenizer.vocabSize, tokenizer.eosIds);
    const grammar = await own.regex("[a-z]{3}");
    const matcher = await (await own.regex("[a-z]{3}")).matcher();
    own.close();
    await expect(own.json()).rejects.toThrow(/closed/);
    await expect(grammar.matcher()).rejects.toThrow(/closed/);
    matcher.close();
  });
});
