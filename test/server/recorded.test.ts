import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { createApp } from "../../src/server/app.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { eventsOf, fakeModel } from "./fake_model.ts";

interface Recorded {
  readonly n: number;
  readonly method: string;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: {
    model?: string;
    stream?: boolean;
    stream_options?: { include_usage?: boolean };
    tools?: unknown[];
    messages?: { role: string; content: unknown }[];
  } | null;
}

const { path, skip } = inShared("fixtures/clients/sdk_requests.jsonl");
const recorded =
  skip === null
    ? readFileSync(path, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Recorded)
    : [];

function answersTool({ body }: Recorded): boolean {
  const last = body?.messages?.at(-1);
  return last?.role === "tool" || JSON.stringify(last ?? null).includes("tool_result");
}

async function send(request: Recorded): Promise<Response> {
  const app = createApp(fakeModel(), { apiKey: "k" });
  const body = request.body === null ? {} : { body: JSON.stringify(request.body) };
  const path = request.url.replace(/^\/\w+\//, "/");
  return app.request(path, { method: request.method, headers: request.headers, ...body });
}

// What each kind of answer must have is what the clients were seen
// to need, ../shared/fixtures/clients/sse_tolerance.json.
describe(titled("requests recorded from the official clients", skip), () => {
  it.skipIf(skip !== null)("are all here", () => expect(recorded.length).toBeGreaterThan(40));

  it.each(recorded.map((one) => [`${one.n} ${one.method} ${one.url}`, one] as const))("%s", async (_, request) => {
    const response = await send(request);
    const path = request.url.replace(/^\/\w+\//, "/");
    if (path === "/v1/responses") {
      expect(response.status).toBe(200);
      const text = { type: "output_text", text: "Hi" };
      expect(await response.json()).toMatchObject({ object: "response", output: [{ content: [text] }] });
      return;
    }
    expect(response.status).toBe(200);
    const calls = request.body?.tools !== undefined && !answersTool(request);
    const text = await response.text();
    if (path === "/v1/messages") anthropicMessage(text, request, calls);
    else if (path === "/v1/chat/completions") chatCompletion(text, request, calls);
    else if (path === "/v1/completions") {
      expect(JSON.parse(text)).toMatchObject({ object: "text_completion", choices: [{ text: "xHi" }] });
    } else if (path === "/v1/messages/count_tokens") {
      expect(JSON.parse(text)).toEqual({ input_tokens: expect.any(Number) });
    } else if (request.headers["anthropic-version"]) {
      expect(JSON.parse(text)).toMatchObject({ data: [{ type: "model", id: "fake-mixtral" }], has_more: false });
    } else {
      expect(JSON.parse(text)).toMatchObject({ object: "list", data: [{ object: "model", id: "fake-mixtral" }] });
    }
  });
});

function chatCompletion(text: string, { body, headers }: Recorded, calls: boolean): void {
  const head = { id: expect.any(String), model: "fake-mixtral", created: expect.any(Number) };
  const reason = calls ? "tool_calls" : "stop";
  if (!body?.stream) {
    const message = calls ? { content: null, tool_calls: [{ type: "function" }] } : { content: expect.any(String) };
    expect(JSON.parse(text)).toMatchObject({
      ...head,
      object: "chat.completion",
      choices: [{ index: 0, message: { role: "assistant", ...message }, finish_reason: reason }],
      usage: { prompt_tokens: 5, total_tokens: expect.any(Number) },
    });
    return;
  }
  const events = eventsOf(text);
  expect(events.pop()?.data).toBe("[DONE]");
  const chunks = events.map(({ data }) => data as { choices: { delta: object }[]; usage?: object });
  for (const chunk of chunks) expect(chunk).toMatchObject({ ...head, object: "chat.completion.chunk" });
  const withUsage = chunks.filter((chunk) => "usage" in chunk);
  // Mistral's client is told without asking, with the last chunk.
  const mistral = headers["user-agent"]?.startsWith("mistral") === true;
  expect(withUsage.length).toBe(body.stream_options?.include_usage || mistral ? 1 : 0);
  if (mistral) expect(withUsage[0]).toBe(chunks.at(-1));
  else if (withUsage.length > 0) expect(chunks.pop()).toMatchObject({ choices: [], usage: { prompt_tokens: 5 } });
  expect(chunks[0]?.choices).toMatchObject([{ index: 0, delta: { role: "assistant" } }]);
  expect(chunks.at(-1)?.choices).toMatchObject([{ index: 0, delta: {}, finish_reason: reason }]);
  const deltas = chunks.flatMap((chunk) => chunk.choices.map(({ delta }) => delta)).slice(1, -1);
  const call = { index: 0, id: "call00000", type: "function" };
  const whole = { ...call, function: { name: "get_weather", arguments: '{"city":"Paris"}' } };
  expect(deltas).toEqual(calls ? [{ tool_calls: [whole] }] : [{ content: "H" }, { content: "i" }]);
}

function anthropicMessage(text: string, { body }: Recorded, calls: boolean): void {
  const reason = calls ? "tool_use" : "end_turn";
  if (!body?.stream) {
    expect(JSON.parse(text)).toMatchObject({
      id: expect.stringMatching(/^msg_/),
      type: "message",
      role: "assistant",
      model: body?.model, // the name that was asked for
      content: [calls ? { type: "tool_use", id: "call00000" } : { type: "text", text: "Hi" }],
      stop_reason: reason,
      usage: { input_tokens: 4, cache_read_input_tokens: 1, output_tokens: expect.any(Number) },
    });
    return;
  }
  const events = eventsOf(text);
  const block = ["content_block_start", ...Array(calls ? 1 : 2).fill("content_block_delta"), "content_block_stop"];
  expect(events.map(({ event }) => event)).toEqual(["message_start", ...block, "message_delta", "message_stop"]);
  for (const { event, data } of events) expect(data).toMatchObject({ type: event });
  expect(events.at(-2)?.data).toMatchObject({ delta: { stop_reason: reason }, usage: { output_tokens: 2 } });
}
