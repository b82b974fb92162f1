// Tools: the form that calls must have, the JSON protocol, and what a folder's way of chatting
// makes of them.

import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import {
  type ChatConventions,
  type ChatMessage,
  openChat,
  type ToolChoice,
  type ToolDefinition,
} from "../../src/chat/conventions.ts";
import { jsonProtocol, jsonStyle } from "../../src/chat/styles/json.ts";
import { mistralCalls } from "../../src/chat/styles/mistral.ts";
import { RequestError } from "../../src/errors.ts";
import { tokenizerOf } from "../tokenizer/support.ts";
import { memoryFiles } from "../weights/memory_files.ts";
import { CONTROL_FILES, controls, controlsIn, tales } from "./support.ts";

const TOOLS: readonly ToolDefinition[] = [
  {
    name: "a",
    parameters: { type: "object", properties: { x: { $ref: "#/$defs/n" } }, $defs: { n: { type: "integer" } } },
  },
  { name: "b", description: "B." },
];

const v2 = mistralCalls("mistral-v2", 5);
const v3 = mistralCalls("mistral-v3", 5);

describe("the form of calls", () => {
  const accepts = (choice: ToolChoice, value: unknown): boolean => {
    const { schema, parts } = v2.grammar(TOOLS, choice, true)!;
    const $defs = Object.fromEntries(
      parts.map(({ name, schema: part }) => [name, { ...part, $id: `https://tools.example/${name}` }]),
    );
    return new Ajv2020().validate({ ...schema, $defs }, value);
  };
  it("holds names and arguments together, references included", () => {
    expect(
      accepts("auto", [
        { name: "a", arguments: { x: 1 } },
        { name: "b", arguments: {} },
      ]),
    ).toBe(true);
    expect(accepts("auto", [{ name: "a", arguments: { x: "1" } }])).toBe(false);
    expect(accepts("auto", [{ name: "c", arguments: {} }])).toBe(false);
    expect(accepts("required", [])).toBe(false);
    expect(accepts({ name: "b" }, [{ name: "a", arguments: {} }])).toBe(false);
    expect(
      accepts({ name: "b" }, [
        { name: "b", arguments: {} },
        { name: "b", arguments: {} },
      ]),
    ).toBe(false);
  });

  it("says whether calls must be, and what stands before them", () => {
    expect(v3.grammar(TOOLS, "none", true)).toBeNull();
    expect(v3.grammar([], "auto", true)).toBeNull();
    expect(v3.grammar(TOOLS, "auto", true)).toMatchObject({ required: false, prefixIds: [5] });
    expect(jsonStyle.grammar(TOOLS, "required", true)).toMatchObject({
      required: true,
      prefixIds: [],
      schema: { required: ["tool_calls"] },
    });
    const { schema } = v3.grammar(TOOLS, { name: "b" }, true)!;
    expect(schema).toEqual({
      type: "array",
      items: {
        type: "object",
        properties: {
          name: { const: "b" },
          arguments: { type: "object" },
          id: { type: "string", pattern: "^[a-zA-Z0-9]{9}$" },
        },
        required: ["name", "arguments", "id"],
        additionalProperties: false,
      },
      minItems: 1,
      maxItems: 1,
    });
  });
});

const user = (content: string): ChatMessage => ({ role: "user", content });
const ROUND: ChatMessage[] = [
  { role: "system", content: "Be kind." },
  user("Hi"),
  {
    role: "assistant",
    content: "Let me see.",
    toolCalls: [
      { id: "call_1", name: "a", arguments: '{"x":1}' },
      { id: "call_2", name: "b", arguments: "" },
    ],
  },
  { role: "tool", toolCallId: "call_1", content: "1.0" },
  { role: "tool", toolCallId: "call_2", content: "two" },
];

describe("the JSON protocol", () => {
  it("is a conversation without tools", () => {
    expect(jsonProtocol(ROUND, {})).toEqual([
      ROUND[0],
      ROUND[1],
      {
        role: "assistant",
        content:
          'Let me see.\n\n{"tool_calls": [{"name": "a", "arguments": {"x": 1}}, {"name": "b", "arguments": ""}]}',
      },
      user('{"tool_result": {"name": "a", "content": 1.0}}\n\n{"tool_result": {"name": "b", "content": "two"}}'),
    ]);
  });

  it("names each result after its call, where ids come again", () => {
    const calls = (...names: string[]): ChatMessage => ({
      role: "assistant",
      toolCalls: names.map((name) => ({ id: "0", name, arguments: "{}" })),
    });
    const result: ChatMessage = { role: "tool", toolCallId: "0", content: "1" };
    const told = jsonProtocol([user("Hi"), calls("a", "b"), result, result, calls("c"), result], {});
    expect(told.flatMap(({ role, content }) => (role === "user" ? [content] : []))).toEqual([
      "Hi",
      '{"tool_result": {"name": "a", "content": 1}}\n\n{"tool_result": {"name": "b", "content": 1}}',
      '{"tool_result": {"name": "c", "content": 1}}',
    ]);
  });

  it("tells the model its tools and whether it must call one, behind its system prompt", () => {
    const told = (toolChoice: ToolChoice): string =>
      jsonProtocol(ROUND, { tools: TOOLS, toolChoice })
        .flatMap((m) => (m.role === "system" ? [m.content] : []))
        .join("|");
    expect(told("auto")).toMatch(
      /^Be kind\.\|You can call these tools.*"name": "b", "description": "B\.".*plain text\.$/s,
    );
    expect(told("required")).toMatch(/at least one tool\.$/);
    expect(told({ name: "b" })).toMatch(/Now call the tool b\.$/);
    expect(told("none")).toBe("Be kind.");
  });
});

describe("openChat", () => {
  const open = async (files: Record<string, unknown>): Promise<ChatConventions> => {
    const contents = Object.entries(files).map(([name, c]) => [
      name,
      typeof c === "string" || c instanceof Uint8Array ? c : JSON.stringify(c),
    ]);
    return openChat(memoryFiles(Object.fromEntries(contents)), await tokenizerOf(files));
  };

  it("models/tales: Mistral's rules v1, and tools by the JSON protocol", async () => {
    const chat = await openChat(memoryFiles({}), tales);
    expect(chat).toMatchObject({ source: "Mistral's rules v1", callStyle: "json", stopIds: [2] });
    const text = tales.decode(chat.prompt(ROUND, { tools: TOOLS }));
    expect(text).toMatch(/^\[INST\] Be kind\.\n\nYou can call these tools/);
    expect(text).toMatch(/"content": "two"}} \[\/INST\]$/);
    expect(chat.callGrammar({ tools: TOOLS })).toMatchObject({ required: false, prefixIds: [] });
  });

  it("control tokens of Mistral's: rules v3, or the template where it shows tools", async () => {
    const calls = controls.pieceToId("[TOOL_CALLS]");
    const chat = await open(CONTROL_FILES);
    expect(chat).toMatchObject({ source: "Mistral's rules v3", callStyle: "mistral-v3" });
    expect(chat.callGrammar({ tools: TOOLS, toolChoice: "required" })).toMatchObject({
      required: true,
      prefixIds: [calls],
    });
    const ids = chat.prompt(ROUND, { tools: TOOLS });
    expect(controlsIn(controls, ids)).toBe(
      "<s>[AVAILABLE_TOOLS][/AVAILABLE_TOOLS][INST][/INST][TOOL_CALLS]</s>[TOOL_RESULTS][/TOOL_RESULTS][TOOL_RESULTS][/TOOL_RESULTS]",
    );
    expect(controlsIn(controls, chat.prompt(ROUND, { tools: TOOLS, toolChoice: "none" }))).not.toContain(
      "[AVAILABLE_TOOLS]",
    );

    const withTools = await open({
      ...CONTROL_FILES,
      "chat_template.jinja": "{{ tools | tojson }}{{ messages | tojson }}",
    });
    expect(withTools.callStyle).toBe("mistral-v3");
    const text = controls.decode(withTools.prompt(ROUND, { tools: TOOLS }));
    expect(/"tool_call_id": "([a-zA-Z0-9]{9})"/.exec(text)?.[1]).toBe(/"id": "([a-zA-Z0-9]{9})"/.exec(text)?.[1]);

    const without = await open({
      ...CONTROL_FILES,
      "chat_template.jinja": "{% for m in messages %}{{ m.role + m.content }}{% endfor %}",
    });
    expect(without.callStyle).toBe("json");
    expect(controls.decode(without.prompt(ROUND, { tools: TOOLS }))).toContain("You can call these tools");
  });

  it("checks what it is given, but no schema", async () => {
    const chat = await openChat(memoryFiles({}), tales);
    expect(() => chat.prompt([])).toThrow(RequestError);
    expect(() => chat.prompt([user("a")], { toolChoice: "required" })).toThrow(RequestError);
    expect(() => chat.parser({ tools: [{ name: "" }] })).toThrow(RequestError);
    expect([...chat.parser({ tools: [{ name: "a", parameters: { type: 5 } }] }).end()]).toEqual([]);
    expect([...chat.parser().push(" a", [300])]).toEqual([{ type: "text", text: "a" }]);
  });
});
