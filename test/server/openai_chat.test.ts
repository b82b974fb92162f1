import { describe, expect, it } from "vitest";
import type { ChatOptions } from "../../src/engine/chat_api.ts";
import { BusyError, DeviceError, MemoryError, RequestError } from "../../src/errors.ts";
import { createApp } from "../../src/server/app.ts";
import { PATIENT } from "../support/patience.ts";
import { type Act, eventsOf, type Fake, fakeModel, type Script } from "./fake_model.ts";

const MESSAGES = [{ role: "user", content: "hi" }];

async function ask(body: object, model: Fake = fakeModel()): Promise<Response> {
  return createApp(model).request("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "any", messages: MESSAGES, ...body }),
  });
}

/** What the engine is asked for, given fields of a request. */
async function options(body: object): Promise<ChatOptions> {
  const model = fakeModel();
  const response = await ask(body, model);
  expect(await response.json()).not.toHaveProperty("error");
  const { signal: _, ...rest } = model.asked[0]!.options;
  return rest;
}

/** The deltas of a streamed answer and the reasons, by choice. */
async function deltas(body: object, script: Script): Promise<unknown[]> {
  const response = await ask({ ...body, stream: true }, fakeModel(script));
  const events = eventsOf(await response.text());
  expect(events.pop()).toEqual({ event: undefined, data: "[DONE]" });
  return events.map(({ data }) => {
    const { index, delta, finish_reason: reason } = (data as { choices: Record<string, unknown>[] }).choices[0]!;
    return reason === null ? [index, delta] : [index, delta, reason];
  });
}

const says = (...acts: Act[]): Script => ({ acts: () => acts });
const TOOL = {
  type: "function",
  function: { name: "f", description: "d", parameters: { type: "object" }, strict: true },
};

describe("what a request asks the engine for", () => {
  it.each<[object, ChatOptions]>([
    [{}, {}],
    [
      { temperature: 0.5, top_p: 0.9, top_k: 40, min_p: 0.1 },
      { temperature: 0.5, topP: 0.9, topK: 40, minP: 0.1 },
    ],
    [
      { top_k: -1, repetition_penalty: 1.1 },
      { topK: 0, repeatPenalty: 1.1 },
    ],
    [
      { frequency_penalty: -2, presence_penalty: 2 },
      { frequencyPenalty: -2, presencePenalty: 2 },
    ],
    [{ max_tokens: 5 }, { maxTokens: 5 }],
    [{ max_tokens: 5, max_completion_tokens: 6 }, { maxTokens: 6 }],
    [{ max_tokens: 32_000 }, { maxTokens: 32_000 }],
    [{ temperature: null, tools: null, stop: null, response_format: null, n: null }, {}],
    [{ stop: "x" }, { stop: ["x"] }],
    [{ stop: ["x", "yy"] }, { stop: ["x", "yy"] }],
    [{ logprobs: true }, { logprobs: 0 }],
    [{ logprobs: true, top_logprobs: 3 }, { logprobs: 3 }],
    [{ logprobs: false }, {}],
    [{ logit_bias: { "5": -100, "7": 1.5 } }, { logitBias: { 5: -100, 7: 1.5 } }],
    [{ seed: 9 }, { seed: 9 }],
    [{ random_seed: 9, safe_prompt: true }, { seed: 9 }],
    [{ seed: -1 }, {}],
    [{ random_seed: -1 }, {}],
    [{ seed: -2 }, { seed: 2 ** 53 - 2 }],
    // 64 bits, as the nearest number that JSON.parse() makes of them.
    [{ seed: 2 ** 53 }, { seed: 0 }],
    [{ seed: 2 ** 63 + 2 ** 40 }, { seed: 2 ** 40 }],
    [{ seed: -(2 ** 63) }, { seed: 0 }],
    [{ seed: 2 ** 64 }, { seed: 0 }],
    [{ max_tokens: -1 }, {}],
    [{ max_completion_tokens: -1, max_tokens: 7 }, {}],
    [{ n_predict: 6 }, { maxTokens: 6 }],
    [{ stop: "" }, { stop: [] }],
    [{ stop: ["a", "", null] }, { stop: ["a"] }],
    [{ stop: "a", stop_strings: ["b"], stop_words: "c" }, { stop: ["a", "b", "c"] }],
    [{ eos_token_id: 7 }, { stopIds: [7] }],
    [{ eos_token_id: [7, 8], stop_token_ids: [5] }, { stopIds: [5, 7, 8] }],
    [{ eos_token_id: [], stop_token_ids: [] }, {}],
    [{ model: undefined, model_id: "mistralai/Mixtral" }, {}],
    [{ model: "" }, {}],
    [{ response_format: { type: "text" } }, { responseFormat: { type: "text" } }],
    [{ response_format: { type: "json_object" } }, { responseFormat: { type: "json" } }],
    [
      { response_format: { type: "json_schema", json_schema: { name: "x", schema: { type: "object" } } } },
      { responseFormat: { type: "json_schema", schema: { type: "object" }, strict: false } },
    ],
    [{ response_format: { type: "regex", pattern: "a+" } }, { responseFormat: { type: "regex", pattern: "a+" } }],
    [
      { response_format: { type: "ebnf", grammar: 'root ::= "a"' } },
      { responseFormat: { type: "ebnf", grammar: 'root ::= "a"' } },
    ],
    [{ unknown: 1, user: "u", store: true, metadata: { a: "b" } }, {}],
    [{ tools: [] }, {}],
  ])("%j", async (body, expected) => {
    expect(await options(body)).toEqual(expected);
  });

  it.each([
    ["auto", "auto"],
    ["none", "none"],
    ["required", "required"],
    ["any", "required"],
    [{ type: "function", function: { name: "f" } }, { name: "f" }],
  ])("tools, tool_choice %j", async (tool_choice, toolChoice) => {
    const tools = [{ name: "f", description: "d", parameters: { type: "object" }, strict: true }];
    expect(await options({ tools: [TOOL], tool_choice, parallel_tool_calls: false })).toEqual({
      tools,
      toolChoice,
      parallelToolCalls: false,
    });
  });

  const named = (name: string) => ({ type: "function", function: { name } });
  it.each<[string, object, string[], string]>([
    ["auto", { allowed_tools: { mode: "auto", tools: [named("a"), named("c")] } }, ["a", "c"], "auto"],
    ["required", { allowed_tools: { mode: "required", tools: [named("b")] } }, ["b"], "required"],
    ["as the responses API has it", { mode: "auto", tools: [{ type: "function", name: "c" }] }, ["c"], "auto"],
  ])("allowed tools, %s", async (_, choice, names, mode) => {
    const body = { tools: ["a", "b", "c"].map(named), tool_choice: { type: "allowed_tools", ...choice } };
    expect(await options(body)).toEqual({ tools: names.map((name) => ({ name })), toolChoice: mode });
  });

  it("no allowed tool at all is no tool", async () => {
    const tool_choice = { type: "allowed_tools", allowed_tools: { mode: "auto", tools: [] } };
    expect(await options({ tools: [TOOL], tool_choice })).toEqual({});
  });

  it.each([true, false, "{}", 5, [], null])("parameters %j are left out", async (parameters) => {
    const tool = { type: "function", function: { name: "f", parameters } };
    expect(await options({ tools: [tool] })).toEqual({ tools: [{ name: "f" }] });
  });

  it("two thousand tools", async () => {
    const { tools } = await options({ tools: Array.from({ length: 2000 }, (_, i) => named(`f${i}`)) });
    expect(tools?.length).toBe(2000);
  });

  const asks = { role: "user", content: "hi" };
  const begins = { role: "assistant", content: "So" };
  it.each<[string, object[], object, number, true | undefined]>([
    ["the assistant's text is continued", [asks, begins], {}, 2, true],
    ["with prefix: false, as Mistral's client always says", [asks, { ...begins, prefix: false }], {}, 2, true],
    ["with prefix: true", [asks, { ...begins, prefix: true }], {}, 2, true],
    ["with continue_final_message: true", [asks, begins], { continue_final_message: true }, 2, true],
    ["not with continue_final_message: false", [asks, begins], { continue_final_message: false }, 2, undefined],
    ["an empty one is no beginning", [asks, { role: "assistant", content: "" }], {}, 1, undefined],
    ["a user's message is answered", [asks, begins, asks], {}, 3, undefined],
  ])("at the end of a conversation %s", async (_, messages, more, kept, continueAssistant) => {
    const model = fakeModel();
    expect((await ask({ messages, ...more }, model)).status).toBe(200);
    expect(model.asked[0]!.messages!.length).toBe(kept);
    expect(model.asked[0]!.options.continueAssistant).toBe(continueAssistant);
  });

  it("messages of every role, parts joined", async () => {
    const model = fakeModel();
    const call = { id: "abcdef123", type: "function", function: { name: "f", arguments: '{"a":1}' } };
    const messages = [
      { role: "developer", content: "be kind" },
      {
        role: "user",
        content: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
      { role: "assistant", content: null, tool_calls: [call] },
      { role: "tool", tool_call_id: "abcdef123", name: "f", content: "sunny" },
      { role: "assistant", content: null },
      {
        role: "user",
        content: [
          { type: "document", source: { type: "text", media_type: "text/plain", data: "It rained." }, title: "Diary" },
          { type: "text", text: "And then?" },
        ],
      },
      { role: "assistant", content: "So", prefix: true },
    ];
    expect((await ask({ messages }, model)).status).toBe(200);
    expect(model.asked[0]).toMatchObject({
      messages: [
        { role: "system", content: "be kind" },
        { role: "user", content: "ab" },
        { role: "assistant", content: "", toolCalls: [{ id: "abcdef123", name: "f", arguments: '{"a":1}' }] },
        { role: "tool", content: "sunny", toolCallId: "abcdef123", name: "f" },
        { role: "assistant", content: "" },
        { role: "user", content: "Diary\n\nIt rained.\n\nAnd then?" },
        { role: "assistant", content: "So" },
      ],
      options: { continueAssistant: true },
    });
  });

  it("n answers have seeds of their own", async () => {
    const model = fakeModel();
    const { choices } = (await (await ask({ n: 3, seed: 2 ** 53 - 2 }, model)).json()) as {
      choices: { seed: number }[];
    };
    expect(model.asked.map(({ options }) => options.seed)).toEqual([2 ** 53 - 2, 2 ** 53 - 1, 0]);
    expect(choices.map(({ seed }) => seed)).toEqual([2 ** 53 - 2, 2 ** 53 - 1, 0]);
  });
});

describe("what is refused, by name", () => {
  it.each<[object, string | null, RegExp]>([
    [{ messages: undefined }, "messages", /required/],
    [{ messages: [] }, "messages", /at least one/],
    [{ messages: "hi" }, "messages", /array/],
    [{ messages: [123] }, "messages[0]", /object.*123/],
    [{ messages: [{}] }, "messages[0].role", /required/],
    [{ messages: [{ role: 1, content: "x" }] }, "messages[0].role", /"user"/],
    [{ messages: [{ role: "user", content: null }] }, "messages[0].content", /required/],
    [{ messages: [{ role: "system" }] }, "messages[0].content", /required/],
    [
      { messages: [{ role: "user", content: [{ type: "image_url" }] }] },
      "messages[0].content[0].type",
      /text only.*image_url/,
    ],
    [{ messages: [{ role: "tool", content: "x", tool_call_id: "a" }] }, "messages", /"a".*no earlier/],
    [{ messages: [{ role: "tool", content: "x" }] }, "messages[0].tool_call_id", /required/],
    [{ model: 7 }, "model", /a text/],
    [{ model_id: ["m"] }, "model_id", /a text/],
    [{ n: 1e9 }, "n", /1 to 128.*1000000000/],
    [{ n: 0 }, "n", /1 to 128/],
    [{ max_tokens: 1e12 }, "max_tokens", /2147483647/],
    [{ max_tokens: -2 }, "max_tokens", /from 1/],
    [{ max_tokens: 1.5 }, "max_tokens", /integer.*1\.5/],
    [{ max_completion_tokens: 0 }, "max_completion_tokens", /from 1/],
    [{ logprobs: true, top_logprobs: 1e6 }, "top_logprobs", /0 to 20/],
    [{ top_logprobs: 2 }, "top_logprobs", /logprobs/],
    [{ logprobs: 3 }, "logprobs", /true or false/],
    [{ temperature: -1 }, "temperature", /0 to 100.*-1/],
    [{ temperature: "warm" }, "temperature", /"warm"/],
    [{ top_p: 2 }, "top_p", /0 to 1/],
    [{ seed: 2 ** 65 }, "seed", /18446744073709552000/],
    [{ seed: 1.5 }, "seed", /integer/],
    [{ stop: "x".repeat(4097) }, "stop", /at most 4096/],
    [{ stop: Array(65).fill("x") }, "stop", /at most 64.*array of 65/],
    [{ stop: [1] }, "stop[0]", /characters.*1/],
    [{ logit_bias: { a: 1 } }, "logit_bias", /token ids.*"a"/],
    [{ logit_bias: { "1": 1000 } }, "logit_bias.1", /-100 to 100/],
    [{ stream: "yes" }, "stream", /true or false/],
    [{ tools: [{ type: "web_search" }] }, "tools[0].type", /function.*web_search/],
    [{ tools: [{ type: "function", function: { name: 'a"\n' } }] }, "tools[0].name", /letters/],
    [{ tools: [TOOL, TOOL] }, "tools[1].name", /earlier/],
    [{ tool_choice: "required" }, "tool_choice", /needs tools/],
    [{ tools: [TOOL], tool_choice: { type: "function", function: { name: "g" } } }, "tool_choice", /"g"/],
    [
      { tools: [TOOL], tool_choice: { type: "allowed_tools", allowed_tools: { mode: "auto", tools: ["g"] } } },
      "tool_choice.allowed_tools.tools[0]",
      /"g"/,
    ],
    [
      { tools: [TOOL], tool_choice: { type: "allowed_tools", allowed_tools: { mode: "required", tools: [] } } },
      "tool_choice.allowed_tools.tools",
      /at least one/,
    ],
    [
      { tools: [TOOL], tool_choice: { type: "allowed_tools", allowed_tools: { mode: "any", tools: [] } } },
      "tool_choice.allowed_tools.mode",
      /"required"/,
    ],
    [{ tools: [TOOL], tool_choice: { type: "allowed_tools" } }, "tool_choice.mode", /required/],
    [
      { tools: [{ type: "function", function: { name: "f", parameters: true, strict: true } }] },
      "tools[0].function.parameters",
      /strict, found true/,
    ],
    [{ functions: [{ name: "f" }] }, "functions", /use tools/],
    [{ modalities: ["text", "audio"] }, "modalities", /text only/],
    [{ response_format: { type: "xml" } }, "response_format.type", /json_schema.*xml/],
    [{ response_format: { type: "json_schema" } }, "response_format.json_schema", /required/],
    [{ continue_final_message: true }, "messages", /last message/],
  ])("%j", async (body, param, message) => {
    const model = fakeModel();
    const response = await ask(body, model);
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      error: { message: expect.stringMatching(message), type: "invalid_request_error", param, code: null },
    });
    expect(model.asked).toEqual([]);
  });
});

describe("answers", () => {
  it("whole, with log probabilities", async () => {
    const response = await ask({ logprobs: true, top_logprobs: 1, n: 2 });
    const token = (text: string) => ({ token: text, logprob: -0.5, bytes: [text.charCodeAt(0)] });
    const choice = (index: number) => ({
      index,
      message: { role: "assistant", content: "Hi", refusal: null },
      logprobs: { content: ["H", "i"].map((text) => ({ ...token(text), top_logprobs: [token(text)] })), refusal: null },
      finish_reason: "stop",
      seed: 7,
    });
    expect(await response.json()).toEqual({
      id: expect.stringMatching(/^chatcmpl-/),
      object: "chat.completion",
      created: expect.any(Number),
      model: "fake-mixtral",
      system_fingerprint: "hotset-fake-mixtral",
      choices: [choice(0), choice(1)],
      usage: { prompt_tokens: 5, completion_tokens: 4, total_tokens: 9, prompt_tokens_details: { cached_tokens: 1 } },
    });
  });

  it("a stream: the role, text, the reason", async () => {
    expect(await deltas({}, says({ say: "a" }, { say: "" }, { say: "b" }))).toEqual([
      [0, { role: "assistant", content: "" }],
      [0, { content: "a" }],
      [0, { content: "b" }],
      [0, {}, "stop"],
    ]);
  });

  it("each tool call in one delta, after the text before it", async () => {
    const acts: Act[] = [{ say: "Let me see." }, { call: "f", args: ['{"a"', ":1}"] }, { call: "g", args: [] }];
    const call = (index: number, id: string, name: string, text: string) => ({
      tool_calls: [{ index, id, type: "function", function: { name, arguments: text } }],
    });
    expect(await deltas({}, says(...acts))).toEqual([
      [0, { role: "assistant", content: "" }],
      [0, { content: "Let me see." }],
      [0, call(0, "call00000", "f", '{"a":1}')],
      [0, call(1, "call00001", "g", "{}")],
      [0, {}, "tool_calls"],
    ]);
  });

  it.each([[[]], [['{"a"']], [['{"a":1', ""]]])("a call that the limit cut off at %j is left out", async (args) => {
    const script: Script = { ...says({ call: "f", args }, { say: "" }), finish: { reason: "length" } };
    expect(await deltas({}, script)).toEqual([
      [0, { role: "assistant", content: "" }],
      [0, {}, "length"],
    ]);
    const { choices } = (await (await ask({}, fakeModel(script))).json()) as { choices: unknown[] };
    expect(choices).toMatchObject([{ message: { content: "" }, finish_reason: "length" }]);
  });

  it("several streams in one, each whole", async () => {
    const all = (await deltas({ n: 6 }, {})) as [number, object, string?][];
    for (let i = 0; i < 6; i++) {
      const own = all.filter(([index]) => index === i).map(([, ...rest]) => rest);
      expect(own).toEqual([[{ role: "assistant", content: "" }], [{ content: "H" }], [{ content: "i" }], [{}, "stop"]]);
    }
  });
});

describe("failures of the engine", () => {
  it("a prompt that is too long is told in the words that each API's clients look for", async () => {
    const detail = { code: "context_length_exceeded", overflow: { tokens: 5000, context: 4096 } } as const;
    const script = says({ fail: new RequestError("the prompt has 5000 tokens", detail) });
    const { error } = (await (await ask({}, fakeModel(script))).json()) as { error: Record<string, unknown> };
    expect(error).toMatchObject({
      code: "context_length_exceeded",
      message: "This model's maximum context length is 4096 tokens. The prompt has 5000 tokens",
    });
  });

  it.each<[Error, number, object, Record<string, string | null>]>([
    [new RequestError("no", { code: "context_length_exceeded" }), 400, { code: "context_length_exceeded" }, {}],
    [new BusyError("the queue is full"), 503, { type: "server_error", code: "busy" }, { "retry-after": "1" }],
    [new MemoryError("too large"), 507, { code: "out_of_memory" }, { "x-should-retry": "false", "retry-after": null }],
    [new DeviceError("device lost"), 500, { message: "device lost" }, {}],
    [new TypeError("x is not a function"), 500, { message: expect.stringMatching(/^internal error/) }, {}],
  ])("%s", async (error, status, body, headers) => {
    for (const stream of [false, true]) {
      const response = await ask({ stream }, fakeModel(says({ fail: error })));
      expect(response.status).toBe(status);
      expect(await response.json()).toMatchObject({ error: body });
      for (const [name, value] of Object.entries(headers)) expect(response.headers.get(name)).toBe(value);
    }
  });

  it("within a stream: an event that says so, then the end; the other answers are given up", async () => {
    const model = fakeModel(says({ say: "a" }, { fail: new DeviceError("device lost") }));
    const events = eventsOf(await (await ask({ stream: true, n: 2 }, model)).text());
    expect(events.at(-1)?.data).toEqual({
      error: { message: "device lost", type: "server_error", param: null, code: null },
    });
    await expect.poll(() => model.running(), PATIENT).toBe(0);
  });
});
