// The official suite of JSON Schema: whatever a schema is accepted for validates by an independent
// validator, and whatever is refused is refused by name.

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { Ajv, type ValidateFunction } from "ajv";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, describe, expect, it } from "vitest";
import { RequestError } from "../../src/errors.ts";
import { createGrammars } from "../../src/grammar/grammars.ts";
import type { Grammar } from "../../src/grammar/types.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { EVERYTHING } from "../support/level.ts";
import { some } from "../support/some.ts";
import { talesFromJson } from "../tokenizer/support.ts";
import { accepts, randomFrom, randomText } from "./support.ts";

interface Group {
  readonly description: string;
  readonly schema: unknown;
  readonly tests: readonly { readonly description: string; readonly data: unknown; readonly valid: boolean }[];
}

/** The whole measure: so many texts of each schema, if the variable GENERATIONS says so. */
const WHOLE = 20;
const wanted = process.env.GENERATIONS === undefined ? null : Number(process.env.GENERATIONS);
if (wanted !== null && !(Number.isInteger(wanted) && wanted > 0))
  throw new Error(`GENERATIONS: expected a whole number above 0, found ${process.env.GENERATIONS}`);
/**
 * Usually fewer: minutes of computing are not for every run. Draft 7 repeats most of what draft
 * 2020-12 says.
 */
const GENERATIONS = wanted ?? (EVERYTHING ? 3 : 1);
const GENERATIONS_7 = wanted ?? 1;
/** Groups of annotations, and of dialects that a schema names: they constrain nothing. */
const NO_CONSTRAINT = new Set(["format.json", "content.json", "default.json", "vocabulary.json"]);
/**
 * ajv divides doubles, where 0.0075 / 0.0001 is no whole number: multiples are compared at this
 * precision instead.
 */
const MULTIPLES = 9;

const suite = inShared("fixtures/json-schema-test-suite");
const tokenizer = talesFromJson;
const grammars = createGrammars(tokenizer, tokenizer.vocabSize, tokenizer.eosIds);
afterAll(() => grammars.close());

/**
 * ajv's verdict; null where it is not the suite's own for one of the group's tests, so that it is
 * no judge.
 */
function trusted(ajv: Ajv, schema: object, tests: Group["tests"]): ValidateFunction | null {
  try {
    const validate = ajv.compile(schema);
    return tests.every(({ data, valid }) => validate(data) === valid) ? validate : null;
  } catch {
    return null;
  }
}

const drafts = [
  {
    draft: "draft2020-12",
    validator: Ajv2020,
    dialect: "https://json-schema.org/draft/2020-12/schema",
    generations: GENERATIONS,
  },
  { draft: "draft7", validator: Ajv, dialect: "http://json-schema.org/draft-07/schema#", generations: GENERATIONS_7 },
];

/** Says what a usual run leaves out. */
const leavesOut = (generations: number): string =>
  generations >= WHOLE ? "" : ` [the other ${WHOLE - generations} take minutes: GENERATIONS=${WHOLE} writes them too]`;
const titles = drafts.map(
  (one) =>
    [
      `the suite of ${one.draft}, ${one.generations} of ${WHOLE} texts of each schema${leavesOut(one.generations)}`,
      one,
    ] as const,
);

describe.each(some(titles, 1))("%s", (title, { draft, validator, dialect, generations }) => {
  const folder = `${suite.path}/${draft}`;
  const files = existsSync(folder) ? readdirSync(folder) : [];
  const report = {
    title,
    written: 0,
    groups: 0,
    accepted: 0,
    empty: 0,
    remote: 0,
    unsupported: [] as string[],
    wrongValidator: [] as string[],
    valid: 0,
    validAccepted: 0,
  };

  it.each(files.length > 0 ? files : [""])(titled("%s", suite.skip), async (file) => {
    if (suite.skip !== null) return;
    const groups = JSON.parse(readFileSync(`${folder}/${file}`, "utf8")) as Group[];
    for (const { description, schema, tests } of groups) {
      const name = `${file}: ${description}`;
      const stated = typeof schema === "object" ? { $schema: dialect, ...schema } : schema;
      const counts = !NO_CONSTRAINT.has(file);
      if (counts) report.groups++;
      let grammar: Grammar;
      try {
        grammar = await grammars.jsonSchema(stated);
      } catch (error) {
        expect(error, name).toBeInstanceOf(RequestError);
        const { message } = error as RequestError;
        expect(message, name).toMatch(/^json_schema: (keyword `\S+` at (#|nothing)|found no value)/);
        if (!counts) continue;
        if (/^json_schema: found no value/.test(message)) report.empty++;
        else if (/not part of the schema/.test(message)) report.remote++;
        else report.unsupported.push(`${name}: ${message}`);
        continue;
      }
      if (counts) report.accepted++;
      const ajv = new validator({
        strict: false,
        validateFormats: false,
        multipleOfPrecision: MULTIPLES,
        logger: false,
      });
      const validate = trusted(ajv, stated as object, tests);
      if (validate === null) report.wrongValidator.push(name);
      const random = randomFrom(description.length);
      const words = JSON.stringify(schema).match(/\w+/g) ?? [];
      for (let i = 0; i < generations; i++) {
        const text = await randomText(grammar, tokenizer, random, words);
        expect(text, `${name}: a generation that ends`).not.toBeNull();
        if (validate === null) continue;
        report.written++;
        const valid = validate(JSON.parse(text!));
        expect(valid, `${name}: ${text} ${JSON.stringify(validate.errors)}`).toBe(true);
      }
      for (const test of tests) {
        const text = JSON.stringify(test.data);
        const found = await accepts(grammar, text, tokenizer);
        if (!test.valid) expect(found, `${name}: ${test.description}: ${text}`).toBe(false);
        else if (counts) {
          report.valid++;
          if (found) report.validAccepted++;
        }
      }
    }
  });

  it.skipIf(suite.skip !== null)(
    "is supported for nine in ten of the groups that some value of the schema alone can meet",
    () => {
      const possible = report.groups - report.empty - report.remote;
      console.log(JSON.stringify({ ...report, possible, share: report.accepted / possible }, null, 1));
      expect(report.accepted / possible).toBeGreaterThan(0.9);
    },
  );
});
