// What an answer is held to, token by token: calls that must come, calls that may, and texts that
// have a format.

import { afterAll, describe, expect, it } from "vitest";
import { jsonStyle } from "../../src/chat/styles/json.ts";
import { mistralCalls } from "../../src/chat/styles/mistral.ts";
import type { CallStyle } from "../../src/chat/styles/style.ts";
import type { ToolDefinition } from "../../src/chat/types.ts";
import type { ChatOptions } from "../../src/engine/chat_api.ts";
import { constraintOf } from "../../src/engine/chat_constraint.ts";
import { RequestError } from "../../src/errors.ts";
import { createGrammars } from "../../src/grammar/grammars.ts";
import type { Constraint } from "../../src/grammar/types.ts";
import { controls, tales } from "../chat/support.ts";
import { allowed, tokensOf } from "../grammar/support.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";

const CALLS = controls.pieceToId("[TOOL_CALLS]")!;
const [EOS] = controls.eosIds as [number];
const vocab = controls.vocabSize;
const grammars = {
  controls: createGrammars(controls, vocab, [EOS]),
  tales: createGrammars(tales, tales.vocabSize, [EOS]),
};
afterAll(() => {
  grammars.controls.close();
  grammars.tales.close();
});

const city: ToolDefinition = {
  name: "weather",
  parameters: {
    type: "object",
    properties: { city: { enum: ["Rome", "Oslo"] } },
    required: ["city"],
    additionalProperties: false,
  },
};
/** One whose schema no grammar can promise; half of it can be. */
const odd: ToolDefinition = {
  name: "odd",
  parameters: {
    type: "object",
    properties: { mail: { type: "string", pattern: "^(a)\\1b" }, unit: { enum: ["C", "F"] } },
    required: ["mail", "unit"],
  },
};
const ROME = '{"name": "weather", "arguments": {"city": "Rome"}}';
const ROME_V3 = '{"name": "weather", "arguments": {"city": "Rome"}, "id": "abcdefghi"}';

const callsOf = (style: CallStyle, { tools = [], toolChoice = "auto", parallelToolCalls = true }: ChatOptions) =>
  style.grammar(tools, toolChoice, parallelToolCalls);
const mistral = (options: ChatOptions): Promise<Constraint | null> =>
  constraintOf(
    { grammars: grammars.controls, tokenizer: controls, vocab },
    options,
    callsOf(mistralCalls("mistral-v3", CALLS), options),
  );
const protocol = (options: ChatOptions): Promise<Constraint | null> =>
  constraintOf(
    { grammars: grammars.tales, tokenizer: tales, vocab: tales.vocabSize },
    options,
    callsOf(jsonStyle, options),
  );

const has = (mask: Int32Array | null, id: number): boolean =>
  mask === null || (mask[id >> 5]! & (1 << (id & 31))) !== 0;

/**
 * Whether a constraint allows these tokens one after the other; it has then accepted those before
 * the first that it does not.
 */
async function takes(constraint: Constraint, ids: readonly number[]): Promise<boolean> {
  for (const id of ids) {
    if (!has(await constraint.mask(), id)) return false;
    constraint.accept(id);
  }
  return true;
}
const says = (text: string): number[] => tokensOf(text, controls);

describe("calls that are required", () => {
  it.each<[string, ChatOptions]>([
    ["required", { toolChoice: "required" }],
    ["a named one", { toolChoice: { name: "weather" } }],
  ])("%s: the control token first and nothing else, then the list, then the end", async (_, options) => {
    const constraint = (await mistral({ tools: [city], ...options }))!;
    expect(allowed((await constraint.mask())!)).toEqual([CALLS]);
    constraint.accept(CALLS);
    expect(has(await constraint.mask(), EOS)).toBe(false);
    expect(has(await constraint.mask(), CALLS)).toBe(false);
    expect(await takes(constraint, says(`[${ROME_V3}]`))).toBe(true);
    expect(constraint.ended).toBe(false);
    expect(await takes(constraint, [EOS])).toBe(true);
    expect(constraint.ended).toBe(true);
    constraint.close();
  });

  it.each<[string, ChatOptions, boolean]>([
    ["several", {}, true],
    ["one where calls are not parallel", { parallelToolCalls: false }, false],
    ["one where it is named", { toolChoice: { name: "weather" } }, false],
  ])("may be %s", async (_, options, second) => {
    const constraint = (await mistral({ tools: [city], toolChoice: "required", ...options }))!;
    expect(await takes(constraint, [CALLS, ...says(`[${ROME_V3}`)])).toBe(true);
    expect(await takes(constraint, says(`, ${ROME_V3}`))).toBe(second);
    constraint.close();
  });

  it.each([
    ["another tool", '[{"name": "x'],
    ["an argument that is none of its values", '[{"name": "weather", "arguments": {"city": "Par'],
    ["no calls at all", "[]"],
  ])("are not %s", async (_, text) => {
    const constraint = (await mistral({ tools: [city], toolChoice: "required" }))!;
    expect(await takes(constraint, [CALLS, ...says(text)])).toBe(false);
    constraint.close();
  });

  it("a tool that is not the named one cannot be called", async () => {
    const constraint = (await mistral({ tools: [city, { name: "other" }], toolChoice: { name: "other" } }))!;
    expect(await takes(constraint, [CALLS, ...says('[{"name": "w')])).toBe(false);
    constraint.close();
  });

  it("in the JSON protocol are an object without anything in front", async () => {
    const constraint = (await protocol({ tools: [city], toolChoice: "required", parallelToolCalls: false }))!;
    expect(has(await constraint.mask(), EOS)).toBe(false);
    expect(await takes(constraint, tokensOf(`{"tool_calls": [${ROME}]}`, tales))).toBe(true);
    expect(await takes(constraint, [EOS])).toBe(true);
    constraint.close();
  });
});

describe("calls that may come", () => {
  it("text is free, also behind the model's own beginning, until the control token", async () => {
    const constraint = (await mistral({ tools: [city] }))!;
    expect(await constraint.mask()).toBeNull();
    for (const id of says("Let me see.")) constraint.accept(id);
    expect(await constraint.mask()).toBeNull();
    constraint.accept(CALLS);
    expect(has(await constraint.mask(), EOS)).toBe(false);
    expect(await takes(constraint, [...says(`[${ROME_V3}]`), EOS])).toBe(true);
    expect(constraint.ended).toBe(true);
    constraint.close();
  });

  it("instead of a text that has a format: the control token only at its beginning", async () => {
    const options: ChatOptions = { tools: [city], responseFormat: { type: "json" } };
    const calls = (await mistral(options))!;
    expect(await takes(calls, [CALLS, ...says(`[${ROME_V3}]`), EOS])).toBe(true);
    calls.close();
    const object = (await mistral(options))!;
    expect(has(await object.mask(), EOS)).toBe(false);
    expect(has(await object.mask(), says("H")[0]!)).toBe(false);
    expect(await takes(object, says('{"a": '))).toBe(true);
    expect(has(await object.mask(), CALLS)).toBe(false);
    expect(await takes(object, [...says("1}"), EOS])).toBe(true);
    object.close();
  });

  it("text is free in the JSON protocol, and an object is calls", async () => {
    const text = (await protocol({ tools: [city] }))!;
    for (const id of tokensOf("Once {", tales)) text.accept(id);
    expect(await text.mask()).toBeNull();
    text.close();
    for (const first of [tales.encode("{", { addBos: false }), tokensOf("{", tales), tokensOf('\n{"', tales)]) {
      const calls = (await protocol({ tools: [city] }))!;
      expect(await calls.mask()).toBeNull();
      for (const id of first) calls.accept(id);
      expect(await calls.mask()).not.toBeNull();
      expect(has(await calls.mask(), EOS)).toBe(false);
      calls.close();
    }
  });

  it("beside a format of its text the JSON protocol is that text, or calls", async () => {
    const schema = { type: "object", properties: { t: { const: 1 } }, required: ["t"], additionalProperties: false };
    const call = (town: string) => `{"tool_calls": [{"name": "weather", "arguments": {"city": "${town}"}}]}`;
    for (const [text, is] of [
      ['{"t": 1}', true],
      ['{"t": 2}', false],
      [call("Rome"), true],
      [call("Bonn"), false],
      ['{"tool": 1}', false],
      ["Hello", false],
    ] as const) {
      const constraint = (await protocol({
        tools: [city],
        responseFormat: { type: "json_schema", schema, strict: true },
      }))!;
      expect(await takes(constraint, [...tokensOf(text, tales), EOS]), text).toBe(is);
      constraint.close();
    }
  });
});

describe("a schema that cannot be enforced", () => {
  const written = (unit: string) => `{"name": "odd", "arguments": {"mail": "abc", "unit": "${unit}"}`;

  it.each<[string, ChatOptions]>([
    ["that is required", { tools: [odd], toolChoice: "required" }],
    ["that is named", { tools: [city, odd], toolChoice: { name: "odd" } }],
    ["of the model's choice", { tools: [odd] }],
    ["beside a strict one", { tools: [{ ...city, strict: true }, odd] }],
  ])("is enforced as far as it can be, in a call %s", async (_, options) => {
    for (const [unit, is] of [
      ["C", true],
      ["K", false],
    ] as const) {
      const constraint = (await mistral(options))!;
      expect(await takes(constraint, [CALLS, ...says(`[${written(unit)}`)])).toBe(is);
      constraint.close();
    }
  });

  it("takes nothing from the other tools", async () => {
    const constraint = (await mistral({ tools: [odd, { ...city, strict: true }], toolChoice: "required" }))!;
    expect(await takes(constraint, [CALLS, ...says(`[${ROME_V3}`)])).toBe(true);
    constraint.close();
    const other = (await mistral({ tools: [odd, city], toolChoice: "required" }))!;
    expect(await takes(other, [CALLS, ...says('[{"name": "weather", "arguments": {"city": "Par')])).toBe(false);
    other.close();
  });

  it.each<[string, ChatOptions]>([
    ["a call of the model's choice", {}],
    ["a call that is required", { toolChoice: "required" }],
  ])("is refused by the names of tool and keyword where it is strict, in %s", async (_, options) => {
    const refused = mistral({ tools: [city, { ...odd, strict: true }], ...options });
    await expect(refused).rejects.toThrow(RequestError);
    await expect(refused).rejects.toThrow(/tool "odd": parameters: keyword `pattern` at #\/properties\/mail/);
  });

  it("arguments that are no object are refused where they are strict", async () => {
    const text: ToolDefinition = { name: "f", parameters: { type: "string" }, strict: true };
    expect(() => mistral({ tools: [text] })).toThrow(/tool "f": parameters: keyword `type`/);
    const constraint = (await mistral({ tools: [{ ...text, strict: false }], toolChoice: "required" }))!;
    expect(await takes(constraint, [CALLS, ...says('[{"name": "f", "arguments": {')])).toBe(true);
    constraint.close();
  });

  it("names that two tools give their schemas, and parts of them, are each tool's own", async () => {
    const tool = (name: string, value: string, more: object): ToolDefinition => ({
      name,
      parameters: {
        $id: "https://e.example/same",
        $schema: "http://json-schema.org/draft-07/schema#",
        type: "object",
        properties: {
          p: { $ref: "#/definitions/d" },
          q: { $ref: "https://e.example/same#/definitions/d" },
        },
        definitions: { d: { enum: [value] } },
        required: ["p", "q"],
        ...more,
      },
    });
    const tools = [tool("one", "1", {}), tool("two", "2", { $schema: "https://json-schema.org/draft/2020-12/schema" })];
    for (const [name, value, is] of [
      ["one", "1", true],
      ["two", "2", true],
      ["one", "2", false],
      ["two", "1", false],
    ] as const) {
      const constraint = (await mistral({ tools, toolChoice: "required" }))!;
      const call = `[{"name": "${name}", "arguments": {"p": "${value}", "q": "${value}"}, "id": "abcdefghi"}]`;
      expect(await takes(constraint, [CALLS, ...says(call)]), call).toBe(is);
      constraint.close();
    }
  });

  it.skipIf(leftToCi)(titled("what is too large is held to its form", leftToCi), async () => {
    const large = Array.from({ length: 40_000 }, (_, i) => `value ${i} of a list that is far too long`);
    const tools = [city, { name: "large", parameters: { properties: { a: { enum: large } }, required: ["a"] } }];
    const constraint = (await mistral({ tools, toolChoice: "required" }))!;
    expect(await takes(constraint, [CALLS, ...says('[{"name": "large", "arguments": {"a": 1}')])).toBe(true);
    constraint.close();
    const other = (await mistral({ tools, toolChoice: "required" }))!;
    expect(await takes(other, [CALLS, ...says('[{"name": "weather", "arguments": {"city": "Par')])).toBe(false);
    other.close();
  });

  it("five hundred tools", async () => {
    const parameters = city.parameters!;
    const tools = Array.from({ length: 500 }, (_, i) => ({ name: `tool_${i}`, parameters }));
    const constraint = (await mistral({ tools, toolChoice: "required" }))!;
    expect(await takes(constraint, [CALLS, ...says('[{"name": "tool_499", "arguments": {"city": "Rome"}')])).toBe(true);
    constraint.close();
  });
});

describe("without tools", () => {
  it("plain text is not constrained; a format is", async () => {
    expect(await mistral({})).toBeNull();
    expect(await mistral({ tools: [city], toolChoice: "none" })).toBeNull();
    const constraint = (await mistral({ responseFormat: { type: "regex", pattern: "ab?" } }))!;
    expect(await takes(constraint, [...says("ab"), EOS])).toBe(true);
    constraint.close();
  });
});
