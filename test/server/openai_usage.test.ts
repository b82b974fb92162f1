import { describe, expect, it } from "vitest";
import { createApp } from "../../src/server/app.ts";
import { eventsOf, fakeModel } from "./fake_model.ts";

async function ask(body: object, headers: Record<string, string>): Promise<Response> {
  return createApp(fakeModel()).request("/v1/chat/completions", {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify({ messages: [{ role: "user", content: "hi" }], n: 2, stream: true, ...body }),
  });
}

describe("usage in a stream", () => {
  const usage = {
    prompt_tokens: 5,
    completion_tokens: 4,
    total_tokens: 9,
    prompt_tokens_details: { cached_tokens: 1 },
  };
  const OWN = { choices: [], usage };
  const LAST = { choices: [{ finish_reason: "stop" }], usage };
  const MISTRAL = { "user-agent": "mistral-client-typescript/2.7.0" };

  it.each<[string, object, Record<string, string>, object | null]>([
    ["unasked: none", {}, {}, null],
    ["as OpenAI's clients ask", { stream_options: { include_usage: true } }, {}, OWN],
    ["as OpenRouter's ask", { usage: { include: true } }, {}, OWN],
    ["not wanted", { usage: { include: false } }, {}, null],
    ["unasked, for Mistral's client", {}, MISTRAL, LAST],
    ["unasked, for the AI SDK's", {}, { "user-agent": "ai-sdk/mistral/4.0.87 runtime/node.js/20" }, LAST],
    ["unasked, for OpenRouter's", {}, { "user-agent": "speakeasy-sdk/typescript 1.3.19 @openrouter/sdk" }, LAST],
    ["asked for by Mistral's", { stream_options: { include_usage: true } }, MISTRAL, OWN],
  ])("%s", async (_, body, headers, expected) => {
    const response = await ask(body, headers);
    const chunks = eventsOf(await response.text()).map(({ data }) => data);
    expect(chunks.pop()).toBe("[DONE]");
    const told = chunks.filter((chunk) => "usage" in (chunk as object));
    expect(told).toMatchObject(expected ? [expected] : []);
    if (expected) expect(chunks.at(-1)).toBe(told[0]);
  });
});
