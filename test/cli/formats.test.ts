import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, describe, expect, it } from "vitest";
import { hotset, tales } from "../support/cli.ts";
import { some } from "../support/some.ts";

const folder = mkdtempSync(join(tmpdir(), "hotset-formats-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};

const schema = {
  type: "object",
  properties: { name: { type: "string", maxLength: 8 }, age: { type: "integer", minimum: 0, maximum: 99 } },
  required: ["name", "age"],
  additionalProperties: false,
};
const SCHEMA = file("person.json", JSON.stringify(schema));
const GRAMMAR = file("answer.ebnf", 'root ::= "yes" | "no"\n');

const generate = (...args: string[]) =>
  hotset(["generate", tales, "--backend", "cpu", "-p", "Once upon a time", "--quiet", "--seed", "5", ...args]);

describe("hotset generate holds the text to a format", () => {
  it.each(
    some<[string, string[], (text: string) => boolean]>(
      [
        ["--json-schema", ["--json-schema", SCHEMA], (text) => new Ajv2020().validate(schema, JSON.parse(text))],
        ["--regex", ["--regex", "[0-9]{4}-[0-9]{2}"], (text) => /^[0-9]{4}-[0-9]{2}$/.test(text)],
        ["--grammar", ["--grammar", GRAMMAR], (text) => text === "yes" || text === "no"],
      ],
      1,
    ),
  )("%s", async (_, args, holds) => {
    const { code, stdout, stderr } = await generate(...args, "--temperature", "1.5");
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(holds(stdout.slice(0, -1)), stdout).toBe(true);
  });

  it("--format json: an object, or the beginning of one", async () => {
    const { code, stdout } = await generate("--format", "json", "-n", "8");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\s*\{/);
  });
});

describe("a format that cannot be held to: exit code 1, one line that names the option", () => {
  it.each(
    some<[string[], RegExp]>(
      [
        [["--json-schema", join(folder, "none")], /--json-schema .*none: cannot be read: ENOENT/],
        [["--json-schema", GRAMMAR], /--json-schema .*answer\.ebnf: expected a JSON schema/],
        [["--json-schema", file("odd.json", '{"type":"strange"}')], /--json-schema .*odd\.json: .*strange/],
        [["--grammar", SCHEMA], /--grammar .*person\.json: .*line 1/],
        [["--grammar", folder], /--grammar .*: cannot be read: EISDIR/],
        [["--regex", "("], /--regex: /],
      ],
      2,
    ),
  )("%j", async (args, message) => {
    const { code, stdout, stderr } = await generate(...args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^hotset: [^\n]+\n$/);
    expect(stderr).toMatch(message);
  });

  it.each(
    some(
      [
        [["--regex", "a", "--format", "json"]],
        [["--regex", "a", "--grammar", "x"]],
        [["--json-schema", "x", "--regex", "a"]],
        [["--json-schema", "x", "--grammar", "x"]],
      ],
      1,
    ),
  )("two at once, %j: wrong usage", async (args) => {
    const { code, stderr } = await generate(...args);
    expect(code).toBe(2);
    expect(stderr).toMatch(/cannot be used with/);
  });
});
