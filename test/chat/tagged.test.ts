// Calls between tags, as Qwen's and GLM's models write them: the same events however an answer is
// cut, types from the schema, and no mark ever shown.

import { describe, expect, it } from "vitest";
import type { ReplyEvent } from "../../src/chat/reply.ts";
import { glm } from "../../src/chat/styles/glm.ts";
import { styleOf } from "../../src/chat/styles/index.ts";
import { minimax } from "../../src/chat/styles/minimax.ts";
import { qwenJson } from "../../src/chat/styles/qwen_json.ts";
import { qwenXml } from "../../src/chat/styles/qwen_xml.ts";
import { typedArguments } from "../../src/chat/typed_values.ts";
import type { JsonSchema } from "../../src/chat/types.ts";
import { controls } from "./support.ts";

const STYLES = { json: qwenJson, xml: qwenXml, glm, minimax };
type Name = keyof typeof STYLES;

const SCHEMA: JsonSchema = {
  type: "object",
  properties: {
    city: { type: "string" },
    days: { type: "integer" },
    wet: { type: "boolean" },
    tags: { type: "array", items: { type: "string" } },
    near: { anyOf: [{ type: "string" }, { type: "null" }] },
    at: { $ref: "#/$defs/point" },
  },
  $defs: { point: { type: "object", properties: { x: { type: "number" } } } },
};

interface Reading {
  readonly cut?: boolean;
  readonly required?: boolean;
}

/** The text, the calls with parsed arguments, and what else was reported. */
function read(style: Name, parts: readonly string[], { cut = false, required = false }: Reading = {}) {
  const parser = STYLES[style].parser({
    tokenizer: controls,
    tools: new Set(["weather", "now"]),
    parameters: new Map([["weather", SCHEMA]]),
    required,
    continued: false,
  });
  const events: ReplyEvent[] = parts.flatMap((part) => parser.push(part, [300]));
  events.push(...parser.end(cut));
  const calls: unknown[][] = [];
  for (const event of events) {
    if (event.type === "tool_call") calls.push([event.name]);
    if (event.type === "tool_arguments") calls[event.index]!.push(JSON.parse(event.text));
  }
  const text = events.map((event) => (event.type === "text" ? event.text : "")).join("");
  const others = events.filter(({ type }) => type === "malformed" || type === "cut").map(({ type }) => type);
  return { text, calls, others };
}

function everyCut(style: Name, answer: string, options?: Reading) {
  const whole = read(style, [answer], options);
  expect(read(style, [...answer], options)).toEqual(whole);
  for (let at = 0; at <= answer.length; at++)
    expect(read(style, [answer.slice(0, at), answer.slice(at)], options), `cut at ${at}`).toEqual(whole);
  return whole;
}

const PARIS = ["weather", { city: "Paris" }];
const CASES: readonly (readonly [Name, string, string, readonly unknown[]])[] = [
  ["json", '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>', "", [PARIS]],
  [
    "json",
    'I look.\n\n<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}\n</tool_call>\n<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>',
    "I look.",
    [PARIS, ["now", {}]],
  ],
  [
    "json",
    '<tool_call>{"arguments": {"city": "</tool_call> \\""}, "name": "weather"}</tool_call>',
    "",
    [["weather", { city: '</tool_call> "' }]],
  ],
  ["json", '<tool_call>\n{"name": "weather", "arguments": {"city": "Paris"}}', "", [PARIS]],
  ["json", '<tool_call>\n{"name": "now", "arguments": "{}"}\n</tool_call>\n\nDone.', "\n\nDone.", [["now", {}]]],
  ["json", "a <tool b <tool_cal", "a <tool b <tool_cal", []],
  [
    "xml",
    '<tool_call>\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n<parameter=wet>\nTrue\n</parameter>\n<parameter=tags>\n["a", "b"]\n</parameter>\n<parameter=near>\nnull\n</parameter>\n<parameter=at>\n{"x": 1.5}\n</parameter>\n</function>\n</tool_call>',
    "",
    [["weather", { city: "Paris", days: 3, wet: true, tags: ["a", "b"], near: null, at: { x: 1.5 } }]],
  ],
  [
    "xml",
    "Look:\n\n<function=weather>\n<parameter=city>\nParis\n</parameter>\n</function>\n</tool_call>",
    "Look:",
    [PARIS],
  ],
  ["xml", "<function=now>\n</function>", "", [["now", {}]]],
  [
    "xml",
    "<tool_call>\n<function=weather>\n<parameter=city>\n12\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>",
    "",
    [
      ["weather", { city: "12" }],
      ["now", {}],
    ],
  ],
  [
    "xml",
    '<tool_call>\n<function=weather>\n<parameter=city>\n\n  if a < b:\n    "x"\n\n</parameter>\n</function>\n</tool_call>',
    "",
    [["weather", { city: '\n  if a < b:\n    "x"\n' }]],
  ],
  [
    "xml",
    "<tool_call>\n<function=weather>\n<parameter=days>\nmany\n</parameter>\n</function>\n</tool_call>",
    "",
    [["weather", { days: "many" }]],
  ],
  [
    "glm",
    "I look.\n<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
    "I look.",
    [["weather", { city: "Paris", days: 3 }]],
  ],
  [
    "glm",
    "<tool_call>weather<arg_key>city</arg_key><arg_value>Paris</arg_value></tool_call><tool_call>now</tool_call>",
    "",
    [PARIS, ["now", {}]],
  ],
  [
    "minimax",
    'I look.\n\n<minimax:tool_call>\n<invoke name="weather">\n<parameter name="city">a < "b"</parameter>\n<parameter name="days">3</parameter>\n<parameter name="tags">["x"]</parameter>\n</invoke>\n<invoke name="now">\n</invoke>\n</minimax:tool_call>',
    "I look.",
    [
      ["weather", { city: 'a < "b"', days: 3, tags: ["x"] }],
      ["now", {}],
    ],
  ],
];

describe("calls between tags", () => {
  it.each(CASES)("%s: %j, cut anywhere", (style, answer, text, calls) => {
    expect(everyCut(style, answer)).toEqual({ text, calls, others: [] });
  });

  it.each<[Name, string]>([
    ["json", '<tool_call>\n{"name": "weather", "argum'],
    ["xml", "<tool_call>\n<function=weather>\n<parameter=city>\nPa"],
    ["minimax", '<minimax:tool_call>\n<invoke name="weather">\n<parameter name="city">Pa'],
    ["glm", "<tool_call>weather\n<arg_key>ci"],
  ])("%s: a call that the limit cut off is dropped: %j", (style, answer) => {
    expect(everyCut(style, `So. ${answer}`, { cut: true })).toEqual({ text: "So.", calls: [], others: ["cut"] });
  });

  it("calls that were whole when the limit came are calls", () => {
    const now = '<invoke name="now">\n</invoke>\n';
    for (const rest of [now, `${now}<invoke name="weather">\n<parameter name="city">Pa`]) {
      const found = everyCut("minimax", `<minimax:tool_call>\n${now}${rest}`, { cut: true });
      expect(found).toEqual({ text: "", calls: Array(2).fill(["now", {}]), others: ["cut"] });
    }
  });

  it.each<[Name, string]>([
    ["json", "<tool_call>\nweather, please\n</tool_call>"],
    ["json", '<tool_call>{"name": "weather", "arguments": []}</tool_call>'],
    ["xml", "<tool_call>weather</tool_call>"],
    ["minimax", "<minimax:tool_call>weather</minimax:tool_call>"],
    ["glm", "<tool_call><arg_key>a</arg_key></tool_call>"],
  ])("%s: what is no call stays text: %j", (style, answer) => {
    expect(everyCut(style, answer)).toEqual({ text: answer, calls: [], others: ["malformed"] });
  });

  it("unknown tools are no calls", () => {
    expect(everyCut("glm", "<tool_call>other</tool_call>")).toMatchObject({ calls: [], others: ["malformed"] });
  });

  it("an answer that must be calls has no text", () => {
    const answer = '\n<tool_call>{"name": "now", "arguments": {}}</tool_call> there';
    expect(everyCut("json", answer, { required: true })).toEqual({ text: "", calls: [["now", {}]], others: [] });
  });

  it.each<[Name, string, string, string]>([
    ["xml", "<tool_call><function=weather>", "<parameter=", "</function></tool_call>"],
    ["xml", "<tool_call>", "<function=", "</tool_call>"],
    ["glm", "<tool_call>weather", "<arg_key>", "</tool_call>"],
  ])("%s: marks that nothing follows take no more time than others: %s%s", (style, before, mark, after) => {
    // Read again at each of them, they would take longer than a test may.
    expect(read(style, [before, mark.repeat(250_000), after]).calls.length).toBeLessThan(2);
  });

  it("ends within a text are read once", () => {
    const text = "</tool_call>".repeat(40_000); // again at each of them: a quarter of an hour
    const { calls } = read("json", [`<tool_call>{"name": "now", "arguments": {"a": "`, text, '"}}</tool_call>']);
    expect(calls).toEqual([["now", { a: text }]]);
  });

  it("schemas that refer to each other many times are read once", () => {
    const both = [{ $ref: "#/$defs/a" }, { $ref: "#/$defs/b" }, { type: "integer" }];
    const $defs = { a: { anyOf: Array(40).fill(both).flat() }, b: { anyOf: Array(40).fill(both).flat() } };
    const schema = { type: "object", properties: { n: { $ref: "#/$defs/a" } }, $defs };
    expect(typedArguments([["n", "1"]], schema)).toBe('{"n": 1}');
  });

  it.each([
    ["{{ '<tool_call>' }} {{ tools }} {{ tool_call.arguments | tojson }}", "qwen-json"],
    ["<tool_call>\n<function={{ name }}>\n<parameter={{ k }}> {{ tools }} arguments", "qwen-xml"],
    ["<tool_call>{{ name }}\n<arg_key>{{ k }}</arg_key> {{ tools }} arguments", "glm"],
    ["<minimax:tool_call>{{ tools }}", "minimax"],
    ["{{ messages }}", "json"],
  ])("the template tells the style: %j", (template, name) => {
    const traits = { tokenizer: controls, mistral: "v1", showsTools: template.includes("tools"), template } as const;
    expect(styleOf(traits).name).toBe(name);
  });
});
