// Walks the table of request fields against the handlers: what is honoured changes what the engine
// is asked for or what is answered, what is refused is refused by name, what is harmless changes
// nothing; and the README has the same table.

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { ChatMessage, ChatOptions } from "../../src/engine/chat_api.ts";
import { createApp } from "../../src/server/app.ts";
import { type Endpoint, FIELDS, type FieldRow } from "../../src/server/request_fields.ts";
import { inRepo } from "../support/fixtures.ts";
import { some } from "../support/some.ts";
import { fakeModel, standard } from "./fake_model.ts";
import { fieldsTable } from "./fields_readme.ts";

type Body = Readonly<Record<string, unknown>>;

const messages = [{ role: "user", content: "hi" }];
const ENDPOINTS: Readonly<Record<Endpoint, { readonly path: string; readonly body: Body }>> = {
  chat: { path: "/v1/chat/completions", body: { messages } },
  completions: { path: "/v1/completions", body: { prompt: "a" } },
  messages: { path: "/v1/messages", body: { messages, max_tokens: 9 } },
  responses: { path: "/v1/responses", body: { input: "hi" } },
  embeddings: { path: "/v1/embeddings", body: { input: "a" } },
};

/**
 * What a request comes to: what the engine was asked for, and the answer without what
 * differs each time.
 */
async function ask(endpoint: Endpoint, fields: Body) {
  const { path, body } = ENDPOINTS[endpoint];
  const acts = (given: readonly ChatMessage[], options: ChatOptions) => [
    ...(given.length > 0 ? [{ think: "Hm." }] : []),
    ...standard(given, options),
  ];
  const model = fakeModel({ acts });
  const app = createApp(model, "key" in fields ? { apiKey: "k" } : {});
  const response = await app.request(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, ...fields }),
  });
  // Identifiers and times differ each time; the responses API repeats what the caller said of
  // itself, and Anthropic's the model's name.
  const text = (await response.text()).replaceAll(
    /"(id|model|call_id|created|created_at|completed_at|user|metadata|safety_identifier|prompt_cache_key)":(null|true|false|\d+|"[^"]*"|\{[^}]*\}|\[[^\]]*\])/g,
    "",
  );
  const asked = model.asked.map(({ options: { signal: _, ...options }, ...rest }) => ({ ...rest, options }));
  return { status: response.status, text, asked };
}

/** A tool in both APIs' shapes. */
const toolsOf = (endpoint: Endpoint) =>
  endpoint === "messages"
    ? [{ name: "f", input_schema: { type: "object" } }]
    : endpoint === "responses"
      ? [{ type: "function", name: "f" }]
      : [{ type: "function", function: { name: "f" } }];
const schema = { type: "object" };

/** A value with which a field has an effect, and what it needs beside it. */
const EXAMPLES: Readonly<Record<string, readonly [value: unknown, beside?: Body]>> = {
  messages: [[{ role: "user", content: "other" }]],
  prompt: ["other"],
  echo: [true],
  system: ["Be kind."],
  input: ["see exampleOf"],
  instructions: ["Be kind."],
  include: [["message.output_text.logprobs"]],
  max_output_tokens: [5],
  encoding_format: ["base64"],
  safe_prompt: [true],
  continue_final_message: [false, { messages: [...messages, { role: "assistant", content: "So" }] }],
  chat_template_kwargs: [{ enable_thinking: false }],
  reasoning: [{ effort: "low" }],
  reasoning_effort: ["low"],
  thinking: [{ type: "disabled" }],
  think: [false],
  enable_thinking: [false],
  thinking_budget: [10],
  thinking_token_budget: [10],
  thinking_budget_tokens: [10],
  reasoning_budget: [10],
  include_reasoning: [false],
  tools: ["see toolsOf"],
  tool_choice: ["see toolsOf"],
  parallel_tool_calls: [false],
  key: ["k"],
  max_tokens: [5],
  max_completion_tokens: [5],
  n_predict: [5],
  n: [2],
  stream: [true],
  stream_options: [{ include_usage: true }, { stream: true }],
  usage: [{ include: true }, { stream: true }],
  logprobs: [true],
  top_logprobs: [2, { logprobs: true }],
  stop: ["x"],
  stop_sequences: [["x"]],
  stop_strings: [["x"]],
  stop_words: [["x"]],
  stop_token_ids: [[5]],
  eos_token_id: [5],
  min_tokens: [2],
  ignore_eos: [true],
  bad_words: [["fox"]],
  allowed_token_ids: [[5, 6]],
  logit_bias: [[[5, 1]]],
  temperature: [0.5],
  top_p: [0.5],
  top_k: [5],
  min_p: [0.5],
  repetition_penalty: [1.1],
  repeat_penalty: [1.1],
  frequency_penalty: [1],
  presence_penalty: [1],
  seed: [1],
  random_seed: [1],
  response_format: [{ type: "json_object" }],
  output_config: [{ format: { type: "json_schema", schema } }],
  output_format: [{ type: "json_schema", schema }],
  text: [{ format: { type: "json_schema", name: "x", schema } }],
  json_schema: [schema],
  guided_json: [schema],
  guided_json_object: [true],
  guided_regex: ["a+"],
  regex: ["a+"],
  guided_choice: [["a"]],
  guided_grammar: ['root ::= "a"'],
  ebnf: ['root ::= "a"'],
  grammar: ['root ::= "a"'],
  structural_tag: [{ format: { type: "any_text" } }],
  structured_outputs: [{ regex: "a+" }],
  format: ["json"],
};

function exampleOf(endpoint: Endpoint, name: string): readonly [value: unknown, beside?: Body] {
  const tools = toolsOf(endpoint);
  if (name === "tools") return [tools];
  if (name === "tool_choice") return [endpoint === "messages" ? { type: "none" } : "none", { tools }];
  if (name === "logprobs" && endpoint === "completions") return [2];
  if (name === "top_logprobs" && endpoint === "responses") return [2];
  if (name === "continue_final_message" && endpoint === "responses")
    return [false, { input: [...messages, { role: "assistant", content: "So" }] }];
  if (name === "input") return [endpoint === "responses" ? "other" : ["a", "b"]];
  return EXAMPLES[name]!;
}

/** Fields that are refused only beside others. */
const BESIDE: Readonly<Record<string, Body>> = {
  repeat_last_n: { repeat_penalty: 1.1 },
  repetition_penalty_range: { repetition_penalty: 1.1 },
  rep_pen_range: { presence_penalty: 1 },
  penalty_range: { presence_penalty: 1 },
  repetition_range: { repetition_penalty: 1.1 },
  continue_final_message: { messages: [...messages, { role: "assistant", content: "So" }] },
};

const each = (kind: FieldRow["kind"]) =>
  FIELDS.filter((row) => row.kind === kind).flatMap((row) =>
    row.on.flatMap((endpoint) => row.names.map((name) => [endpoint, name, row] as const)),
  );

describe("the table", () => {
  it("has each field of an endpoint once", () => {
    const all = FIELDS.flatMap(({ names, on }) => on.flatMap((one) => names.map((name) => `${one} ${name}`)));
    expect(all.filter((one, i) => all.indexOf(one) !== i)).toEqual([]);
  });

  it("has each field on all endpoints that write answers", () => {
    const rows = (endpoint: Endpoint) =>
      new Set(FIELDS.flatMap(({ names, on }) => (on.includes(endpoint) ? names : [])));
    const writing = (["chat", "completions", "messages", "responses"] as const).map(
      (endpoint) => [endpoint, rows(endpoint)] as const,
    );
    const known = new Set(writing.flatMap(([, names]) => [...names]));
    const gaps = writing.flatMap(([endpoint, names]) =>
      [...known].filter((name) => !names.has(name)).map((name) => `${endpoint} ${name}`),
    );
    expect(gaps).toEqual([]);
  });

  it("is in the README", () => {
    expect(readFileSync(inRepo("src/server/README.md"), "utf8")).toContain(fieldsTable(FIELDS));
  });
});

describe("honoured", () => {
  it.each(some(each("honoured"), 25))("%s: %s", async (endpoint, name) => {
    expect(Object.keys(EXAMPLES)).toContain(name);
    const [value, beside = {}] = exampleOf(endpoint, name);
    const without = await ask(endpoint, name === "key" ? { ...beside, key: "other" } : beside);
    const found = await ask(endpoint, { ...beside, [name]: value });
    // A body that ends with the assistant is refused where it may not go on.
    expect(found.status).toBe(name === "continue_final_message" ? found.status : 200);
    expect(found).not.toEqual(without);
  });

  it("examples are of fields that are honoured", () => {
    expect(Object.keys(EXAMPLES).filter((name) => !FIELDS.some(({ names }) => names.includes(name)))).toEqual([]);
  });
});

describe("refused", () => {
  it.each(some(each("refused"), 25))("%s: %s", async (endpoint, name, { off = [], onlyThese, note }) => {
    const value = off.includes(true) ? false : 7;
    const beside = BESIDE[name] ?? {};
    const { status, text, asked } = await ask(endpoint, { ...beside, [name]: value });
    expect({ status, asked }).toEqual({ status: 400, asked: [] });
    expect(JSON.parse(text).error.message).toBe(`${name}: is not supported: ${note}`);
    if (endpoint !== "messages") expect(JSON.parse(text).error.param).toBe(name);

    const plain = await ask(endpoint, beside);
    const nothing = onlyThese ? [null, ...off] : [null, false, "", [], {}, ...off];
    for (const one of nothing) expect([one, await ask(endpoint, { ...beside, [name]: one })]).toEqual([one, plain]);
  });

  it.each<[Endpoint, Body]>([
    ["completions", { n: 2, best_of: 2 }],
    ["chat", { repeat_last_n: 64 }],
    ["messages", { continue_final_message: false }],
    ["messages", { add_generation_prompt: false, messages: [...messages, { role: "assistant", content: "So" }] }],
    ["completions", { chat_template_kwargs: { enable_thinking: false, tools: null } }],
    ["completions", { tools: [], tool_choice: "auto", parallel_tool_calls: false }],
    ["messages", { parallel_tool_calls: true, n: 1, echo: false, suffix: "" }],
    ["chat", { repeat_last_n: 64, repeat_penalty: 1, frequency_penalty: 0 }],
    [
      "chat",
      {
        add_generation_prompt: false,
        continue_final_message: true,
        messages: [...messages, { role: "assistant", content: "So" }],
      },
    ],
  ])("%s: not where it makes no difference: %j", async (endpoint, fields) => {
    expect((await ask(endpoint, fields)).status).toBe(200);
  });

  it("a length of penalties, where there is a penalty", async () => {
    expect((await ask("chat", { repeat_last_n: 64, repeat_penalty: 1.1 })).status).toBe(400);
    expect((await ask("chat", { repeat_last_n: -1, repeat_penalty: 1.1 })).status).toBe(200);
  });
});

describe("harmless", () => {
  it.each(some(each("harmless"), 25))("%s: %s", async (endpoint, name) => {
    const plain = await ask(endpoint, {});
    const values = name.startsWith("model") ? ["x", null] : ["x", 7, true, false, null, ["x"], { x: 1 }, [], {}];
    for (const value of values) expect([value, await ask(endpoint, { [name]: value })]).toEqual([value, plain]);
  });
});

describe("not in the table", () => {
  it.each(Object.keys(ENDPOINTS) as Endpoint[])("%s: accepted", async (endpoint) => {
    expect(await ask(endpoint, { a_field_of_tomorrow: { x: [1] } })).toEqual(await ask(endpoint, {}));
  });
});
