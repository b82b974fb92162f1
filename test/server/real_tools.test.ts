// Tools at the joined server with a real model: calls by their schemas, results read, and calls
// that were cut off left out.

import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Model } from "../../src/engine/model.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { some } from "../support/some.ts";
import { eventsOf } from "./fake_model.ts";
import { openTales, type RealServer, serveReal } from "./real.ts";

const STORY = "Tell me a story.";
const MESSAGES = [{ role: "user", content: STORY }];
const GREEDY = { temperature: 0, max_tokens: 24 };

let model: Model;
let server: RealServer;
beforeAll(async () => {
  model = await openTales();
  server = await serveReal(model);
});
afterAll(async () => {
  await server?.close();
  await model?.close();
});

async function streamed(path: string, body: object): Promise<Record<string, unknown>[]> {
  const { status, text } = await server.ask(path, { ...body, stream: true });
  expect(status, text).toBe(200);
  return eventsOf(text).flatMap(({ data }) => (data === "[DONE]" ? [] : [data as Record<string, unknown>]));
}

const person = {
  type: "object",
  properties: {
    name: { type: "string", minLength: 1, maxLength: 8 },
    age: { type: "integer", minimum: 1, maximum: 99 },
    moods: { type: "array", items: { enum: ["merry", "sad"] }, minItems: 1, maxItems: 2 },
  },
  required: ["name", "age", "moods"],
  additionalProperties: false,
};
const valid = (schema: object, text: string): boolean => new Ajv2020().validate(schema, JSON.parse(text));

/** Tokens that are nothing but white space. */
function blanks(): number[] {
  const ids = Array.from({ length: model.config.vocab_size }, (_, id) => id);
  return ids.filter((id) => /^\s+$/.test(new TextDecoder().decode(model.tokenizer.tokenBytes(id))));
}

describe("tools", () => {
  const tools = [
    { type: "function", function: { name: "introduce", parameters: person } },
    { type: "function", function: { name: "leave", parameters: { type: "object", additionalProperties: false } } },
  ];
  const more = { tools, temperature: 1, max_tokens: 300 };

  it.each(some([1, 2, 3], 1))(
    "one that must be called has arguments by its schema, and its result is read (seed %i)",
    async (seed) => {
      const { choices } = await server.say(STORY, {
        ...more,
        seed,
        tool_choice: "required",
        parallel_tool_calls: false,
      });
      const { message, finish_reason } = choices[0]!;
      expect({ finish_reason, content: message.content }).toEqual({ finish_reason: "tool_calls", content: null });
      expect(message.tool_calls!.length).toBe(1);
      const [call] = message.tool_calls!;
      const schema = tools.find(({ function: { name } }) => name === call!.function.name)!.function.parameters;
      expect(valid(schema, call!.function.arguments), call!.function.arguments).toBe(true);
      const messages = [...MESSAGES, message, { role: "tool", tool_call_id: call!.id, content: "done" }];
      const answer = await server.ask("/v1/chat/completions", { ...more, ...GREEDY, messages, tool_choice: "none" });
      expect(answer.json.choices[0]!.message.tool_calls).toBeUndefined();
      expect(answer.json.choices[0]!.message.content).toEqual(expect.any(String));
    },
  );

  it.skipIf(leftToCi)(
    titled("one that the length cuts off at any token is left out, of both APIs, streamed or not", leftToCi),
    async () => {
      // Without bias there are sometimes hundreds of spaces in a call.
      const forced = {
        ...more,
        seed: 2,
        tool_choice: { type: "function", function: { name: "leave" } },
        logit_bias: Object.fromEntries(blanks().map((id) => [id, -100])),
      };
      const whole = await server.say(STORY, forced);
      expect(whole.choices[0]).toMatchObject({ finish_reason: "tool_calls" });
      const anthropic = {
        tools: [{ name: "leave", input_schema: { type: "object", additionalProperties: false } }],
        tool_choice: { type: "tool", name: "leave" },
        messages: MESSAGES,
      };
      const found: number[] = [];
      for (let max_tokens = 1; max_tokens < whole.usage.completion_tokens; max_tokens += 2) {
        const cut = { ...forced, max_tokens, ...(max_tokens % 4 === 1 && { logprobs: true }) };
        const [one] = (await server.say(STORY, cut)).choices;
        const { content, tool_calls: calls = [] } = one!.message;
        expect([one!.finish_reason, content ?? ""]).toEqual(["length", ""]);
        expect(calls.map((call) => call.function)).toEqual(calls.map(() => ({ name: "leave", arguments: "{}" })));
        found.push(calls.length);
        const chunks = await streamed("/v1/chat/completions", { messages: [{ role: "user", content: STORY }], ...cut });
        const deltas = chunks.flatMap((chunk) => chunk.choices as { delta: { content?: string; tool_calls?: [] } }[]);
        expect(deltas.flatMap(({ delta }) => delta.tool_calls ?? []).length).toBe(calls.length);
        expect(deltas.map(({ delta }) => delta.content ?? "").join("")).toBe("");
        // Without a seed another answer each time, of which the same is true.
        const { json } = await server.ask("/v1/messages", { ...anthropic, max_tokens });
        const block = { type: "tool_use", name: "leave", input: {} };
        expect(json.content).toMatchObject(json.content.map(() => block));
        if (json.content.length === 0) expect(json.stop_reason).toBe("max_tokens");
        const events = await streamed("/v1/messages", { ...anthropic, max_tokens });
        for (const { type, content_block } of events)
          if (type === "content_block_start") expect(content_block).toMatchObject(block);
      }
      expect([found[0], found.at(-1)]).toEqual([0, 1]);
    },
  );

  it("one that has to be and that a stop text ends is no text", async () => {
    const { choices } = await server.say(STORY, { ...more, seed: 1, tool_choice: "required", stop: ["arguments"] });
    expect(choices).toMatchObject([{ message: { content: "" }, finish_reason: "stop" }]);
    expect(choices[0]!.message.tool_calls).toBeUndefined();
  });

  const odd: readonly (readonly [string, unknown])[] = [
    ["none", undefined],
    ["null", null],
    ["true", true],
    ["a list", [1]],
    ["a text", "{}"],
    ["look-ahead", { properties: { a: { type: "string", pattern: "^(?!\\.)b" } }, required: ["a"] }],
    ["a pattern that is none", { properties: { a: { pattern: "[a" } } }],
    ["draft 4", { properties: { a: { minimum: 0, exclusiveMinimum: true } } }],
    ["draft 3", { properties: { a: { type: "any", required: true } }, extends: { $ref: "x" } }],
    ["no value", { properties: { a: { enum: [] } }, required: ["a"] }],
    ["references to nowhere", { properties: { a: { $ref: "#/x" }, b: { $ref: "https://e.example/b.json" } } }],
    ["itself", { $ref: "#" }],
    ["a name of its own", { $id: "::", $schema: "https://e.example/mine", properties: { a: { $id: "same" } } }],
    ["keywords of another kind", { properties: 5, required: "a", type: ["object", "nul"], format: 3 }],
    ["__proto__", JSON.parse('{"properties": {"__proto__": {"type": "integer"}}, "required": ["__proto__"]}')],
    ["levels", Array.from({ length: 60 }).reduce((inner) => ({ properties: { a: inner } }), { type: "integer" })],
  ];
  it.each(some(odd, 2))("a schema is no reason to refuse a request: %s", async (_, schema) => {
    const openai = [...tools, { type: "function", function: { name: "odd", parameters: schema } }];
    const anthropic = [{ name: "odd", input_schema: schema }];
    for (const stream of [false, true]) {
      const base = { messages: MESSAGES, max_tokens: 2, stream };
      for (const tool_choice of ["auto", "required", { type: "function", function: { name: "odd" } }]) {
        const body = { ...base, tools: openai, tool_choice };
        const { status, text } = await server.ask("/v1/chat/completions", body);
        expect(status, text).toBe(200);
      }
      for (const tool_choice of [{ type: "auto" }, { type: "any" }, { type: "tool", name: "odd" }]) {
        const { status, text } = await server.ask("/v1/messages", { ...base, tools: anthropic, tool_choice });
        expect(status, text).toBe(200);
      }
    }
  });

  it("a named one is the one that is called", async () => {
    const choice = { type: "function", function: { name: "introduce" } };
    const { choices } = await server.say(STORY, { ...more, seed: 1, tool_choice: choice });
    const calls = choices[0]!.message.tool_calls!;
    expect(calls.map((call) => call.function.name)).toEqual(["introduce"]);
    expect(valid(person, calls[0]!.function.arguments)).toBe(true);
  });
});
