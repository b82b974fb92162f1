import { describe, expect, it } from "vitest";
import type { ResponseFormat } from "../../src/engine/chat_api.ts";
import { RequestError } from "../../src/errors.ts";
import { createApp } from "../../src/server/app.ts";
import { type Fake, fakeModel } from "./fake_model.ts";

/** What each endpoint needs beside the format. */
const BODIES: Readonly<Record<string, object>> = {
  "/v1/chat/completions": { messages: [{ role: "user", content: "hi" }] },
  "/v1/completions": { prompt: "a" },
  "/v1/messages": { messages: [{ role: "user", content: "hi" }], max_tokens: 9 },
};

async function post(path: string, fields: object, model: Fake = fakeModel()): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return createApp(model).request(path, {
    method: "POST",
    headers,
    body: JSON.stringify({ ...BODIES[path], ...fields }),
  });
}

const schema = { type: "object", properties: { a: { const: 1 } } };
const SCHEMA: ResponseFormat = { type: "json_schema", schema, strict: true };
const JSON_OBJECT: ResponseFormat = { type: "json" };
const GBNF: ResponseFormat = { type: "gbnf", grammar: 'root ::= "a".' };
const EBNF: ResponseFormat = { type: "ebnf", grammar: 'root ::= "a"' };
const REGEX: ResponseFormat = { type: "regex", pattern: "a+" };
const TAG = { type: "structural_tag", format: { type: "any_text" } } as const;
/** As clients of vLLM and SGLang sent tags before xgrammar had formats. */
const STRUCTURE = { begin: "<f=a>", schema, end: "</f>" };
const TRIGGERED: ResponseFormat = {
  type: "structural_tag",
  format: {
    type: "triggered_tags",
    triggers: ["<f="],
    tags: [{ begin: "<f=a>", content: { type: "json_schema", json_schema: schema }, end: "</f>" }],
  },
};
const CHOICE: ResponseFormat = { type: "choice", choices: ["yes", "no"] };

describe.each(Object.keys(BODIES))("the format of an answer at %s", (path) => {
  it.each<[object, ResponseFormat | undefined]>([
    [{ response_format: { type: "text" } }, { type: "text" }],
    [{ response_format: { type: "json_object" } }, JSON_OBJECT],
    [{ response_format: { type: "json_object", schema } }, SCHEMA],
    [{ response_format: { type: "json_object", schema: null } }, JSON_OBJECT],
    [{ response_format: { type: "json_object" }, json_schema: schema }, SCHEMA],
    // An object, whatever the schema says or does not say.
    [{ response_format: { type: "json_object", schema: {} } }, JSON_OBJECT],
    [{ response_format: { type: "json_object", schema: true } }, JSON_OBJECT],
    [{ response_format: { type: "json_object" }, json_schema: {} }, JSON_OBJECT],
    [{ response_format: { type: "json_object", schema: { properties: schema.properties } } }, SCHEMA],
    [{ response_format: { type: "json_object", schema: { ...schema, type: ["object", "null"] } } }, SCHEMA],
    [
      { response_format: { type: "json_object", schema: { $ref: "#/$defs/a", $defs: { a: schema } } } },
      { ...SCHEMA, schema: { type: "object", $defs: { a: schema }, allOf: [{ $ref: "#/$defs/a" }] } },
    ],
    // OpenAI's wrapper where a schema is expected.
    [{ json_schema: { name: "x", strict: true, schema } }, SCHEMA],
    [{ guided_json: { name: "x", schema } }, SCHEMA],
    [{ guided_json: JSON.stringify({ name: "x", schema }) }, SCHEMA],
    [{ format: { name: "x", description: "y", strict: false, schema } }, { ...SCHEMA, strict: false }],
    [{ format: { type: "json_schema", json_schema: { name: "x", schema } } }, SCHEMA],
    [{ structured_outputs: { json: { type: "json_schema", name: "x", schema } } }, SCHEMA],
    [{ response_format: { type: "json_object", schema: { name: "x", schema: true } } }, JSON_OBJECT],
    [{ guided_json: { schema: {}, type: "object" } }, { ...SCHEMA, schema: { schema: {}, type: "object" } }],
    [{ guided_json: { name: "x", schema: 5 } }, { ...SCHEMA, schema: { name: "x", schema: 5 } }],
    [{ response_format: { type: "text" }, guided_regex: "a+" }, REGEX],
    [{ response_format: { type: "json_schema", schema } }, SCHEMA],
    [{ response_format: { type: "json_schema", json_schema: { schema, strict: true } } }, SCHEMA],
    [{ response_format: { type: "json_schema", json_schema: { name: "x", schema } } }, { ...SCHEMA, strict: false }],
    [
      { response_format: { type: "json_schema", json_schema: { schema: true } } },
      { ...SCHEMA, schema: true, strict: false },
    ],
    [{ response_format: { type: "json", value: schema } }, SCHEMA],
    [{ response_format: { type: "json_schema", value: schema } }, SCHEMA],
    [{ response_format: { type: "regex", pattern: "a+" } }, REGEX],
    [{ response_format: { type: "regex", value: "a+" } }, REGEX],
    [{ response_format: { type: "ebnf", grammar: 'root ::= "a"' } }, EBNF],
    [{ response_format: { type: "grammar", grammar: 'root ::= "a".' } }, GBNF],
    [{ json_schema: schema }, SCHEMA],
    [{ grammar: 'root ::= "a".' }, GBNF],
    [{ grammar: "" }, undefined],
    [{ guided_json: schema }, SCHEMA],
    [{ guided_json: JSON.stringify(schema) }, SCHEMA],
    [{ guided_json_object: true }, JSON_OBJECT],
    [{ guided_json_object: false, guided_json: null, guided_regex: null }, undefined],
    [{ guided_regex: "a+", guided_decoding_backend: "xgrammar" }, REGEX],
    [{ guided_choice: ["yes", "no"] }, CHOICE],
    [{ guided_grammar: 'root ::= "a"' }, EBNF],
    [{ regex: "a+" }, REGEX],
    [{ ebnf: 'root ::= "a"' }, EBNF],
    [{ structured_outputs: { json: schema } }, SCHEMA],
    [{ structured_outputs: { json: JSON.stringify(schema), regex: null, json_object: false } }, SCHEMA],
    [{ structured_outputs: { json_object: true } }, JSON_OBJECT],
    [{ structured_outputs: { regex: "a+", disable_any_whitespace: false, _backend: "x" } }, REGEX],
    [{ structured_outputs: { json: schema, disable_any_whitespace: true, disable_fallback: true } }, SCHEMA],
    [{ structured_outputs: { json: schema, disable_additional_properties: false } }, SCHEMA],
    [{ structured_outputs: { choice: ["yes", "no"] } }, CHOICE],
    [{ structured_outputs: { grammar: 'root ::= "a"' } }, EBNF],
    // OpenRouter's is a switch.
    [{ structured_outputs: true, response_format: { type: "json_object" } }, JSON_OBJECT],
    [{ structured_outputs: false }, undefined],
    [{ format: "json" }, JSON_OBJECT],
    [{ format: schema }, SCHEMA],
    [{ format: "" }, undefined],
    [{ output_config: { format: { type: "json_schema", schema }, effort: "low" } }, SCHEMA],
    [{ text: { format: { type: "json_schema", name: "x", schema }, verbosity: "low" } }, SCHEMA],
    [{ text: { format: { type: "json_object" } } }, JSON_OBJECT],
    [{ text: { verbosity: "low" } }, undefined],
    [{ output_config: { effort: "low" } }, undefined],
    [{ output_format: { type: "json_schema", schema } }, SCHEMA],
    [{ response_format: { type: "structural_tag", format: TAG.format } }, TAG],
    [{ response_format: { type: "structural_tag", structures: [STRUCTURE], triggers: ["<f="] } }, TRIGGERED],
    [{ structural_tag: { type: "structural_tag", format: TAG.format } }, TAG],
    [{ structural_tag: JSON.stringify(TAG) }, TAG],
    [{ structured_outputs: { structural_tag: JSON.stringify(TAG) } }, TAG],
    [{ structured_outputs: { structural_tag: { structures: [STRUCTURE], triggers: ["<f="] } } }, TRIGGERED],
  ])("%j", async (fields, expected) => {
    const model = fakeModel();
    const response = await post(path, fields, model);
    expect([response.status, await response.text()]).toEqual([200, expect.any(String)]);
    expect(model.asked[0]!.options.responseFormat).toEqual(expected);
  });

  it.each<[object, RegExp]>([
    [{ response_format: { type: "xml" } }, /^response_format\.type: expected one of .*found "xml"/],
    [{ response_format: { type: "structural_tag" } }, /^response_format\.format: is required/],
    [
      { response_format: { type: "structural_tag", structures: [{ begin: "<a>", end: "</a>" }], triggers: ["<a"] } },
      /^response_format\.structures\[0\]\.schema: is required/,
    ],
    [{ response_format: "json" }, /^response_format: expected an object/],
    [{ response_format: { type: "json_schema" } }, /^response_format\.json_schema: is required/],
    [
      { response_format: { type: "json_schema", json_schema: {} } },
      /^response_format\.json_schema\.schema: is required/,
    ],
    [{ response_format: { type: "regex" } }, /^response_format\.pattern: is required/],
    [{ response_format: { type: "json_object", schema: [] } }, /^response_format\.schema: expected a JSON schema/],
    [
      { response_format: { type: "json_object", schema: { type: "string" } } },
      /^response_format\.schema\.type: expected object, .*found "string"/,
    ],
    [{ json_schema: { name: "x", strict: 5, schema } }, /^json_schema\.strict: expected true or false/],
    [{ json_schema: "{" }, /^json_schema: expected a JSON schema/],
    [{ json_schema: "1" }, /^json_schema: expected a JSON schema/],
    [{ grammar: { type: "json" } }, /^grammar: expected a text/],
    [{ guided_json: 5 }, /^guided_json/],
    [{ guided_choice: [] }, /^guided_choice: expected at least one/],
    [{ guided_choice: ["a", 1] }, /^guided_choice\[1\]: expected a text/],
    [{ guided_choice: "a" }, /^guided_choice: expected an array/],
    [{ structured_outputs: {} }, /^structured_outputs: expected one of json, .*found 0/],
    [{ structured_outputs: { json: schema, regex: "a" } }, /^structured_outputs: .*found 2/],
    [{ structured_outputs: { structural_tag: "{}" } }, /^structured_outputs\.structural_tag\.format: is required/],
    [{ structural_tag: "{" }, /^structural_tag: expected a structural tag, found "\{"/],
    [{ structural_tag: 5 }, /^structural_tag: expected a structural tag, found 5/],
    [
      { structured_outputs: { json: schema, disable_additional_properties: true } },
      /disable_additional_properties: is not supported/,
    ],
    [{ structured_outputs: { lark: "start: x" } }, /^structured_outputs\.lark: is not supported/],
    [{ structured_outputs: "json" }, /^structured_outputs: expected an object/],
    [{ format: "yaml" }, /^format: expected "json" or a JSON schema, found "yaml"/],
    [{ output_format: { type: "text" } }, /^output_format\.type/],
    // Two at once.
    [{ response_format: { type: "json_object" }, grammar: "root ::= ." }, /^grammar: .*and so does response_format/],
    [{ grammar: "root ::= .", json_schema: schema }, /^grammar: .*and so does json_schema/],
    [{ guided_json: schema, guided_regex: "a" }, /^guided_regex: .*and so does guided_json/],
    [{ structured_outputs: { regex: "a" }, format: "json" }, /^format: .*and so does structured_outputs/],
  ])("%j is refused by name", async (fields, message) => {
    const model = fakeModel();
    const response = await post(path, fields, model);
    expect(response.status).toBe(400);
    expect(((await response.json()) as { error: { message: string } }).error.message).toMatch(message);
    expect(model.asked).toEqual([]);
  });

  it.each<[object, string, string]>([
    [{ response_format: { type: "regex", pattern: "(" } }, "regex: is wrong", "response_format: regex: is wrong"],
    [{ regex: "(" }, "regex: is wrong", "regex: is wrong"],
    [{ guided_regex: "(" }, "regex: is wrong", "guided_regex: is wrong"],
    [{ guided_json: schema }, "json_schema: keyword is wrong", "guided_json: keyword is wrong"],
    [{ format: schema }, "json_schema: keyword is wrong", "format: keyword is wrong"],
    [{ guided_grammar: "a" }, "ebnf: line 1: is wrong", "guided_grammar: line 1: is wrong"],
    [{ grammar: "a" }, "grammar: line 1: is wrong", "grammar: line 1: is wrong"],
    [{ guided_choice: ["a"] }, "choice: is wrong", "guided_choice: is wrong"],
    [{ structured_outputs: { regex: "(" } }, "regex: is wrong", "structured_outputs.regex: is wrong"],
  ])("%j: what the engine finds wrong is said of that field", async (fields, said, told) => {
    const fail = new RequestError(said, { param: "response_format" });
    const model = fakeModel({ acts: () => [{ fail }] });
    const response = await post(path, fields, model);
    const { error } = (await response.json()) as { error: { message: string; param?: string } };
    const plain = "response_format" in fields;
    expect([response.status, error.message]).toEqual([400, plain ? said : told]);
    if (path !== "/v1/messages") expect(error.param).toBe(told.slice(0, told.indexOf(":")));
  });
});
