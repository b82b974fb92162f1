// Templates mean what Jinja2 means: a table of thousands that Python's jinja2 has made, see jinja_cases.py.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Refusal, TemplateFault } from "../../src/chat/jinja/bounds.ts";
import { plain } from "../../src/chat/jinja/text.ts";
import { Written } from "../../src/chat/jinja/values.ts";
import { type Json, parsePythonJson } from "../../src/chat/python_json.ts";
import { parseTemplate } from "../../src/chat/sandbox.ts";

const text = readFileSync(new URL("../fixtures/chat/jinja.json", import.meta.url), "utf8");
const { cases } = JSON.parse(text) as { readonly cases: readonly (readonly [string, string | null])[] };
/** With its floats and its large number as Python has them. */
const context = (parsePythonJson(text) as ReadonlyMap<string, Json>).get("context") as ReadonlyMap<string, Json>;

/** What `run` gives, or null where the template fails; whatever else is thrown is a fault of ours. */
function attempted<T>(run: () => T): T | null {
  try {
    return run();
  } catch (error) {
    if (error instanceof Refusal) return null;
    if (error instanceof TemplateFault && !(error.cause instanceof TypeError)) return null;
    throw error;
  }
}

it("templates give what Jinja2 gives, of plain data and of data whose every character is known to be people's", () => {
  const plain = Object.fromEntries(context);
  const written = Object.fromEntries(Array.from(context, ([name, value]) => [name, new Written(value)]));
  const wrong = cases.flatMap(([template, wanted]) => {
    const parsed = attempted(() => parseTemplate(template));
    const found = [plain, written].map((variables) => attempted(() => parsed?.render(variables) ?? null));
    return found.every((one) => one === wanted) ? [] : [{ template, wanted, found }];
  });
  expect(cases.length).toBeGreaterThan(10_000);
  expect(wrong).toEqual([]);
});

describe("what Jinja2 has and this has not fails by its name", () => {
  it.each([
    ["{{ 'a' | pprint }}", "pprint"],
    ["{{ 'a' | urlize }}", "urlize"],
    ["{{ lipsum() }}", "lipsum"],
    ["{{ 'a'.encode() }}", "encode"],
    ["{{ '&amp;' | striptags }}", "striptags"],
    ["{% autoescape true %}{% endautoescape %}", "autoescape"],
    ["{% include 'x' %}", "include"],
    ["{% import 'x' as y %}", "import"],
    ["{% from 'x' import y %}", "from"],
    ["{% extends 'x' %}", "extends"],
    ["{% trans %}a{% endtrans %}", "trans"],
    ["{% do x %}", "do"],
  ])("%s", (template, name) => {
    expect(() => parseTemplate(template).render({})).toThrow(name);
  });
});

describe("a fault tells its line and what is wrong", () => {
  it.each([
    ["a\n{{ x.y }}", "line 2: 'x' is undefined"],
    [
      "{% if a %}\n\n{{ none + 1 }}{% endif %}",
      "line 3: '+': expected values that it takes, found 'NoneType' and 'int'",
    ],
    ["{{ m.a.b }}", "line 1: 'dict object' has no attribute 'a'"],
    ["\n{{ 1 | nope }}", "line 2: no filter named 'nope'"],
    ["{{ 1 is nope }}", "line 1: no test named 'nope'"],
    ["\n\n{% if a %}", "line 3: expected {% elif %} or {% else %} or {% endif %}, found the end"],
    ["{% for x in a %}{% endif %}", "line 1: {% endif %} ends nothing that was begun"],
    ["a\n{{ (1 }}", "line 2: unexpected '}', expected ')'"],
    ["{{ 'a }}", "line 1: unexpected character '''"],
    ["{% macro f(a) %}\n{{ a + 1 }}{% endmacro %}\n\n{{ f('x') }}", "line 2: '+'"],
    ["{% macro f() %}\n{% endmacro %}\n{{ f() + 1 }}", "line 3: '+'"],
    ["{{ 7 | length }}", "line 1: length: expected a text, list or dict, found a value of type 'int'"],
    ["{{ 'a'.replace('b') }}", "line 1: replace: argument 'new' is missing"],
  ])("%s", (template, message) => {
    expect(() => parseTemplate(template).render({ a: true, m: {} })).toThrow(message);
  });
});

it("whatever the templates of the table do to what people wrote, it stays known as theirs", () => {
  /** Values with their letters made Vai syllables, of which no template of the table has any. */
  const marked = (value: Json): Json => {
    if (typeof value === "string")
      return value.replace(/[ -~]/g, (one) => String.fromCharCode(0xa500 + one.charCodeAt(0)));
    if (Array.isArray(value)) return value.map(marked);
    return value instanceof Map ? new Map([...value].map(([key, one]) => [key, marked(one)])) : value;
  };
  const variables = Object.fromEntries(Array.from(context, ([name, value]) => [name, new Written(marked(value))]));
  let met = 0;
  const lost = cases.flatMap(([template]) => {
    const found = attempted(() => parseTemplate(template).write(variables)) ?? "";
    const all = plain(found);
    const written = typeof found === "string" ? [] : found.written;
    const places = Array.from(all.matchAll(/[\ua520-\ua57e]/g), ({ index }) => index);
    met += places.length;
    const outside = places.filter(
      (at) => !written.some((start, i) => i % 2 === 0 && start <= at && at < written[i + 1]!),
    );
    return outside.length === 0 ? [] : [{ template, all }];
  });
  expect(met).toBeGreaterThan(10_000);
  expect(lost).toEqual([]);
});
