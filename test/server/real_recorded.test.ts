// Requests recorded from the official clients, as they are, to the joined server with a real model:
// each is answered with the shape that its client expects.

import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Model } from "../../src/engine/model.ts";
import { inShared, titled } from "../support/fixtures.ts";
import { some } from "../support/some.ts";
import { eventsOf } from "./fake_model.ts";
import { openTales, type RealServer, serveReal } from "./real.ts";

interface Recorded {
  readonly n: number;
  readonly method: string;
  readonly url: string;
  readonly headers: Record<string, string>;
  readonly body: Body | null;
}
interface Body {
  readonly model?: string;
  readonly stream?: boolean;
  readonly stream_options?: { readonly include_usage?: boolean };
  readonly tools?: readonly { readonly name?: string; readonly function?: { readonly name: string } }[];
  readonly tool_choice?: unknown;
  readonly logprobs?: unknown;
  readonly response_format?: { readonly json_schema: { readonly schema: object } };
}

const { path, skip } = inShared("fixtures/clients/sdk_requests.jsonl");
const recorded =
  skip === null
    ? readFileSync(path, "utf8")
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as Recorded)
    : [];

let model: Model;
let server: RealServer;
beforeAll(async () => {
  if (skip !== null) return;
  // Most of them do not say how long an answer may get, and tales have no end but the context's.
  model = await openTales({ context: 480 });
  server = await serveReal(model, {}, { apiKey: "k" });
});
afterAll(async () => {
  await server?.close();
  await model?.close();
});

/** Some tell how they were sent, which is the server's machine's own affair. */
const OF_THE_CONNECTION = /^(host|connection|content-length|accept-encoding|transfer-encoding|cookie|sec-fetch-mode)$/i;

async function send({ method, url, headers, body }: Recorded): Promise<Response> {
  const own = Object.entries(headers).filter(([name]) => !OF_THE_CONNECTION.test(name));
  return fetch(server.url + url.replace(/^\/\w+\//, "/"), {
    method,
    headers: Object.fromEntries(own),
    ...(body && { body: JSON.stringify(body) }),
  });
}

interface Call {
  readonly id: string;
  readonly type: string;
  readonly function: { readonly name: string; readonly arguments: string };
}
/** An answer of either API and either way, brought to one form. */
interface Answer {
  readonly text: string;
  readonly calls: readonly Call[];
  readonly reason: string;
}

function toolNames({ tools = [] }: Body): (string | undefined)[] {
  return tools.map((tool) => tool.name ?? tool.function?.name);
}

/** What must be true of any answer to this request, whatever the model wrote. */
function check({ text, calls, reason }: Answer, body: Body): void {
  expect(reason).toMatch(/^(stop|length|tool_calls)$/);
  expect(calls.length === 0 || reason !== "stop").toBe(true);
  for (const call of calls) {
    expect(toolNames(body)).toContain(call.function.name);
    expect(call.id).toMatch(/^[a-zA-Z0-9]{9}$/);
    expect(JSON.parse(call.function.arguments)).toEqual(expect.any(Object));
  }
  const must = body.tool_choice === "any" || (body.tool_choice as { type?: string } | undefined)?.type === "any";
  if (must) {
    expect(text).toBe("");
    expect(reason).not.toBe("stop");
  }
  const schema = body.response_format?.json_schema.schema;
  if (!schema) return;
  if (reason === "stop") {
    const { $schema: _, ...rest } = schema as { $schema?: string };
    expect(new Ajv2020().validate(rest, JSON.parse(text)), text).toBe(true);
  } else expect(text).toMatch(/^\{/);
}

const USAGE = {
  prompt_tokens: expect.any(Number),
  completion_tokens: expect.any(Number),
  total_tokens: expect.any(Number),
};

function chatCompletion(text: string, body: Body, mistral: boolean): Answer {
  const head = { id: expect.any(String), model: "tales", created: expect.any(Number) };
  if (!body.stream) {
    const answer = JSON.parse(text);
    expect(answer).toMatchObject({ ...head, object: "chat.completion", usage: USAGE });
    const [{ message, finish_reason, logprobs }] = answer.choices;
    expect(message.role).toBe("assistant");
    expect(Array.isArray(logprobs?.content)).toBe(body.logprobs === true);
    const calls: Call[] = message.tool_calls ?? [];
    if (calls.length === 0) expect(message.content).toEqual(expect.any(String));
    for (const call of calls) expect(call.type).toBe("function");
    return { text: message.content ?? "", calls, reason: finish_reason };
  }
  const events = eventsOf(text);
  expect(events.pop()?.data).toBe("[DONE]");
  interface Chunk {
    readonly choices: readonly {
      readonly delta: { content?: string; tool_calls?: Call[] };
      readonly finish_reason: string;
    }[];
  }
  const chunks = events.map(({ data }) => data as Chunk);
  for (const chunk of chunks) expect(chunk).toMatchObject({ ...head, object: "chat.completion.chunk" });
  const withUsage = chunks.filter((chunk) => "usage" in chunk);
  expect(withUsage.length).toBe(body.stream_options?.include_usage || mistral ? 1 : 0);
  if (body.stream_options?.include_usage) expect(chunks.pop()).toMatchObject({ choices: [], usage: USAGE });
  expect(chunks[0]?.choices).toMatchObject([{ index: 0, delta: { role: "assistant" } }]);
  const choices = chunks.flatMap((chunk) => chunk.choices);
  expect(choices.slice(0, -1).every(({ finish_reason }) => finish_reason === null)).toBe(true);
  return {
    text: choices.map(({ delta }) => delta.content ?? "").join(""),
    calls: choices.flatMap(({ delta }) => delta.tool_calls ?? []),
    reason: choices.at(-1)!.finish_reason,
  };
}

const REASONS: Readonly<Record<string, string>> = {
  end_turn: "stop",
  stop_sequence: "stop",
  max_tokens: "length",
  tool_use: "tool_calls",
};

interface Block {
  readonly type: string;
  text?: string;
  id?: string;
  name?: string;
  input?: unknown;
}

function anthropicMessage(text: string, body: Body): Answer {
  const head = { id: expect.stringMatching(/^msg_/), type: "message", role: "assistant", model: body.model };
  const usage = { input_tokens: expect.any(Number), output_tokens: expect.any(Number) };
  let blocks: Block[] = [];
  let reason: string;
  if (!body.stream) {
    const message = JSON.parse(text);
    expect(message).toMatchObject({ ...head, usage });
    blocks = message.content;
    reason = message.stop_reason;
  } else {
    const events = eventsOf(text);
    const names = events.map(({ event }) => event!.replace("content_block_", "")).filter((name) => name !== "ping");
    expect(names.join(" ")).toMatch(/^message_start( start( delta)* stop)* message_delta message_stop$/);
    for (const { event, data } of events) expect(data).toMatchObject({ type: event });
    expect(events[0]!.data).toMatchObject({ message: { ...head, content: [], usage } });
    const json: string[] = [];
    for (const { data } of events as unknown as { data: Record<string, never> }[]) {
      const { type, index, content_block, delta } = data as unknown as {
        type: string;
        index: number;
        content_block: Block;
        delta: { text?: string; partial_json?: string };
      };
      if (type === "content_block_start") blocks[index] = { ...content_block };
      if (type !== "content_block_delta") continue;
      if (delta.partial_json !== undefined) json[index] = (json[index] ?? "") + delta.partial_json;
      else blocks[index]!.text = (blocks[index]!.text ?? "") + delta.text!;
    }
    const last = events.at(-2)!.data as { delta: { stop_reason: string } };
    reason = last.delta.stop_reason;
    for (const [index, block] of blocks.entries()) {
      if (block.type !== "tool_use") continue;
      expect(block.input).toEqual({});
      // A call that the length cut off is told as far as it came.
      if (reason === "max_tokens" && index === blocks.length - 1) blocks.pop();
      else block.input = JSON.parse(json[index] ?? "{}");
    }
  }
  return {
    text: blocks.map((block) => block.text ?? "").join(""),
    calls: blocks
      .filter(({ type }) => type === "tool_use")
      .map(({ id, name, input }) => ({
        id: id!,
        type: "function",
        function: { name: name!, arguments: JSON.stringify(input) },
      })),
    reason: REASONS[reason] ?? reason,
  };
}

describe(titled("requests recorded from the official clients", skip), () => {
  it.skipIf(skip !== null)("are all here", () => expect(recorded.length).toBeGreaterThan(40));

  it.each(
    some(
      recorded.map((one) => [`${one.n} ${one.method} ${one.url}`, one] as const),
      16,
    ),
  )("%s", async (_, request) => {
    const response = await send(request);
    const text = await response.text();
    const path = request.url.replace(/^\/\w+\//, "/");
    if (path === "/v1/responses") {
      expect(JSON.parse(text)).toMatchObject({ object: "response", output: [{ type: "message", role: "assistant" }] });
      return;
    }
    expect(response.status, text).toBe(200);
    const body = request.body ?? {};
    if (path === "/v1/messages") check(anthropicMessage(text, body), body);
    else if (path === "/v1/chat/completions") {
      const mistral = request.headers["user-agent"]?.startsWith("mistral") === true;
      check(chatCompletion(text, body, mistral), body);
    } else if (path === "/v1/completions") {
      const { choices } = JSON.parse(text);
      expect(choices[0].logprobs.token_logprobs[0]).toBeNull();
      expect(choices[0].logprobs.tokens.length).toBe(choices[0].logprobs.text_offset.length);
      expect(choices[0].text).toMatch(/^x/);
    } else if (path === "/v1/messages/count_tokens") {
      expect(JSON.parse(text)).toEqual({ input_tokens: expect.any(Number) });
    } else {
      expect(JSON.parse(text)).toMatchObject({ data: [{ id: "tales" }] });
    }
  });
});
