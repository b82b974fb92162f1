// The schemas, patterns and grammars whose masks are measured: the official suite and larger cases.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Grammar, Grammars } from "../src/grammar/types.ts";

export interface Case {
  readonly name: string;
  readonly compile: (grammars: Grammars) => Promise<Grammar>;
  /** Words for enums. */
  readonly words: readonly string[];
}

const schemaCase = (name: string, schema: unknown): Case => ({
  name,
  compile: (grammars) => grammars.jsonSchema(schema),
  words: JSON.stringify(schema).match(/\w+/g) ?? [],
});

const text = { type: "string" };
const OBJECTS = ["name", "city", "street", "country", "phone", "email", "note", "title", "summary", "label"];
/** Cases that the suite lacks, or has only small. */
export const OWN: readonly Case[] = [
  { name: "own/any object", compile: (grammars) => grammars.json(), words: [] },
  schemaCase("own/maxLength 60", { type: "string", maxLength: 60 }),
  schemaCase("own/minLength 100", { type: "string", minLength: 100 }),
  schemaCase("own/lengths 20 to 2000", { type: "string", minLength: 20, maxLength: 2000 }),
  schemaCase("own/maxLength 10000", { type: "string", maxLength: 10_000 }),
  schemaCase("own/pattern of words", { type: "string", pattern: "^([A-Za-z]+ ?){1,20}$" }),
  schemaCase("own/pattern somewhere", { type: "string", pattern: "[0-9]{3}" }),
  schemaCase("own/pattern and length", { type: "string", pattern: "^[^0-9]*$", maxLength: 200 }),
  schemaCase("own/date-time", { type: "string", format: "date-time" }),
  schemaCase("own/uuid", { type: "string", format: "uuid" }),
  schemaCase("own/email", { type: "string", format: "email" }),
  schemaCase("own/enum of 500", { enum: Array.from({ length: 500 }, (_, i) => `${OBJECTS[i % 10]} ${i * 7919}`) }),
  schemaCase("own/object of ten texts", {
    type: "object",
    properties: Object.fromEntries(OBJECTS.map((name) => [name, text])),
    required: OBJECTS,
  }),
  schemaCase("own/forty optional texts", {
    type: "object",
    properties: Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`${OBJECTS[i % 10]}_${i}`, text])),
  }),
  schemaCase("own/list of objects", {
    type: "array",
    items: {
      type: "object",
      properties: {
        id: { type: "integer" },
        name: text,
        tags: { type: "array", items: text },
        score: { type: "number" },
      },
      required: ["id", "name"],
    },
  }),
  schemaCase("own/list of up to 30 texts", { type: "array", items: text, maxItems: 30 }),
  schemaCase("own/any value by name", { type: "object", additionalProperties: true }),
  schemaCase("own/names by pattern", {
    type: "object",
    patternProperties: { "^x-": text },
    additionalProperties: false,
  }),
  { name: "own/regex (x)*", compile: (grammars) => grammars.regex("([a-z]+ )*[a-z]+\\."), words: [] },
  { name: "own/regex any", compile: (grammars) => grammars.regex("(.|\\n)*"), words: [] },
  { name: "own/ebnf (x)*", compile: (grammars) => grammars.ebnf('root ::= "\\"" ([^"\\\\])* "\\""'), words: [] },
  {
    name: "own/ebnf of rules",
    compile: (grammars) =>
      grammars.ebnf('root ::= item ("," item)*\nitem ::= char+\nchar ::= letter | "\\\\" letter\nletter ::= [^,\\\\]'),
    words: [],
  },
];

/** The schemas of a draft of JSON Schema's official suite; empty if the suite is not installed. */
export function suiteCases(root: URL, draft: string): Case[] {
  const folder = fileURLToPath(new URL(`../shared/fixtures/json-schema-test-suite/${draft}/`, root));
  if (!existsSync(folder)) {
    console.error(`${folder} is not on this machine: its schemas are left out`);
    return [];
  }
  const dialect =
    draft === "draft7" ? "http://json-schema.org/draft-07/schema#" : `https://json-schema.org/draft/2020-12/schema`;
  return readdirSync(folder).flatMap((file) => {
    const groups = JSON.parse(readFileSync(`${folder}${file}`, "utf8")) as { description: string; schema: unknown }[];
    return groups.map(({ description, schema }) =>
      schemaCase(
        `${draft}/${file}: ${description}`,
        typeof schema === "object" ? { $schema: dialect, ...schema } : schema,
      ),
    );
  });
}
