// Schemas of tools, whatever they are: hotset enforces everything except what no
// grammar can express.

import { describe, expect, it } from "vitest";
import { RequestError } from "../../src/errors.ts";
import { relaxed, Tries } from "../../src/grammar/relaxed.ts";

const b = { enum: ["x", "y"] };
const required = ["a", "b"];
/** An object with a member of the schema that is tried, and one that is always enforced. */
const beside = (a: unknown): Record<string, unknown> => ({ type: "object", properties: { a, b }, required });

/** The schema of the member, and what is left of it. */
const members: readonly (readonly [string, unknown, unknown])[] = [
  [
    "look-ahead (zod's e-mail)",
    { type: "string", pattern: "^(a)@\\1$", maxLength: 9 },
    { type: "string", maxLength: 9 },
  ],
  ["look-ahead (zod's e-mail), which is enforced", { pattern: "^(?!\\.)a@b$" }, { pattern: "^(?!\\.)a@b$" }],
  ["back references", { type: "string", pattern: "(a)\\1" }, { type: "string" }],
  ["a pattern of Python", { type: "string", pattern: "(?i)^abc\\Z" }, { type: "string" }],
  ["a pattern that is none", { type: "string", pattern: "[a" }, { type: "string" }],
  ["a pattern of a megabyte", { type: "string", pattern: "a?".repeat(500_000) }, { type: "string" }],
  ["a pattern that is no text", { type: "string", pattern: 5 }, { type: "string" }],
  ["draft 3's required", { type: "string", required: true }, { type: "string" }],
  ["draft 3's any", { type: "any" }, {}],
  ["a type of another language", { type: ["str", "int"] }, {}],
  ["no list of values", { type: "string", enum: null }, { type: "string" }],
  ["an empty list of values", { type: "string", enum: [] }, { type: "string" }],
  ["a reference to nowhere", { $ref: "#/$defs/none", maxLength: 3 }, { maxLength: 3 }],
  ["a reference to another document", { $ref: "https://schemas.example/a.json" }, {}],
  ["a reference that is no text", { $ref: 5 }, {}],
  ["a schema that is none", 5, true],
  ["a schema without values", false, true],
  ["limits that exclude each other", { type: "integer", minimum: 5, maximum: 1 }, { type: "integer", maximum: 1 }],
  ["limits that are texts", { type: "integer", minimum: "0", maximum: 9 }, { type: "integer", maximum: 9 }],
  ["items that are no schema", { type: "array", items: 5, maxItems: 2 }, { type: "array", maxItems: 2 }],
  [
    "an old list of items",
    { type: "array", items: [b, { type: "string", pattern: "(a)\\1" }], additionalItems: false },
    { type: "array", items: [b, { type: "string" }], additionalItems: false },
  ],
  ["what is to be none of", { not: { pattern: "(a)\\1", type: "string" }, maxLength: 3 }, { maxLength: 3 }],
  [
    "a condition",
    JSON.parse('{"if": {"pattern": "(a)\\\\1"}, "then": {"minLength": 2}, "maxLength": 3}'),
    { maxLength: 3 },
  ],
  [
    "one of several",
    {
      oneOf: [
        { type: "string", pattern: "(a)\\1b" },
        { type: "integer", maximum: 3 },
      ],
    },
    { anyOf: [{ type: "string" }, { type: "integer", maximum: 3 }] },
  ],
  [
    "so many of its items",
    { type: "array", contains: { pattern: "(a)\\1" }, maxContains: 1, maxItems: 3 },
    { type: "array", maxItems: 3 },
  ],
  [
    "names that follow no pattern",
    { type: "object", patternProperties: { "(x)\\1": {} }, properties: { b } },
    { type: "object", properties: { b } },
  ],
  [
    "deep within, under a name of any kind",
    { type: "object", properties: { "a b/c~d": { type: "string", pattern: "(a)\\1" }, b } },
    { type: "object", properties: { "a b/c~d": { type: "string" }, b } },
  ],
];

/** Schemas of arguments as a whole. */
const whole: readonly (readonly [string, unknown, unknown])[] = [
  ["null", null, { type: "object" }],
  ["a list", [b], { type: "object" }],
  ["true", true, { type: "object" }],
  ["a text", "object", { type: "object" }],
  ["no object at all", { type: "string" }, { type: "object" }],
  ["a type that is none", { type: 5, properties: { b } }, { type: "object", properties: { b } }],
  ["an object or null", { type: ["object", "null"], properties: { b } }, { type: "object", properties: { b } }],
  [
    "properties that are none",
    { type: "object", properties: null, required: ["b"] },
    { type: "object", required: ["b"] },
  ],
  ["a list of properties", { type: "object", properties: [b], required: 3 }, { type: "object" }],
  ["itself", { $ref: "#" }, { type: "object" }],
  [
    "a name that is needed and may not be there",
    { type: "object", properties: { b }, required: ["z"], additionalProperties: false },
    { type: "object", properties: { b }, additionalProperties: false },
  ],
  [
    "__proto__ as a name",
    JSON.parse('{"properties": {"__proto__": {"enum": [1]}}, "required": ["__proto__"]}'),
    JSON.parse('{"properties": {"__proto__": {"enum": [1]}}, "required": ["__proto__"], "type": "object"}'),
  ],
  ["nothing that is wrong", beside({ type: "integer" }), beside({ type: "integer" })],
];

describe("a schema is relaxed", () => {
  it.each(members)("of a member: %s", (_, given, expected) => {
    expect(relaxed(beside(given), new Tries())).toEqual(beside(expected));
  });

  it.each(whole)("of the arguments: %s", (_, given, expected) => {
    expect(relaxed(given, new Tries())).toEqual(expected);
  });

  it("500 levels deep, down to some of them", () => {
    let deep: Record<string, unknown> = { type: "integer" };
    for (let i = 0; i < 250; i++) deep = beside(deep);
    const found = relaxed(deep, new Tries()) as ReturnType<typeof beside>;
    expect(found.properties).toMatchObject({ a: { properties: { a: { properties: { b } } }, required }, b });
  });

  it("what is too large alone", () => {
    const tries = new Tries(({ text }) => {
      if (text.includes("large")) throw new RequestError("too large to compile");
    });
    expect(relaxed(beside({ enum: ["large"] }), tries)).toEqual(beside({}));
  });

  it("a pattern once, wherever it stands, also in the next schema", () => {
    const members = (type: string) =>
      Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`p${i}`, { type, pattern: "(a)\\1", minLength: i }]));
    const left = (type: string) => ({
      type: "object",
      properties: Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`p${i}`, { type, minLength: i }])),
    });
    const tries = new Tries();
    expect(relaxed({ properties: members("string") }, tries)).toEqual(left("string"));
    const pattern = "(a)\\1";
    const one = [
      { pattern, maxLength: 2 },
      { pattern, maxLength: 3 },
    ];
    const other = { a: { not: { pattern }, enum: [{ pattern }] }, c: { type: "string", oneOf: one } };
    expect(relaxed({ properties: other }, tries)).toEqual({
      type: "object",
      properties: { a: { enum: [{ pattern }] }, c: { type: "string", anyOf: [{ maxLength: 2 }, { maxLength: 3 }] } },
    });
  });

  it("in a bounded number of tries", () => {
    const names = Array.from({ length: 300 }, (_, i) => [`p${i}`, { type: "string", pattern: `(a)\\1${i}` }]);
    expect(relaxed({ properties: Object.fromEntries(names) }, new Tries())).toEqual({ type: "object" });
  });
});
