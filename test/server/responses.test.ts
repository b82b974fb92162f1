import { describe, expect, it } from "vitest";
import type { ChatMessage } from "../../src/engine/chat_api.ts";
import { DeviceError, RequestError } from "../../src/errors.ts";
import { createApp } from "../../src/server/app.ts";
import { type Act, eventsOf, type Fake, fakeModel, type Script } from "./fake_model.ts";

async function ask(body: object, model: Fake = fakeModel(), path = "/v1/responses"): Promise<Response> {
  return createApp(model).request(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "any", input: "hi", ...body }),
  });
}

interface Item {
  readonly type: string;
  readonly [field: string]: unknown;
}

async function whole(body: object, script?: Script) {
  const response = await ask(body, fakeModel(script));
  return (await response.json()) as { output: Item[]; status: string; [field: string]: unknown };
}

/** The events of a streamed answer: their names are their types, their numbers count up. */
async function stream(body: object, script?: Script): Promise<Item[]> {
  const response = await ask({ ...body, stream: true }, fakeModel(script));
  expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
  const events = eventsOf(await response.text());
  return events.map(({ event, data }, i) => {
    expect([(data as Item).type, (data as Item).sequence_number]).toEqual([event, i]);
    return data as Item;
  });
}

/** The conversation that the engine is asked to answer. */
async function conversation(input: unknown, more: object = {}): Promise<readonly ChatMessage[]> {
  const model = fakeModel();
  const response = await ask({ input, ...more }, model);
  expect(await response.json()).not.toHaveProperty("error.message");
  return model.asked[0]!.messages!;
}

const says = (...acts: Act[]): Script => ({ acts: () => acts });
const user = (text: string) => ({ type: "message", role: "user", content: [{ type: "input_text", text }] });
const TOOL = { type: "function", name: "f", description: "d", parameters: { type: "object" }, strict: true };

describe("the input", () => {
  it("is a text or items; instructions come first", async () => {
    expect(await conversation("hi")).toEqual([{ role: "user", content: "hi" }]);
    expect(await conversation([user("a"), { role: "user", content: "b" }], { instructions: "Be kind." })).toEqual([
      { role: "system", content: "Be kind." },
      { role: "user", content: "a" },
      { role: "user", content: "b" },
    ]);
    expect(await conversation([{ role: "developer", content: "D" }, user("a")])).toEqual([
      { role: "system", content: "D" },
      { role: "user", content: "a" },
    ]);
  });

  it("joins the items of an answer to one message", async () => {
    const input = [
      user("a"),
      { type: "reasoning", id: "rs_1", summary: [], content: [{ type: "reasoning_text", text: "Hm." }] },
      {
        type: "message",
        role: "assistant",
        id: "msg_1",
        content: [{ type: "output_text", text: "I look.", annotations: [] }],
      },
      { type: "function_call", id: "fc_1", call_id: "c1", name: "f", arguments: '{"x":1}' },
      { type: "function_call", call_id: "c2", name: "g", arguments: "" },
      { type: "function_call_output", call_id: "c1", output: "one" },
      { type: "function_call_output", call_id: "c2", output: [{ type: "input_text", text: "two" }] },
      { type: "web_search_call", id: "ws_1", status: "completed" },
      { type: "reasoning", id: "rs_2", summary: [{ type: "summary_text", text: "So." }] },
      { type: "message", role: "assistant", content: "Done." },
      user("b"),
    ];
    expect(await conversation(input)).toEqual([
      { role: "user", content: "a" },
      {
        role: "assistant",
        content: "I look.",
        reasoning: "Hm.",
        toolCalls: [
          { id: "c1", name: "f", arguments: '{"x":1}' },
          { id: "c2", name: "g", arguments: "{}" },
        ],
      },
      { role: "tool", content: "one", toolCallId: "c1" },
      { role: "tool", content: "two", toolCallId: "c2" },
      { role: "assistant", content: "Done.", reasoning: "So." },
      { role: "user", content: "b" },
    ]);
  });

  it("takes calls of tools with free input, and reasoning that came back sealed", async () => {
    const { output } = await whole(
      { include: ["reasoning.encrypted_content"] },
      says({ think: "Deep." }, { say: "A" }),
    );
    const sealed = { ...output[0], content: undefined, summary: [] };
    const input = [
      user("a"),
      sealed,
      { type: "custom_tool_call", call_id: "c", name: "patch", input: "*** Begin" },
      { type: "custom_tool_call_output", call_id: "c", output: "ok" },
    ];
    expect(await conversation(input)).toEqual([
      { role: "user", content: "a" },
      {
        role: "assistant",
        content: "",
        reasoning: "Deep.",
        toolCalls: [{ id: "c", name: "patch", arguments: '{"input":"*** Begin"}' }],
      },
      { role: "tool", content: "ok", toolCallId: "c" },
    ]);
  });

  it("a hundred thousand items take no more than linear time", async () => {
    const call = (i: number) => ({ type: "function_call", call_id: `c${i}`, name: "f", arguments: "{}" });
    const input = [user("a"), ...Array.from({ length: 60_000 }, (_, i) => call(i)), user("b")];
    const began = process.cpuUsage(); // a busy machine takes any time
    const messages = await conversation(input);
    expect(messages).toHaveLength(3);
    // Copying the list at each item would take 1.8e9 steps, many seconds.
    const { user: own, system } = process.cpuUsage(began);
    expect(own + system).toBeLessThan(10e6);
  });

  it.each<[object, string, RegExp]>([
    [{ input: [] }, "input", /expected a text or at least one message/],
    [{ input: "" }, "input", /expected a text or at least one message/],
    [{ input: [{ type: "item_reference", id: "x" }] }, "input[0].type", /nothing is kept here/],
    [
      { input: [{ role: "user", content: [{ type: "input_image", image_url: "x" }] }] },
      "input[0].content[0].type",
      /reads text only/,
    ],
    [{ input: [{ type: "function_call", name: "f" }] }, "input[0].call_id", /is required/],
    [
      { input: [user("a"), { type: "function_call_output", call_id: "x", output: "" }] },
      "messages",
      /no earlier assistant message/,
    ],
    [{ previous_response_id: "resp_1" }, "previous_response_id", /nothing is kept/],
    [{ background: true }, "background", /answers are given at once/],
    [{ prompt: { id: "p" } }, "prompt", /no stored prompts/],
    [{ messages: [], max_tokens: 5 }, "max_tokens", /use max_output_tokens/],
    [
      { tools: [TOOL], tool_choice: { type: "function", name: "g" } },
      "tool_choice",
      /expected the name of one of the tools/,
    ],
  ])("%j is refused", async (body, param, message) => {
    const response = await ask(body);
    const { error } = (await response.json()) as { error: { param: string; message: string } };
    expect(response.status).toBe(400);
    expect(error.param).toBe(param);
    expect(error.message).toMatch(message);
  });
});

describe("options", () => {
  it("functions are tools; other kinds are passed over", async () => {
    const model = fakeModel();
    const tools = [
      TOOL,
      { type: "web_search" },
      { type: "namespace", name: "n", tools: [] },
      { type: "custom", name: "p" },
    ];
    await ask(
      {
        tools,
        tool_choice: {
          type: "allowed_tools",
          mode: "required",
          tools: [{ type: "web_search" }, { type: "function", name: "f" }],
        },
      },
      model,
    );
    expect(model.asked[0]!.options).toMatchObject({
      tools: [{ name: "f", description: "d", parameters: { type: "object" }, strict: true }],
      toolChoice: "required",
    });
    await ask({ tools: [{ type: "web_search" }] }, model);
    expect(model.asked[1]!.options).not.toHaveProperty("tools");
  });

  it("has what OpenRouter's client requires of a response, or it knows no event of it", async () => {
    const penalties = { frequency_penalty: 0.5, presence_penalty: -1 };
    expect(await whole(penalties)).toMatchObject(penalties);
    expect(await whole({})).toMatchObject({
      frequency_penalty: null,
      presence_penalty: null,
      temperature: null,
      top_p: null,
      tools: [],
      tool_choice: "auto",
      instructions: null,
      metadata: {},
    });
  });

  it.each<[object, object]>([
    [
      { max_output_tokens: 7, temperature: 0.5, top_p: 0.9 },
      { maxTokens: 7, temperature: 0.5, topP: 0.9 },
    ],
    [{ reasoning: { effort: "high", summary: "auto" } }, { reasoning: { effort: "high" } }],
    [
      { text: { format: { type: "json_schema", name: "n", schema: { type: "object" }, strict: true } } },
      { responseFormat: { type: "json_schema", strict: true } },
    ],
    [{ text: { format: { type: "text" }, verbosity: "low" } }, { responseFormat: { type: "text" } }],
    [{ parallel_tool_calls: false }, { parallelToolCalls: false }],
    [{ top_logprobs: 2 }, { logprobs: 2 }],
  ])("%j", async (body, options) => {
    const model = fakeModel();
    await ask({ store: false, prompt_cache_key: "k", client_metadata: { a: "b" }, truncation: "auto", ...body }, model);
    expect(model.asked[0]!.options).toMatchObject(options);
  });
});

describe("input_tokens", () => {
  it("counts the prompt that the request would have, and computes nothing", async () => {
    const model = fakeModel();
    const path = "/v1/responses/input_tokens";
    const response = await ask({ instructions: "s", tools: [TOOL] }, model, path);
    const count = { object: "response.input_tokens", input_tokens: 6 };
    expect([response.status, await response.json(), model.asked]).toEqual([200, count, []]);
    const refused = await ask({ previous_response_id: "resp_1" }, model, path);
    expect(await refused.json()).toMatchObject({ error: { param: "previous_response_id" } });
  });
});

describe("a whole answer", () => {
  it("is a response with items and usage", async () => {
    const body = { instructions: "I", metadata: { a: "b" }, tools: [TOOL] };
    const answer = await whole(
      body,
      says({ think: "Hm" }, { think: "." }, { say: "H" }, { say: "i" }, { call: "f", args: ['{"x"', ":1}"] }),
    );
    expect(answer).toMatchObject({
      object: "response",
      status: "completed",
      error: null,
      incomplete_details: null,
      model: "fake-mixtral",
      instructions: "I",
      metadata: { a: "b" },
      store: false,
      tools: [TOOL],
      output: [
        { type: "reasoning", summary: [], content: [{ type: "reasoning_text", text: "Hm." }], status: "completed" },
        {
          type: "message",
          role: "assistant",
          status: "completed",
          content: [{ type: "output_text", text: "Hi", annotations: [], logprobs: [] }],
        },
        { type: "function_call", name: "f", arguments: '{"x":1}', status: "completed", call_id: expect.any(String) },
      ],
    });
    // OpenAI's client for Python, where it is strict, rejects a usage without one of these.
    expect(answer.usage).toEqual({
      input_tokens: 5,
      input_tokens_details: { cache_write_tokens: 0, cached_tokens: 1 },
      output_tokens: 6,
      output_tokens_details: { reasoning_tokens: 2 },
      total_tokens: 11,
    });
    expect(answer.output.map(({ id }) => /^(rs|msg|fc)_/.test(id as string))).toEqual([true, true, true]);
  });

  it("that was cut is incomplete", async () => {
    const answer = await whole({}, { ...says({ say: "H" }), finish: { reason: "length" } });
    expect(answer).toMatchObject({
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
      output: [{ status: "incomplete", content: [{ text: "H" }] }],
    });
  });

  it("without text has an empty message", async () => {
    expect((await whole({}, says())).output).toMatchObject([{ type: "message", content: [{ text: "" }] }]);
  });

  it("reasoning is a summary where one is wanted, and hidden where none is", async () => {
    const script = says({ think: "Hm." }, { say: "A" });
    const summary = await whole({ reasoning: { summary: "auto" } }, script);
    expect(summary.output[0]).toMatchObject({ summary: [{ type: "summary_text", text: "Hm." }] });
    expect(summary.output[0]).not.toHaveProperty("content");
    expect((await whole({ include_reasoning: false }, script)).output.map(({ type }) => type)).toEqual(["message"]);
  });

  it("has log probabilities where they are included", async () => {
    const { output } = await whole({ include: ["message.output_text.logprobs"], top_logprobs: 1 }, says({ say: "H" }));
    expect(output[0]).toMatchObject({
      content: [{ logprobs: [{ token: "H", logprob: -0.5, top_logprobs: [{ token: "H" }] }] }],
    });
  });
});

describe("a stream", () => {
  it("has every event in order, and what it builds is the whole answer", async () => {
    const script = says({ think: "Hm." }, { say: "H" }, { say: "i" }, { call: "f", args: ["{}"] });
    const events = await stream({ tools: [TOOL] }, script);
    expect(events.map(({ type }) => type.replace("response.", ""))).toEqual([
      "created",
      "in_progress",
      "output_item.added",
      "reasoning_text.delta",
      "reasoning_text.done",
      "output_item.done",
      "output_item.added",
      "content_part.added",
      "output_text.delta",
      "output_text.delta",
      "output_text.done",
      "content_part.done",
      "output_item.done",
      "output_item.added",
      "function_call_arguments.delta",
      "function_call_arguments.done",
      "output_item.done",
      "completed",
    ]);
    const done = events.filter(({ type }) => type === "response.output_item.done");
    const { output } = events.at(-1)!.response as { output: Item[] };
    expect(done.map(({ item }) => item)).toEqual(output);
    expect(done.map(({ output_index: index }) => index)).toEqual([0, 1, 2]);
    for (const event of events.filter(({ item_id: id }) => id !== undefined))
      expect(output[event.output_index as number]).toMatchObject({ id: event.item_id });
    const text = events.filter(({ type }) => type === "response.output_text.delta").map(({ delta }) => delta);
    expect(text.join("")).toBe("Hi");
  });

  it("summaries have their own events", async () => {
    const events = await stream({ reasoning: { summary: "auto" } }, says({ think: "Hm." }, { say: "A" }));
    const own = events.filter(({ type }) => type.includes("summary"));
    expect(
      own.map(({ type, summary_index: index }) => [type.replace("response.reasoning_summary_", ""), index]),
    ).toEqual([
      ["part.added", 0],
      ["text.delta", 0],
      ["text.done", 0],
      ["part.done", 0],
    ]);
  });

  it("a cut one ends with response.incomplete", async () => {
    const events = await stream({}, { ...says({ say: "H" }), finish: { reason: "length" } });
    expect(events.at(-1)).toMatchObject({ type: "response.incomplete", response: { status: "incomplete" } });
  });

  it("a failure ends it with response.failed; one before it has its own status", async () => {
    const broken = await stream({}, says({ say: "H" }, { fail: new DeviceError("the device was lost") }));
    expect(broken.at(-1)).toMatchObject({
      type: "response.failed",
      response: { status: "failed", error: { code: "server_error", message: "the device was lost" } },
    });
    const long = new RequestError("the prompt is too long", {
      code: "context_length_exceeded",
      overflow: { tokens: 9, context: 8 },
    });
    const refused = await ask({ stream: true }, fakeModel(says({ fail: long })));
    expect(refused.status).toBe(400);
    expect(await refused.json()).toMatchObject({
      error: { code: "context_length_exceeded", message: /maximum context length is 8/ },
    });
  });
});
