import { describe, expect, it } from "vitest";
import type { ChatMessage, ChatOptions } from "../../src/engine/chat_api.ts";
import { BusyError, DeviceError, RequestError } from "../../src/errors.ts";
import { createApp } from "../../src/server/app.ts";
import { type Act, eventsOf, type Fake, fakeModel, type Script } from "./fake_model.ts";

async function ask(body: object, model: Fake = fakeModel(), path = "/v1/messages"): Promise<Response> {
  const whole = { model: "any", max_tokens: 5, messages: [{ role: "user", content: "hi" }], ...body };
  const headers = { "content-type": "application/json", "anthropic-version": "2023-06-01" };
  return createApp(model).request(path, { method: "POST", headers, body: JSON.stringify(whole) });
}

async function asked(body: object): Promise<{ messages?: readonly ChatMessage[]; options: ChatOptions }> {
  const model = fakeModel();
  expect((await ask(body, model)).status).toBe(200);
  const { messages, options } = model.asked[0]!;
  const { signal: _, ...rest } = options;
  return { ...(messages && { messages }), options: rest };
}

async function stream(script: Script): Promise<unknown[]> {
  const events = eventsOf(await (await ask({ stream: true }, fakeModel(script))).text());
  for (const { event, data } of events) expect((data as { type: string }).type).toBe(event);
  return events.map(({ data }) => data);
}

const says = (...acts: Act[]): Script => ({ acts: () => acts });
const start = {
  type: "message_start",
  message: {
    id: expect.stringMatching(/^msg_/),
    type: "message",
    role: "assistant",
    model: "any", // the name that was asked for
    content: [],
    stop_reason: null,
    stop_sequence: null,
    usage: { input_tokens: 5, cache_creation_input_tokens: 0, cache_read_input_tokens: 0, output_tokens: 0 },
  },
};
const end = (stop_reason: string, output_tokens: number, stop_sequence: string | null = null) => [
  {
    type: "message_delta",
    delta: { stop_reason, stop_sequence },
    usage: { input_tokens: 4, cache_creation_input_tokens: 0, cache_read_input_tokens: 1, output_tokens },
  },
  { type: "message_stop" },
];
const text = (index: number, ...texts: string[]) => [
  { type: "content_block_start", index, content_block: { type: "text", text: "" } },
  ...texts.map((one) => ({ type: "content_block_delta", index, delta: { type: "text_delta", text: one } })),
  { type: "content_block_stop", index },
];
const tool = (index: number, id: string, name: string, ...parts: string[]) => [
  { type: "content_block_start", index, content_block: { type: "tool_use", id, name, input: {} } },
  ...parts.map((one) => ({
    type: "content_block_delta",
    index,
    delta: { type: "input_json_delta", partial_json: one },
  })),
  { type: "content_block_stop", index },
];

describe("the events of a streamed message", () => {
  it("text", async () => {
    expect(await stream({})).toEqual([start, ...text(0, "H", "i"), ...end("end_turn", 2)]);
  });

  it("text, two tool calls, text", async () => {
    const acts: Act[] = [{ say: "See." }, { call: "f", args: ['{"a"', ":1}"] }, { call: "g", args: [] }, { say: "!" }];
    expect(await stream(says(...acts))).toEqual([
      start,
      ...text(0, "See."),
      ...tool(1, "call00000", "f", '{"a":1}'),
      ...tool(2, "call00001", "g", "{}"),
      ...text(3, "!"),
      ...end("tool_use", 4),
    ]);
  });

  it("nothing at all", async () => {
    expect(await stream(says())).toEqual([start, ...end("end_turn", 0)]);
  });

  it("a stop sequence, and the limit", async () => {
    expect(await stream({ ...says({ say: "a" }), finish: { stopSequence: "x" } })).toEqual([
      start,
      ...text(0, "a"),
      ...end("stop_sequence", 1, "x"),
    ]);
    expect(await stream({ ...says({ call: "f", args: ['{"a'] }), finish: { reason: "length" } })).toEqual([
      start,
      ...end("max_tokens", 1),
    ]);
  });

  it("a failure: an error event, then the end", async () => {
    const error = { type: "error", error: { type: "api_error", message: "device lost" } };
    expect(await stream(says({ say: "a" }, { fail: new DeviceError("device lost") }))).toEqual([
      start,
      ...text(0, "a").slice(0, 2),
      error,
    ]);
  });
});

describe("whole messages", () => {
  it("texts and tool calls as blocks", async () => {
    const response = await ask({}, fakeModel(says({ say: "See." }, { call: "f", args: ['{"a":1}'] })));
    expect(await response.json()).toEqual({
      ...start.message,
      content: [
        { type: "text", text: "See." },
        { type: "tool_use", id: "call00000", name: "f", input: { a: 1 } },
      ],
      stop_reason: "tool_use",
      usage: end("", 2)[0]?.usage,
    });
  });

  it("a call that the limit cut off is left out", async () => {
    const script: Script = { ...says({ say: "a" }, { call: "f", args: ['{"a'] }), finish: { reason: "length" } };
    expect(await (await ask({}, fakeModel(script))).json()).toMatchObject({
      content: [{ type: "text", text: "a" }],
      stop_reason: "max_tokens",
    });
  });
});

describe("what a request asks the engine for", () => {
  it("system, results of tools between texts, a beginning of the answer", async () => {
    const messages = [
      { role: "user", content: "hi" },
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "hm", signature: "s" },
          { type: "text", text: "Using." },
          { type: "tool_use", id: "toolu_1", name: "f", input: { city: "Paris" } },
          { type: "tool_use", id: "toolu_2", name: "f", input: {} },
        ],
      },
      {
        role: "user",
        content: [
          { type: "tool_result", tool_use_id: "toolu_1", content: [{ type: "text", text: "sunny" }] },
          { type: "tool_result", tool_use_id: "toolu_2", content: "no such city", is_error: true },
          { type: "text", text: "And?", cache_control: { type: "ephemeral" } },
        ],
      },
      { role: "assistant", content: "It is" },
    ];
    const system = [
      { type: "text", text: "Be " },
      { type: "text", text: "kind." },
    ];
    const toolCalls = [
      { id: "toolu_1", name: "f", arguments: '{"city":"Paris"}' },
      { id: "toolu_2", name: "f", arguments: "{}" },
    ];
    expect(await asked({ messages, system })).toEqual({
      messages: [
        { role: "system", content: "Be kind." },
        { role: "user", content: "hi" },
        { role: "assistant", content: "Using.", reasoning: "hm", toolCalls },
        { role: "tool", toolCallId: "toolu_1", content: "sunny" },
        { role: "tool", toolCallId: "toolu_2", content: "Error: no such city" },
        { role: "user", content: "And?" },
        { role: "assistant", content: "It is" },
      ],
      options: { maxTokens: 5, continueAssistant: true },
    });
  });

  it("an empty beginning of the answer is none", async () => {
    const messages = [
      { role: "user", content: "hi" },
      { role: "assistant", content: [] },
    ];
    expect(await asked({ messages })).toEqual({
      messages: [{ role: "user", content: "hi" }],
      options: { maxTokens: 5 },
    });
  });

  it.each([
    ["bash_20250124", "bash", ["command", "restart"], undefined],
    ["text_editor_20250728", "str_replace_based_edit_tool", ["insert_text", "view_range"], ["command", "path"]],
    ["text_editor_20250124", "str_replace_editor", ["new_str", "insert_line"], ["command", "path"]],
    ["memory_20250818", "memory", ["old_path", "file_text"], ["command"]],
  ])("%s, a tool that the client runs, is told to the model", async (type, name, members, needed) => {
    const { options } = await asked({ tools: [{ type, name, max_characters: 10 }] });
    const [tool] = options.tools!;
    expect(tool).toMatchObject({ name, description: expect.any(String), parameters: { type: "object" } });
    const { properties, required } = tool!.parameters as { properties: object; required?: string[] };
    expect(Object.keys(properties)).toEqual(expect.arrayContaining(members));
    expect(required).toEqual(needed);
  });

  it.each([undefined, true, "x", []])("input_schema %j is left out", async (input_schema) => {
    expect((await asked({ tools: [{ name: "f", input_schema }] })).options.tools).toEqual([{ name: "f" }]);
  });

  it.each<[object, ChatOptions]>([
    [
      { stop_sequences: ["x"], temperature: 0, top_p: 0.5, top_k: 3 },
      { stop: ["x"], temperature: 0, topP: 0.5, topK: 3 },
    ],
    [{ max_tokens: -1 }, {}],
    [
      { max_tokens: -1, top_k: -1, stop_sequences: ["", "x"] },
      { topK: 0, stop: ["x"] },
    ],
    [{ model: undefined }, { maxTokens: 5 }],
    [{ metadata: { user_id: "u" }, betas: ["x"] }, {}],
    [{ thinking: { type: "enabled", budget_tokens: 1024 } }, { reasoning: { enabled: true, budget: 1024 } }],
    [{ thinking: { type: "disabled" } }, { reasoning: { enabled: false } }],
    [
      { thinking: { type: "adaptive" }, output_config: { effort: "high" } },
      { reasoning: { enabled: true, effort: "high" } },
    ],
    [
      { output_config: { format: { type: "json_schema", schema: { type: "object" } } } },
      { responseFormat: { type: "json_schema", schema: { type: "object" }, strict: true } },
    ],
  ])("%j", async (body, options) => {
    expect((await asked(body)).options).toEqual({ ...(!("max_tokens" in body) && { maxTokens: 5 }), ...options });
  });

  it.each<[string, object[], string]>([
    [
      "documents",
      [
        { type: "document", source: { type: "text", media_type: "text/plain", data: "It rained." } },
        { type: "document", source: { type: "content", content: "Snow." }, title: "Diary", context: "Of May" },
        { type: "document", source: { type: "content", content: [{ type: "text", text: "Hail." }] }, title: "Log" },
        { type: "text", text: "Why?" },
      ],
      "It rained.\n\nDiary\nOf May\n\nSnow.\n\nLog\n\nHail.\n\nWhy?",
    ],
    [
      "search results",
      [
        {
          type: "search_result",
          source: "https://a.example",
          title: "A",
          content: [
            { type: "text", text: "One." },
            { type: "text", text: " Two." },
          ],
          citations: { enabled: true },
        },
      ],
      "A\nhttps://a.example\n\nOne. Two.\n\n",
    ],
  ])("%s are read as texts, and so are those of a tool", async (_, content, text) => {
    expect((await asked({ messages: [{ role: "user", content }] })).messages).toEqual([
      { role: "user", content: text },
    ]);
    const result = { type: "tool_result", tool_use_id: "t", content };
    const call = { role: "assistant", content: [{ type: "tool_use", id: "t", name: "f", input: {} }] };
    const messages = [{ role: "user", content: "x" }, call, { role: "user", content: [result] }];
    expect((await asked({ messages })).messages?.at(-1)).toMatchObject({ role: "tool", content: text });
  });

  it("an assistant's content of null is an empty text", async () => {
    const messages = [
      { role: "user", content: "a" },
      { role: "assistant", content: null },
      { role: "user", content: "b" },
    ];
    expect((await asked({ messages })).messages?.[1]).toEqual({ role: "assistant", content: "" });
  });

  it.each<[object, object]>([
    [{ type: "auto" }, { toolChoice: "auto" }],
    [{ type: "none" }, { toolChoice: "none" }],
    [
      { type: "any", disable_parallel_tool_use: true },
      { toolChoice: "required", parallelToolCalls: false },
    ],
    [{ type: "tool", name: "f" }, { toolChoice: { name: "f" } }],
  ])("tool_choice %j", async (tool_choice, options) => {
    const tools = [{ name: "f", description: "d", input_schema: { type: "object" }, eager_input_streaming: true }];
    expect((await asked({ tools, tool_choice })).options).toEqual({
      maxTokens: 5,
      tools: [{ name: "f", description: "d", parameters: { type: "object" } }],
      ...options,
    });
  });
});

describe("what is refused, in Anthropic's shape", () => {
  it.each<[object, RegExp]>([
    [{ model: 1 }, /^model: expected a text/],
    [{ max_tokens: -2 }, /^max_tokens/],
    [{ max_tokens: undefined }, /^max_tokens: is required/],
    [{ max_tokens: 1e12 }, /^max_tokens/],
    [{ messages: undefined }, /^messages: is required/],
    [{ messages: [] }, /^messages/],
    [{ messages: [{ role: "user" }] }, /^messages\[0\]\.content: is required/],
    [{ messages: [{ role: "bot", content: "x" }] }, /^messages\[0\]\.role/],
    [{ messages: [{ role: "user", content: [{ type: "image" }] }] }, /text only.*image/],
    [
      { messages: [{ role: "user", content: [{ type: "document", source: { type: "base64", data: "" } }] }] },
      /source\.type: expected one of "text", "content", found "base64"/,
    ],
    [
      { messages: [{ role: "user", content: [{ type: "search_result", content: [{ type: "image" }] }] }] },
      /content\[0\]\.type: .*text only/,
    ],
    [{ messages: [{ role: "assistant", content: [{ type: "tool_use", name: "f", input: {} }] }] }, /id: is required/],
    [{ messages: [{ role: "user", content: [{ type: "tool_result", tool_use_id: "t" }] }] }, /"t".*no earlier/],
    [{ tools: [{ type: "web_search_20250305", name: "web_search" }] }, /^tools\[0\]\.type: .*servers.*web_search/],
    [{ tools: [{ type: "code_execution_20250825", name: "code_execution" }] }, /^tools\[0\]\.type: .*servers/],
    [{ tools: [{ type: "mcp_toolset", mcp_server_name: "x" }] }, /^tools\[0\]\.type: .*servers/],
    [{ tools: [{ type: "computer_20250124", name: "computer" }] }, /^tools\[0\]\.type: .*images/],
    [{ tools: [{ type: "gardening_20300101", name: "garden" }] }, /^tools\[0\]\.type: .*not known; describe it/],
    [{ tool_choice: { type: "any" } }, /^tool_choice: needs tools/],
    [{ stop_sequences: "x".repeat(5000) }, /^stop_sequences/],
  ])("%j", async (body, message) => {
    const response = await ask(body);
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({
      type: "error",
      error: { type: "invalid_request_error", message: expect.stringMatching(message) },
    });
  });

  it.each([
    [5000, "prompt is too long: 5000 tokens > 4096 maximum (no room)"],
    [4096, "prompt is too long: 4096 tokens > 4095 maximum (no room)"],
  ])("a prompt of %i tokens that is too long, in the words that clients look for", async (tokens, message) => {
    const overflow = { tokens, context: 4096 };
    const fail = new RequestError("no room", { code: "context_length_exceeded", overflow });
    expect(await (await ask({}, fakeModel(says({ fail })))).json()).toMatchObject({ error: { message } });
  });

  it("busy: overloaded, with a time to come back", async () => {
    const response = await ask({}, fakeModel(says({ fail: new BusyError("the queue is full") })));
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
    expect(await response.json()).toMatchObject({ error: { type: "overloaded_error" } });
  });
});

describe("beside messages", () => {
  it("?beta=true", async () => {
    expect((await ask({}, fakeModel(), "/v1/messages?beta=true")).status).toBe(200);
  });

  it("count_tokens needs no max_tokens and computes nothing", async () => {
    const model = fakeModel();
    const response = await ask({ max_tokens: undefined, system: "s" }, model, "/v1/messages/count_tokens");
    expect([response.status, await response.json(), model.asked]).toEqual([200, { input_tokens: 6 }, []]);
  });

  it("models, in the shape of the client's API", async () => {
    const app = createApp(fakeModel());
    const get = async (path: string, headers = {}) => (await app.request(path, { headers })).json();
    const anthropic = { "anthropic-version": "2023-06-01" };
    const one = {
      type: "model",
      id: "fake-mixtral",
      display_name: "fake-mixtral",
      created_at: "2023-11-14T22:13:20.000Z",
      max_input_tokens: 4096,
      max_tokens: 4096,
      // Anthropic's client for Python rejects a card without a lifecycle where it is strict.
      lifecycle: "active",
      deprecated_at: null,
      retires_at: null,
      line: null,
      capabilities: null,
    };
    const list = { data: [one], first_id: "fake-mixtral", last_id: "fake-mixtral", has_more: false };
    expect(await get("/v1/models", anthropic)).toEqual(list);
    expect(await get("/v1/models/fake-mixtral", anthropic)).toEqual(one);
    // Requests may use any name, so any name is there.
    expect(await get("/v1/models/claude-x", anthropic)).toEqual({ ...one, id: "claude-x" });
    expect(await get("/v1/models/mistralai/Mixtral-8x7B:free")).toMatchObject({
      id: "mistralai/Mixtral-8x7B:free",
      root: "fake-mixtral",
    });
    expect(await get("/v1/models/..", anthropic)).toMatchObject({ type: "error", error: { type: "not_found_error" } });
    expect(await get("/v1/models/fake-mixtral")).toMatchObject({
      id: "fake-mixtral",
      object: "model",
      created: 1_700_000_000,
    });
  });
});
