// Schemas as they are published: older drafts, keywords and formats that no draft has, and forms
// that other tools write.

import { Ajv, type ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, describe, expect, it } from "vitest";
import { createGrammars } from "../../src/grammar/grammars.ts";
import { talesFromJson } from "../tokenizer/support.ts";
import { accepts, randomFrom, randomText } from "./support.ts";

const tokenizer = talesFromJson;
const grammars = createGrammars(tokenizer, tokenizer.vocabSize, tokenizer.eosIds);
afterAll(() => grammars.close());

const DRAFT_4 = "http://json-schema.org/draft-04/schema#";
const DRAFT_7 = "http://json-schema.org/draft-07/schema#";
const word = { type: "string", pattern: "^[a-z]{1,3}$" };

interface Case {
  readonly schema: Readonly<Record<string, unknown>>;
  /** The same in words that ajv knows, where it does not know these. */
  readonly judge?: Readonly<Record<string, unknown>>;
  readonly yes: readonly unknown[];
  readonly no: readonly unknown[];
}

const cases: Readonly<Record<string, Case>> = {
  "draft 4: bounds that are left out": {
    schema: {
      $schema: DRAFT_4,
      type: "integer",
      minimum: 1,
      exclusiveMinimum: true,
      maximum: 9,
      exclusiveMaximum: false,
    },
    judge: { type: "integer", exclusiveMinimum: 1, maximum: 9 },
    yes: [2, 9],
    no: [1, 10],
  },
  "bounds that are left out, without a draft": {
    schema: { type: "integer", minimum: 1, exclusiveMinimum: true, maximum: 3 },
    judge: { type: "integer", exclusiveMinimum: 1, maximum: 3 },
    yes: [2, 3],
    no: [1, 4],
  },
  "draft 4: ids that references are relative to": {
    schema: {
      $schema: DRAFT_4,
      id: "http://example.com/root.json",
      type: "object",
      properties: { a: { $ref: "#word" }, b: { $ref: "other.json#/definitions/n" } },
      required: ["a", "b"],
      definitions: {
        w: { id: "#word", ...word },
        o: { id: "other.json", definitions: { n: { type: "integer", enum: [1, 2] } } },
      },
    },
    judge: {
      type: "object",
      properties: { a: word, b: { enum: [1, 2] } },
      required: ["a", "b"],
    },
    yes: [{ a: "abc", b: 1 }],
    no: [{ a: "abcd", b: 1 }, { a: "abc", b: 3 }, { a: "abc" }],
  },
  "draft 4: ids that are labels, and references past them": {
    schema: {
      $schema: DRAFT_4,
      definitions: { w: word },
      type: "object",
      properties: { a: { id: "/properties/a", type: "array", items: { $ref: "#/definitions/w" }, minItems: 1 } },
      required: ["a"],
    },
    judge: { type: "object", properties: { a: { type: "array", items: word, minItems: 1 } }, required: ["a"] },
    yes: [{ a: ["x", "y"] }],
    no: [{ a: [] }, { a: ["x", 1] }],
  },
  "draft 7: what stands beside a reference is kept as well": {
    schema: {
      $schema: DRAFT_7,
      type: "object",
      properties: { a: { $ref: "#/definitions/w", maxLength: 2, description: "a word" } },
      required: ["a"],
      definitions: { w: word },
    },
    yes: [{ a: "xy" }],
    no: [{ a: "xyz" }, { a: "XY" }],
  },
  "draft 7: a list of items, and dependencies": {
    schema: {
      $schema: DRAFT_7,
      type: "object",
      properties: {
        pair: { type: "array", items: [{ const: 1 }, { enum: ["a", "b"] }], additionalItems: false, minItems: 1 },
        x: { const: 1 },
        y: { const: 2 },
      },
      required: ["pair"],
      dependencies: { x: ["y"] },
      additionalProperties: false,
    },
    yes: [{ pair: [1, "a"], x: 1, y: 2 }, { pair: [1] }],
    no: [{ pair: [1], x: 1 }, { pair: [1, "a", 2] }, { pair: ["a"] }],
  },
  "references into lists and old keywords": {
    schema: {
      $schema: DRAFT_7,
      definitions: { t: { items: [word, { type: "boolean" }] } },
      type: "object",
      properties: { a: { $ref: "#/definitions/t/items/1" }, b: { $ref: "#/properties/a" } },
      required: ["a", "b"],
    },
    yes: [{ a: true, b: false }],
    no: [{ a: "x", b: false }],
  },
  "2019-09: a reference to the whole": {
    schema: {
      $schema: "https://json-schema.org/draft/2019-09/schema",
      type: "object",
      properties: { n: { enum: [1, 2] }, next: { $recursiveRef: "#" } },
      required: ["n"],
      additionalProperties: false,
    },
    judge: {
      type: "object",
      properties: { n: { enum: [1, 2] }, next: { $ref: "#" } },
      required: ["n"],
      additionalProperties: false,
    },
    yes: [{ n: 1 }, { n: 1, next: { n: 2 } }],
    no: [{ n: 3 }, { n: 1, next: {} }],
  },
  "a definition that is wrong, which nothing uses": {
    schema: { type: "string", maxLength: 2, definitions: { broken: { type: "any", minLength: -1 } } },
    judge: { type: "string", maxLength: 2 },
    yes: ["ab"],
    no: ["abc"],
  },
  "alternatives told apart by a constant": {
    schema: {
      oneOf: Array.from({ length: 40 }, (_, i) => ({
        type: "object",
        properties: { kind: { const: `k${i}` }, n: { type: "integer", minimum: i, maximum: i + 1 } },
        required: ["kind"],
      })),
    },
    yes: [{ kind: "k7", n: 8 }],
    no: [{ kind: "k7", n: 9 }, { kind: "k40" }, { n: 1 }],
  },
  "forty conditions on one property": {
    schema: {
      type: "object",
      properties: { kind: { enum: Array.from({ length: 40 }, (_, i) => `k${i}`) }, n: { type: "integer" } },
      required: ["kind", "n"],
      allOf: Array.from({ length: 40 }, (_, i) => ({
        if: { properties: { kind: { const: `k${i}` } }, required: ["kind"] },
        // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
        then: { properties: { n: { const: i } } },
      })),
    },
    yes: [{ kind: "k7", n: 7 }],
    no: [{ kind: "k7", n: 8 }],
  },
  "a thousand values": {
    schema: { enum: Array.from({ length: 1000 }, (_, i) => `value ${i}`) },
    yes: ["value 7", "value 999"],
    no: ["value 1000"],
  },
  "a property that must be among several": {
    schema: {
      type: "object",
      not: {
        anyOf: [
          { propertyNames: { not: { enum: ["a", "b"] } } },
          { propertyNames: { not: { enum: ["b", "c"] } } },
          { propertyNames: { not: { enum: ["c", "a"] } } },
        ],
      },
      patternProperties: { "^[abc]$": { const: 1 } },
      additionalProperties: false,
      maxProperties: 2,
    },
    yes: [{ a: 1, b: 1 }],
    no: [{ a: 1 }, { a: 1, b: 1, c: 1 }, {}],
  },
  "unique items of any kind": {
    schema: { type: "array", items: { type: "string" }, uniqueItems: true },
    yes: [[], ["a"]],
    no: [["a", "a"], [1]],
  },
  "an e-mail address as zod writes it": {
    schema: {
      type: "string",
      pattern:
        "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$",
    },
    yes: ["a.b@example.com"],
    no: [".a@example.com", "a..b@example.com", "a@example"],
  },
  "whole words, and neither case": {
    schema: { type: "string", pattern: "(?i)\\bcat\\b", maxLength: 12 },
    judge: { type: "string", pattern: "\\b[cC][aA][tT]\\b", maxLength: 12 },
    yes: ["a Cat.", "CAT"],
    no: ["concat", "cats"],
  },
  "a pattern that is none in u mode": {
    schema: { type: "string", pattern: "^[\\w-.]+\\_\\d{$" },
    judge: { type: "string", pattern: "^[\\w\\-.]+_\\d\\{$" },
    yes: ["a-b_1{"],
    no: ["a b_1{", "a-b_1"],
  },
  "a beginning, and then characters that are counted": {
    schema: { type: "string", pattern: "^https?://[^ ]+$", minLength: 45, maxLength: 50 },
    yes: [`http://${"a".repeat(38)}`, `https://${'\\"'.repeat(21)}`],
    no: [`http://${"a".repeat(37)}`, `https://${"a".repeat(43)}`, `http://${" ".repeat(40)}`],
  },
  "a long text of one kind": {
    schema: { type: "string", pattern: "^[^<>]*$", maxLength: 10_000 },
    yes: ["", "a\nb", "x".repeat(300)],
    no: ["a<b"],
  },
  "a format beside a pattern that it cannot meet": {
    schema: { type: "string", format: "ipv4", pattern: "^arn:[a-z]{1,4}$" },
    yes: ["arn:aws"],
    no: ["aws"],
  },
};

describe.each(Object.entries(cases))("%s", (_, { schema, judge = schema, yes, no }) => {
  it("is accepted, and what is written, what is taken and what is not are as ajv says", async () => {
    const ajv = new (judge.$schema === DRAFT_7 ? Ajv : Ajv2020)({ strict: false, validateFormats: false });
    const validate: ValidateFunction = ajv.compile(judge);
    const grammar = await grammars.jsonSchema(schema);
    const random = randomFrom(7);
    const words = JSON.stringify(schema).match(/\w+/g) ?? [];
    for (let i = 0; i < 8; i++) {
      const text = await randomText(grammar, tokenizer, random, words);
      if (text !== null) expect(validate(JSON.parse(text)), text).toBe(true);
    }
    for (const value of yes) {
      expect(validate(value), JSON.stringify(value)).toBe(true);
      expect(await accepts(grammar, JSON.stringify(value), tokenizer), JSON.stringify(value)).toBe(true);
    }
    for (const value of no) {
      expect(validate(value), JSON.stringify(value)).toBe(false);
      expect(await accepts(grammar, JSON.stringify(value), tokenizer), JSON.stringify(value)).toBe(false);
    }
  });
});

describe("formats", () => {
  it.each([
    ["uri", ["urn:isbn:1", "mailto:a@b.c", "ftp://h/x?y#z"], ["no scheme", "//host/x"]],
    ["uri-reference", ["../a?b", "#c", "", "http://h"], ["a b"]],
    ["email", ["a.b@example.com"], ["a@b", "@b.c"]],
    ["date", ["2024-02-29", "1999-12-31"], ["2023-02-29", "0000-01-01", "2024-13-01"]],
    ["duration", ["P1Y2M3D", "PT5M", "P2W"], ["P", "PT", "P1H"]],
    ["ipv6", ["::1", "fe80::1:2", "1:2:3:4:5:6:7:8"], ["1::2::3", "1:2", "12345::"]],
    ["json-pointer", ["", "/a/~0b"], ["a", "/~2"]],
    ["regex", ["^(ab|c)*$", "[a-z]+"], ["(", "*a"]],
    ["uuid", ["123e4567-e89b-12d3-a456-426614174000"], ["123e4567"]],
  ] as const)("%s: what is written is of the format", async (format, yes, no) => {
    const grammar = await grammars.jsonSchema({ type: "string", format });
    expect(grammar.warnings).toEqual([]);
    for (const text of yes) expect(await accepts(grammar, JSON.stringify(text), tokenizer), text).toBe(true);
    for (const text of no) expect(await accepts(grammar, JSON.stringify(text), tokenizer), text).toBe(false);
  });

  it("of integers are their range", async () => {
    const grammar = await grammars.jsonSchema({ type: "integer", format: "int32" });
    expect(await accepts(grammar, "2147483647", tokenizer)).toBe(true);
    expect(await accepts(grammar, "2147483648", tokenizer)).toBe(false);
  });
});

describe("what is not known is an annotation, and a warning says so", () => {
  it.each([
    [{ type: "string", maxLenght: 3 }, ["keyword `maxLenght` at # is not known: it constrains nothing"]],
    [{ type: "object", properties: { a: { nullable: true } } }, ["keyword `nullable` at #/properties/a is not known"]],
    [{ type: "string", format: "phone" }, ['format "phone" at # is not known: it constrains nothing']],
    [{ $schema: "http://example.com/mine" }, ['names "http://example.com/mine", which is not known']],
    [{ type: "array", uniqueItems: true }, ["keyword `uniqueItems` at # is kept by writing at most one item"]],
    [{ title: "t", "x-mine": 1, examples: [1], deprecated: true, discriminator: { propertyName: "a" } }, []],
    [JSON.parse('{"__proto__": {"type": "string"}}'), ["keyword `__proto__` at #"]],
  ] as const)("%j", async (schema, expected) => {
    const { warnings } = await grammars.jsonSchema(schema);
    expect(warnings).toHaveLength(expected.length);
    for (const [i, text] of expected.entries()) expect(warnings[i]).toContain(text);
  });

  it("of many the first ones, and how many there are", async () => {
    const schema = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`k${i}`, 1]));
    const { warnings } = await grammars.jsonSchema(schema);
    expect(warnings).toHaveLength(21);
    expect(warnings[20]).toContain("980 more");
  });
});
