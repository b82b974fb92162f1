// Templates render like Jinja2: thousands of cases generated with Python's
// jinja2, see jinja_cases.py.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { Refusal, TemplateFault } from "../../src/chat/jinja/bounds.ts";
import { plain } from "../../src/chat/jinja/text.ts";
import { Untrusted } from "../../src/chat/jinja/values.ts";
import { type Json, parsePythonJson } from "../../src/chat/python_json.ts";
import { parseTemplate } from "../../src/chat/sandbox.ts";

const text = readFileSync(new URL("../fixtures/chat/jinja.json", import.meta.url), "utf8");
const { cases } = JSON.parse(text) as { readonly cases: readonly (readonly [string, string | null])[] };
/** With its floats and its large number as Python has them. */
const context = (parsePythonJson(text) as ReadonlyMap<string, Json>).get("context") as ReadonlyMap<string, Json>;

/** The result of `run`, or null if the template fails; other errors are rethrown. */
function attempted<T>(run: () => T): T | null {
  try {
    return run();
  } catch (error) {
    if (error instanceof Refusal) return null;
    if (error instanceof TemplateFault && !(error.cause instanceof TypeError)) return null;
    throw error;
  }
}

it("templates render like Jinja2, with plain data and with untrusted data", () => {
  const plain = Object.fromEntries(context);
  const untrusted = Object.fromEntries(Array.from(context, ([name, value]) => [name, new Untrusted(value)]));
  const wrong = cases.flatMap(([template, wanted]) => {
    const parsed = attempted(() => parseTemplate(template));
    const found = [plain, untrusted].map((variables) => attempted(() => parsed?.render(variables) ?? null));
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
    ["{% if a %}\n\n{{ none + 1 }}{% endif %}", "line 3: '+': cannot be applied to 'NoneType' and 'int'"],
    ["{{ m.a.b }}", "line 1: 'dict object' has no attribute 'a'"],
    ["\n{{ 1 | nope }}", "line 2: no filter named 'nope'"],
    ["{{ 1 is nope }}", "line 1: no test named 'nope'"],
    ["\n\n{% if a %}", "line 3: expected {% elif %} or {% else %} or {% endif %}, found the end"],
    ["{% for x in a %}{% endif %}", "line 1: {% endif %} has no opening tag"],
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

it("untrusted text stays marked through everything that the templates of the table do to it", () => {
  /** Values with their letters made Vai syllables, of which no template of the table has any. */
  const marked = (value: Json): Json => {
    if (typeof value === "string")
      return value.replace(/[ -~]/g, (one) => String.fromCharCode(0xa500 + one.charCodeAt(0)));
    if (Array.isArray(value)) return value.map(marked);
    return value instanceof Map ? new Map([...value].map(([key, one]) => [key, marked(one)])) : value;
  };
  const variables = Object.fromEntries(Array.from(context, ([name, value]) => [name, new Untrusted(marked(value))]));
  let met = 0;
  const lost = cases.flatMap(([template]) => {
    const found = attempted(() => parseTemplate(template).write(variables)) ?? "";
    const all = plain(found);
    const untrusted = typeof found === "string" ? [] : found.untrusted;
    const places = Array.from(all.matchAll(/[\ua520-\ua57e]/g), ({ index }) => index);
    met += places.length;
    const outside = places.filter(
      (at) => !untrusted.some((start, i) => i % 2 === 0 && start <= at && at < untrusted[i + 1]!),
    );
    return outside.length === 0 ? [] : [{ template, all }];
  });
  expect(met).toBeGreaterThan(10_000);
  expect(lost).toEqual([]);
});
