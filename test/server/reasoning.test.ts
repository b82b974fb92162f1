// Reasoning in the shapes of the APIs: reasoning_content in OpenAI's, thinking blocks in
// Anthropic's, whole and streamed; and back into the conversation.

import { describe, expect, it } from "vitest";
import { createApp } from "../../src/server/app.ts";
import { eventsOf, fakeModel } from "./fake_model.ts";

const acts = () => [{ think: "Let me" }, { think: " see." }, { say: "It is" }, { say: " 4." }];
const messages = [{ role: "user", content: "2+2?" }];
const PATHS = { chat: "/v1/chat/completions", messages: "/v1/messages" };

async function ask(path: keyof typeof PATHS, body: object, model = fakeModel({ acts })): Promise<Response> {
  return createApp(model).request(PATHS[path], {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ messages, max_tokens: 50, ...body }),
  });
}

describe("reasoning", () => {
  it("OpenAI, whole: reasoning_content beside the content", async () => {
    const { choices } = (await (await ask("chat", {})).json()) as { choices: { message: object }[] };
    expect(choices[0]!.message).toEqual({
      role: "assistant",
      content: "It is 4.",
      refusal: null,
      reasoning_content: "Let me see.",
    });
  });

  it("OpenAI, streamed: deltas of reasoning_content, then of content", async () => {
    const events = eventsOf(await (await ask("chat", { stream: true })).text());
    const deltas = events.slice(0, -1).map(({ data }) => (data as { choices: { delta: object }[] }).choices[0]!.delta);
    expect(deltas).toEqual([
      { role: "assistant", content: "" },
      { reasoning_content: "Let me" },
      { reasoning_content: " see." },
      { content: "It is" },
      { content: " 4." },
      {},
    ]);
  });

  it("OpenAI: usage tells the tokens of reasoning, where there are some", async () => {
    const usage = async (body: object, model = fakeModel({ acts })): Promise<object> =>
      ((await (await ask("chat", body, model)).json()) as { usage: object }).usage;
    expect(await usage({ n: 2 })).toMatchObject({
      completion_tokens: 8,
      completion_tokens_details: { reasoning_tokens: 4 },
    });
    expect(await usage({}, fakeModel())).not.toHaveProperty("completion_tokens_details");
    const streamed = eventsOf(
      await (await ask("chat", { stream: true, stream_options: { include_usage: true } })).text(),
    );
    expect(streamed.at(-2)!.data).toMatchObject({ usage: { completion_tokens_details: { reasoning_tokens: 2 } } });
  });

  it.each([{ include_reasoning: false }, { reasoning: { exclude: true } }])("OpenAI: left out by %j", async (body) => {
    expect(await (await ask("chat", body)).text()).not.toContain("Let me");
    expect(await (await ask("chat", { ...body, stream: true })).text()).not.toContain("Let me");
  });

  it("Anthropic, whole: a thinking block with a signature, then the text", async () => {
    const { content } = (await (await ask("messages", {})).json()) as { content: object[] };
    expect(content).toEqual([
      { type: "thinking", thinking: "Let me see.", signature: "unsigned" },
      { type: "text", text: "It is 4." },
    ]);
  });

  it("Anthropic, streamed: a block of thinking deltas and its signature, then the text's block", async () => {
    const events = eventsOf(await (await ask("messages", { stream: true })).text()).map(({ data }) => data);
    const delta = (index: number, delta: object) => ({ type: "content_block_delta", index, delta });
    expect(events.slice(1, -2)).toEqual([
      { type: "content_block_start", index: 0, content_block: { type: "thinking", thinking: "", signature: "" } },
      delta(0, { type: "thinking_delta", thinking: "Let me" }),
      delta(0, { type: "thinking_delta", thinking: " see." }),
      delta(0, { type: "signature_delta", signature: "unsigned" }),
      { type: "content_block_stop", index: 0 },
      { type: "content_block_start", index: 1, content_block: { type: "text", text: "" } },
      delta(1, { type: "text_delta", text: "It is" }),
      delta(1, { type: "text_delta", text: " 4." }),
      { type: "content_block_stop", index: 1 },
    ]);
  });

  it("OpenAI: a message's reasoning_content is given back to the engine", async () => {
    const model = fakeModel({ acts });
    const before = [...messages, { role: "assistant", content: "4", reasoning_content: "Easy." }, ...messages];
    await (await ask("chat", { messages: before }, model)).text();
    expect(model.asked[0]!.messages![1]).toEqual({ role: "assistant", content: "4", reasoning: "Easy." });
  });

  it.each<[object, object | undefined]>([
    [{}, undefined],
    [{ reasoning_effort: "low" }, { effort: "low" }],
    [{ reasoning_effort: "none" }, { effort: "none" }],
    [{ enable_thinking: false }, { enabled: false }],
    [{ think: "high" }, { enabled: true, effort: "high" }],
    [{ thinking: true }, { enabled: true }],
    [{ reasoning: { effort: "high", max_tokens: 9 } }, { effort: "high", budget: 9 }],
    [{ thinking_budget: -1 }, undefined],
    [{ reasoning_budget: 0 }, { budget: 0 }],
  ])("OpenAI: %j asks for %j", async (body, wanted) => {
    const model = fakeModel({ acts });
    expect((await ask("chat", body, model)).status).toBe(200);
    expect(model.asked[0]!.options.reasoning).toEqual(wanted);
  });

  it.each([
    [{ reasoning_effort: 3 }, "reasoning_effort"],
    [{ thinking_budget: 1.5 }, "thinking_budget"],
    [{ thinking: { type: "maybe" } }, "thinking.type"],
    [{ enable_thinking: "no" }, "enable_thinking"],
  ])("wrong values are refused by name: %j", async (body, param) => {
    const response = await ask("chat", body);
    expect([response.status, ((await response.json()) as { error: { param: string } }).error.param]).toEqual([
      400,
      param,
    ]);
  });
});
