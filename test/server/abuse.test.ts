// What is meant to hang or to fill the joined server is refused with a 4xx, and the server goes on
// answering others (tests of what does hang end by their time limit).

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Model } from "../../src/engine/model.ts";
import { open } from "../../src/index.ts";
import { CONTROL_FILES } from "../chat/support.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { PATIENT } from "../support/patience.ts";
import { writeTinyFolder } from "../support/tiny_folder.ts";
import { type RealServer, serveReal } from "./real.ts";

/** Loops, recurses or grows where the first message says so; else a plain template. */
const TEMPLATE = `{%- set word = messages[0].content -%}
{%- macro deeper(n) -%}{{ deeper(n + 1) }}{%- endmacro -%}
{%- if word == 'loop' -%}{%- for i in range(99999) -%}{%- for j in range(99999) -%}{%- endfor -%}{%- endfor -%}{%- endif -%}
{%- if word == 'recurse' -%}{{ deeper(0) }}{%- endif -%}
{%- if word == 'grow' -%}{%- set ns = namespace(text='x') -%}{%- for i in range(64) -%}{%- set ns.text = ns.text + ns.text -%}{%- endfor -%}{{ ns.text }}{%- endif -%}
{{ bos_token }}{%- for message in messages -%}[INST] {{ message.content }} [/INST]{%- endfor -%}`;

let model: Model;
let server: RealServer;
let folder: ReturnType<typeof writeTinyFolder>;
beforeAll(async () => {
  folder = writeTinyFolder({ ...CONTROL_FILES, "chat_template.jinja": TEMPLATE }, 4105);
  model = await open(folder.path, { backend: "cpu", weights: "f32", threads: 1 });
  // Clients and server share one thread here, so that a thousand of them send their headers late.
  const late = { headersTimeoutMs: 60_000, requestTimeoutMs: 120_000 };
  server = await serveReal(model, { parallel: 4, queue: 16 }, late);
});
afterAll(async () => {
  await server?.close();
  await model?.close();
  folder?.remove();
});

const messages = [{ role: "user", content: "hi" }];

/** Nested so deep that nothing may recurse into it; as JSON, since JSON.stringify would. */
function nested(depth: number, key: string): string {
  return `${`{"${key}":`.repeat(depth)}true${"}".repeat(depth)}`;
}

/** Sends a body beside a good request, which is answered. */
async function beside(body: string, path = "/v1/chat/completions") {
  const bad = fetch(server.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body,
  });
  const good = server.say("hi", { max_tokens: 2, temperature: 0 });
  const response = await bad;
  expect((await good).choices.length).toBe(1);
  return { status: response.status, json: (await response.json()) as { error?: Refused } };
}
interface Refused {
  readonly message: string;
  readonly code: string | null;
}

async function refused(body: string, path?: string) {
  const { status, json } = await beside(body, path);
  return { status, ...json.error! };
}

const chat = (more: object): string => JSON.stringify({ model: "m", messages, ...more });
const format = (response_format: object): string => chat({ response_format });
const schema = (json: unknown): string =>
  format({ type: "json_schema", json_schema: { name: "x", strict: true, schema: json } });
const rawSchema = (json: string): string => schema("HERE").replace('"HERE"', json);
const tool = (parameters: unknown, more: object = {}): string =>
  chat({ tools: [{ type: "function", function: { name: "f", parameters } }], ...more });
const rawTool = (json: string): string => tool("HERE").replace('"HERE"', json);
const withPattern = (pattern: string) => ({ type: "object", properties: { a: { type: "string", pattern } } });

const STATES = "(a|b)*a(a|b){20}";
const COUNTS = "(((a{900}){900}){900}){900}";

describe("refused, while others are answered", () => {
  it.each<[string, string, RegExp]>([
    ["a pattern of a schema with too many states", schema(withPattern(STATES)), /too many states/],
    ["a pattern of a schema that counts too far", schema(withPattern(COUNTS)), /too many states/],
    ["a regex with too many states", format({ type: "regex", pattern: STATES }), /too many states/],
    ["a regex that counts too far", format({ type: "regex", pattern: COUNTS }), /too many states/],
    ["a regex of a megabyte", format({ type: "regex", pattern: "a?".repeat(500_000) }), /2000 characters/],
    ["a grammar that recurses to the left", format({ type: "ebnf", grammar: 'root ::= root root | "a"' }), /root/],
    ["a schema 10,000 deep", rawSchema(nested(10_000, "not")), /nested more than 256 deep/],
    ["a schema 200 deep", rawSchema(nested(200, "items")), /nested more than 100 deep/],
    ["a tool's schema 10,000 deep", rawTool(nested(10_000, "items")), /nested more than 256 deep/],
    ["a schema that refers to itself", schema({ $ref: "#" }), /refers to itself/],
    [
      "alternatives that multiply",
      schema({
        allOf: Array.from({ length: 12 }, (_, i) => ({
          anyOf: Array.from({ length: 12 }, (_, j) => ({ properties: { [`p${i}`]: { const: j } } })),
        })),
      }),
      /combinations/,
    ],
    ["a billion answers", chat({ n: 1e9 }), /^n: /],
    ["a trillion tokens", chat({ max_tokens: 1e12 }), /^max_tokens: /],
    [
      "messages 10,000 deep",
      chat({ messages: "HERE" }).replace('"HERE"', `[${nested(10_000, "content")}]`),
      /nested more than/,
    ],
    [
      "a text of twelve million characters",
      chat({ messages: [{ role: "user", content: "and then ".repeat(1.3e6) }] }),
      /at least \d+ tokens/,
    ],
    [
      "a tool described in twelve million characters",
      chat({ tools: [{ type: "function", function: { name: "f", description: "and then ".repeat(1.3e6) } }] }),
      /at least \d+ tokens/,
    ],
  ])("%s", async (_, body, message) => {
    expect(await refused(body)).toMatchObject({ status: 400, message: expect.stringMatching(message) });
  });

  it.each([
    ["a tool's pattern that backtracks", tool(withPattern("^(a+)+$"), { max_tokens: 1 })],
    ["the same, required", tool(withPattern("^(a|a)*b$"), { tool_choice: "required", max_tokens: 1 })],
    ["a tool's schema 90 deep", rawTool(nested(90, "items")).replace("{", '{"max_tokens": 1,')],
  ])("but not %s", async (_, body) => {
    expect(await beside(body)).toMatchObject({ status: 200, json: { choices: [{ finish_reason: "length" }] } });
  });

  it.each([
    ["/v1/completions", { model: "m", prompt: "and then ".repeat(1.3e6) }],
    ["/tokenize", { content: "and then ".repeat(1.3e6) }],
  ])("a text of twelve million characters at %s", async (path, body) => {
    expect(await refused(JSON.stringify(body), path)).toMatchObject({ status: 400 });
  });

  it.each([
    ["loop", /steps/],
    ["recurse", /nested|call/],
    ["grow", /characters|steps|text/],
  ])("a template that begins to %s", async (word, message) => {
    const body = chat({ messages: [{ role: "user", content: word }] });
    expect(await refused(body)).toMatchObject({
      status: 422,
      code: "template_failed",
      message: expect.stringMatching(message),
    });
    expect(await refused(chat({ messages: [{ role: "user", content: word }], stream: true }))).toMatchObject({
      status: 422,
    });
  });

  it("a body over the limit", async () => {
    const small = await serveReal(model, {}, { bodyLimit: 10_000 });
    const { status } = await small.ask("/v1/chat/completions", {
      messages: [{ role: "user", content: "x".repeat(20_000) }],
    });
    expect(status).toBe(413);
    expect((await small.say("hi", { max_tokens: 1 })).choices.length).toBe(1);
    await small.close();
  });

  it.skipIf(leftToCi)(
    titled("a thousand requests at once: each is answered or told to come back, and nothing is left", leftToCi),
    async () => {
      const all = await Promise.all(
        Array.from({ length: 1000 }, async () => {
          const { status, headers } = await server.ask("/v1/chat/completions", { messages, max_tokens: 2 });
          return status === 503 && headers.has("retry-after") ? "later" : status;
        }),
      );
      expect(all.filter((status) => status !== 200 && status !== "later")).toEqual([]);
      expect(all).toContain(200);
      await expect.poll(() => server.chat.metrics(), PATIENT).toMatchObject({ running: 0, queued: 0 });
      expect(model.stats().sessions).toBe(0);
      expect((await server.say("hi", { max_tokens: 1 })).choices.length).toBe(1);
    },
  );
});
