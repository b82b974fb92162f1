// What binds an answer that begins with reasoning, and calls between tags that must come.

import { afterAll, describe, expect, it } from "vitest";
import type { ReasoningStart } from "../../src/chat/reasoning.ts";
import { glm } from "../../src/chat/styles/glm.ts";
import { graniteCalls } from "../../src/chat/styles/granite.ts";
import { lfm2 } from "../../src/chat/styles/lfm2.ts";
import { minimax } from "../../src/chat/styles/minimax.ts";
import { qwenJson } from "../../src/chat/styles/qwen_json.ts";
import { qwenXml } from "../../src/chat/styles/qwen_xml.ts";
import type { CallStyle } from "../../src/chat/styles/style.ts";
import type { ReasoningOptions, ToolDefinition } from "../../src/chat/types.ts";
import { constraintOf } from "../../src/engine/chat_constraint.ts";
import { behindReasoning } from "../../src/engine/chat_reasoning.ts";
import { RequestError } from "../../src/errors.ts";
import { createGrammars } from "../../src/grammar/grammars.ts";
import type { Constraint } from "../../src/grammar/types.ts";
import { tales } from "../chat/support.ts";
import { allowed, tokensOf } from "../grammar/support.ts";

const [EOS] = tales.eosIds as [number];
const vocab = tales.vocabSize;
const grammars = createGrammars(tales, vocab, [EOS]);
afterAll(() => grammars.close());
const MARKS = { open: "<think>", close: "</think>" };
const parts = { grammars, tokenizer: tales, vocab };

/** Whether a constraint allows this text, and then the end of it. */
async function allows(constraint: Constraint | null, text: string, end = true): Promise<boolean> {
  try {
    for (const id of [...tokensOf(text, tales), ...(end ? [EOS] : [])]) {
      const mask = await constraint!.mask();
      if (mask !== null && (mask[id >> 5]! & (1 << (id & 31))) === 0) return false;
      constraint!.accept(id);
    }
    return true;
  } finally {
    constraint?.close();
  }
}

describe("reasoning", () => {
  const json = (start: ReasoningStart, options: ReasoningOptions = {}) =>
    constraintOf(parts, { responseFormat: { type: "json" } }, null).then((answer) =>
      behindReasoning(parts, { marks: MARKS, start }, options, answer),
    );

  it("is free, and the format binds what follows it", async () => {
    expect(await allows(await json("open"), 'Let me see.</think>{"a": 1}')).toBe(true);
    expect(await allows(await json("open"), "Let me see.</think>No.")).toBe(false);
    expect(await allows(await json("closed"), "Let me see.")).toBe(false);
    expect(await allows(await json("closed"), '{"a": 1}')).toBe(true);
  });

  it("a bad budget closes the constraint of the answer", () => {
    let closed = 0;
    const answer = { mask: async () => null, accept() {}, ended: false, close: () => void closed++ };
    for (const budget of [-1, 0.5, Number.NaN])
      expect(() => behindReasoning(parts, { marks: MARKS, start: "open" }, { budget }, answer)).toThrow(
        "reasoning.budget: expected a number of tokens from 0",
      );
    expect(closed).toBe(3);
  });

  it.each([0, 1, 3])("ends after a budget of %i tokens", async (budget) => {
    const constraint = behindReasoning(parts, { marks: MARKS, start: "open" }, { budget }, null)!;
    for (let i = 0; i < budget; i++) {
      expect(await constraint.mask()).toBeNull();
      constraint.accept(tokensOf("a", tales)[0]!);
    }
    const forced: number[] = [];
    for (let mask = await constraint.mask(); mask !== null; mask = await constraint.mask()) {
      const [only, ...others] = allowed(mask);
      expect(others).toEqual([]);
      forced.push(only!);
      constraint.accept(only!);
    }
    expect(tales.decode(forced)).toBe("</think>");
  });

  it("that is off has no tokens, where the prompt opened it all the same", async () => {
    for (const off of [{ enabled: false }, { effort: "none" }]) {
      const constraint = behindReasoning(parts, { marks: MARKS, start: "open" }, off, null)!;
      expect(allowed((await constraint.mask())!)).toHaveLength(1);
    }
    expect(behindReasoning(parts, { marks: MARKS, start: "closed" }, { enabled: false }, null)).toBeNull();
  });

  it("needs nothing where nothing is to be held, or the model does not reason", () => {
    expect(behindReasoning(parts, { marks: MARKS, start: "open" }, {}, null)).toBeNull();
    expect(behindReasoning(parts, null, { budget: 1 }, null)).toBeNull();
    expect(() => behindReasoning(parts, null, { budget: -1 }, null)).toThrow(RequestError);
  });
});

describe("calls between tags that must come", () => {
  const weather: ToolDefinition = {
    name: "weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" }, days: { type: "integer" }, unit: { enum: ["C", "F"] } },
      required: ["city"],
    },
  };
  const now: ToolDefinition = { name: "now" };
  const tools = [weather, now];
  const held = (style: CallStyle, text: string, parallel = true, one: string | null = null): Promise<boolean> => {
    const toolChoice = one === null ? ("required" as const) : { name: one };
    return constraintOf(parts, { tools, toolChoice }, style.grammar(tools, toolChoice, parallel)).then((constraint) =>
      allows(constraint, text),
    );
  };
  const J = (args: string) => `<tool_call>\n{"name": "weather", "arguments": ${args}}\n</tool_call>`;
  const X = (args: string) => `<tool_call>\n<function=weather>\n${args}</function>\n</tool_call>`;
  const G = (args: string) => `<tool_call>weather\n${args}</tool_call>`;
  const N = (args: string) => `{"name": "weather", "arguments": ${args}}`;
  const M = (args: string) => `<minimax:tool_call>\n<invoke name="weather">\n${args}</invoke>\n</minimax:tool_call>`;
  const B = (key: string, value: string) => `<parameter name="${key}">${value}</parameter>\n`;
  const P = (key: string, value: string) => `<parameter=${key}>\n${value}\n</parameter>\n`;
  const A = (key: string, value: string) => `<arg_key>${key}</arg_key>\n<arg_value>${value}</arg_value>\n`;

  it.each<[string, CallStyle, string, boolean]>([
    ["json", qwenJson, J('{"city": "Rome", "days": 3}'), true],
    ["json", qwenJson, `\n\n${J('{"city": "Rome"}')}\n${J('{"city": "Oslo", "unit": "C"}')}`, true],
    ["json", qwenJson, '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>', true],
    ["json", qwenJson, J('{"days": 3}'), false],
    ["json", qwenJson, J('{"city": 3}'), false],
    ["json", qwenJson, "Well.", false],
    ["xml", qwenXml, X(P("city", 'Rome < "x"') + P("days", "3") + P("unit", "F")), true],
    ["xml", qwenXml, X(P("city", "two\nlines")), true],
    ["xml", qwenXml, X(P("days", "3")), false],
    ["xml", qwenXml, X(P("city", "Rome") + P("days", "many")), false],
    ["xml", qwenXml, X(P("city", "Rome") + P("unit", "K")), false],
    ["xml", qwenXml, "<tool_call>\n<function=now>\n</function>\n</tool_call>", true],
    ["glm", glm, G(A("city", "Rome") + A("days", "3")), true],
    ["glm", glm, G(A("days", "3")), false],
    ["glm", glm, G(A("city", "Rome") + A("other", "x")), false],
    ["minimax", minimax, M(B("city", "Rome < 2") + B("days", "3")), true],
    ["minimax", minimax, M(`${B("city", "Rome")}</invoke>\n<invoke name="now">\n`), true],
    ["minimax", minimax, M(B("days", "3")), false],
    ["granite", graniteCalls(null), `<|tool_call|>[${N('{"city": "Rome"}')}, ${N('{"city": "Oslo"}')}]`, true],
    ["granite", graniteCalls(null), `<|tool_call|>[${N('{"days": 3}')}]`, false],
    ["minimax", minimax, M(B("city", "Rome") + B("days", "x")), false],
  ])("%s: %#", async (_, style, text, is) => {
    expect([text, await held(style, text)]).toEqual([text, is]);
  });

  it("one only, where calls are not parallel or one is named", async () => {
    const two = `${J('{"city": "Rome"}')}\n${J('{"city": "Oslo"}')}`;
    expect(await held(qwenJson, two, false)).toBe(false);
    expect(await held(qwenJson, two, true, "weather")).toBe(false);
    expect(await held(qwenJson, J('{"city": "Rome"}'), true, "now")).toBe(false);
  });

  it.each([3, 9])("%i optional arguments, of which any may be the first", async (count) => {
    const properties = Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, { type: "integer" }]));
    for (const required of [[], ["last"]]) {
      const parameters = { type: "object", properties: { ...properties, last: { type: "boolean" } }, required };
      const many = [{ name: "f", parameters }];
      const grammar = lfm2.grammar(many, "required", true);
      const call = async (given: string): Promise<boolean> => {
        const text = `<|tool_call_start|>[f(${given})]<|tool_call_end|>`;
        return allows(await constraintOf(parts, { tools: many, toolChoice: "required" }, grammar), text);
      };
      expect(await call("k1=1, k2=2, last=true")).toBe(true);
      expect(await call("last=true")).toBe(true);
      expect(await call("k1=1")).toBe(required.length === 0);
      expect(await call("k1=true, last=true")).toBe(false);
      expect(await call("k1=1, ")).toBe(false);
    }
  });

  it("a strict tool is refused for what bare texts cannot be held to", () => {
    const strict = {
      name: "f",
      strict: true,
      parameters: { type: "object", properties: { a: { type: "string", pattern: "b" } } },
    };
    expect(() => qwenXml.grammar([strict], "required", true)).toThrow(/tool "f".*properties\.a.*`pattern`/);
    expect(qwenJson.grammar([strict], "required", true)).not.toBeNull();
  });

  it("optional calls are free", async () => {
    expect(await constraintOf(parts, { tools }, qwenXml.grammar(tools, "auto", true))).toBeNull();
  });

  it.each<[string, CallStyle, string, boolean]>([
    ["a text in the format", qwenXml, '{"t": 1}', true],
    ["another text", qwenXml, "Well.", false],
    ["another object", qwenXml, '{"t": 2}', false],
    ["a call", qwenXml, X(P("city", "Rome")), true],
    ["two calls", qwenJson, `${J('{"city": "Rome"}')}\n${J('{"city": "Oslo"}')}`, true],
    ["a call that misses an argument", qwenXml, X(P("days", "3")), false],
    ["a text, then a call", qwenJson, `{"t": 1}${J('{"city": "Rome"}')}`, false],
    ["a call of GLM", glm, G(A("city", "Rome")), true],
    ["a call of MiniMax", minimax, M(B("city", "Rome")), true],
  ])("beside a format: %s", async (_, style, text, is) => {
    const schema = { type: "object", properties: { t: { const: 1 } }, required: ["t"], additionalProperties: false };
    const options = { tools, responseFormat: { type: "json_schema", schema, strict: true } } as const;
    expect(await allows(await constraintOf(parts, options, style.grammar(tools, "auto", true)), text)).toBe(is);
  });
});
