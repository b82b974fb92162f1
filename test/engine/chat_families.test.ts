// model.chat() over random tiny models whose folders have the templates and marks of model
// families: reasoning within its budget, calls that must come, and texts in a format.

import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ChatEvent, ChatOptions, ToolDefinition } from "../../src/engine/chat_api.ts";
import type { Model } from "../../src/engine/model.ts";
import { open } from "../../src/index.ts";
import * as families from "../chat/family_support.ts";
import { markedFiles } from "../chat/family_support.ts";
import { EVERYTHING } from "../support/level.ts";
import { some } from "../support/some.ts";
import { writeTinyFolder } from "../support/tiny_folder.ts";

const tools: readonly ToolDefinition[] = [
  {
    name: "weather",
    parameters: {
      type: "object",
      properties: { city: { enum: ["Rome", "Oslo"] }, days: { type: "integer", minimum: 1, maximum: 9 } },
      required: ["city", "days"],
      additionalProperties: false,
    },
  },
  {
    name: "wait",
    parameters: {
      type: "object",
      properties: { long: { type: "boolean" } },
      required: ["long"],
      additionalProperties: false,
    },
  },
];
const schema = {
  type: "object",
  properties: { on: { type: "boolean" } },
  required: ["on"],
  additionalProperties: false,
};

const FAMILIES = [
  ["Qwen3", families.QWEN, true],
  ["Qwen3-Coder", families.CODER, true],
  ["GLM-4.7", families.GLM, true],
  ["GLM-4.6", families.GLM_LINES, true],
  ["DeepSeek V3.1", families.DEEPSEEK, true],
  ["DeepSeek R1", families.R1, true],
  ["gpt-oss", families.HARMONY, false],
  ["MiniMax-M2", families.MINIMAX, true],
  ["LFM2", families.LFM2, true],
  ["Granite", families.GRANITE, true],
] as const;

describe.each(some(FAMILIES, 5))("%s", (_, template, parallel) => {
  let model: Model;
  let folder: ReturnType<typeof writeTinyFolder>;
  beforeAll(async () => {
    const { files, size } = markedFiles(template);
    folder = writeTinyFolder({ ...files, "chat_template.jinja": template }, size);
    model = await open(folder.path, { backend: "cpu", weights: "f32", threads: 1 });
  });
  afterAll(async () => {
    await model?.close();
    folder?.remove();
  });

  async function chat(options: ChatOptions) {
    const found = { text: "", reasoning: "", calls: [] as { name: string; args: string }[], thought: 0, tokens: 0 };
    const settings = { maxTokens: 500, temperature: 1, reasoning: { enabled: true, budget: 5 }, ...options };
    for await (const event of model.chat([{ role: "user", content: "?" }], settings) as AsyncIterable<ChatEvent>) {
      if (event.type === "text") found.text += event.text;
      else if (event.type === "reasoning") found.reasoning += event.text;
      else if (event.type === "tool_call") found.calls.push({ name: event.name, args: "" });
      else if (event.type === "tool_arguments") found.calls.at(-1)!.args += event.text;
      else {
        found.thought = event.usage.reasoningTokens ?? 0;
        found.tokens = event.usage.completionTokens;
      }
    }
    return found;
  }

  it.each(some([1, 2], 1))("calls that must come are whole and valid (seed %i)", async (seed) => {
    const { text, calls, thought, tokens } = await chat({ tools, toolChoice: "required", seed });
    expect(text).toBe("");
    expect(calls.length).toBeGreaterThan(0);
    if (!parallel) expect(calls.length).toBe(1);
    for (const { name, args } of calls) {
      const tool = tools.find((one) => one.name === name)!;
      expect(new Ajv2020().validate(tool.parameters!, JSON.parse(args)), args).toBe(true);
    }
    expect(thought).toBeLessThanOrEqual(7); // with the marks
    expect(tokens).toBeGreaterThan(thought);
  });

  it("the tool that is named, once", async () => {
    const { calls } = await chat({ tools, toolChoice: { name: "wait" }, seed: 1 });
    expect(calls.map(({ name }) => name)).toEqual(["wait"]);
  });

  it.each(some([1, 2], 1))("a text in a format, whatever came before it (seed %i)", async (seed) => {
    const responseFormat = { type: "json_schema", strict: true, schema } as const;
    const { text, thought } = await chat({ responseFormat, seed });
    expect(new Ajv2020().validate(schema, JSON.parse(text)), text).toBe(true);
    expect(thought).toBeLessThanOrEqual(7);
    const off = await chat({ responseFormat, seed, reasoning: { enabled: false } });
    expect(new Ajv2020().validate(schema, JSON.parse(off.text)), off.text).toBe(true);
    expect(off.reasoning).toBe("");
  });

  it("a free answer shows no marks, and keeps the budget", async () => {
    for (const seed of EVERYTHING ? [1, 2] : [1]) {
      const { text, reasoning, thought } = await chat({ tools, seed, maxTokens: 40 });
      expect(text + reasoning).not.toMatch(/<\|\w+\|>|<\/?think>/);
      expect(thought).toBeLessThan(40);
    }
  });
});
