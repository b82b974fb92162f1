// The joined server with a real model: its answers are the engine's own, whichever endpoint and
// however they are asked for.

import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { GenerateOptions, Piece } from "../../src/engine/api.ts";
import type { Model } from "../../src/engine/model.ts";
import { PATIENT } from "../support/patience.ts";
import { some } from "../support/some.ts";
import { eventsOf } from "./fake_model.ts";
import { type Answered, openTales, type RealServer, serveReal } from "./real.ts";

const STORY = "Tell me a story.";
const MESSAGES = [{ role: "user", content: STORY }];
const ONCE = "Once upon a time there was";
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

/** What a session writes after these ids. */
async function written(ids: readonly number[], options: GenerateOptions = {}) {
  const session = model.session();
  const pieces: Piece[] = [];
  for await (const piece of session.generate(ids, { temperature: 0, maxTokens: 24, ...options })) pieces.push(piece);
  session.close();
  const { finish } = pieces.at(-1)!;
  return {
    text: pieces.map(({ text }) => text).join(""),
    logprobs: pieces.flatMap(({ logprobs }) => logprobs ?? []),
    finish: finish!,
  };
}
const encode = (text: string): number[] => model.tokenizer.encode(text, { addBos: true });
/** Mistral's rules for a tokenizer without control tokens. */
const chatIds = (text: string): number[] => encode(`[INST] ${text} [/INST]`);
const withoutSpace = (text: string): string => text.replace(/^ /, "");

async function streamed(path: string, body: object): Promise<Record<string, unknown>[]> {
  const { status, text } = await server.ask(path, { ...body, stream: true });
  expect(status, text).toBe(200);
  return eventsOf(text).flatMap(({ data }) => (data === "[DONE]" ? [] : [data as Record<string, unknown>]));
}

const complete = async (body: object): Promise<Answered> => {
  const { status, json, text } = await server.ask("/v1/completions", { ...GREEDY, ...body });
  expect(status, text).toBe(200);
  return json;
};

describe("greedy answers", () => {
  it("are what a session writes after the same ids, at every endpoint", async () => {
    const own = await written(chatIds(STORY));
    const text = withoutSpace(own.text);
    expect(text.length).toBeGreaterThan(20);
    const usage = { prompt_tokens: chatIds(STORY).length, completion_tokens: own.finish.completionTokens };
    const chat = await server.say(STORY, GREEDY);
    expect(chat.choices).toMatchObject([{ message: { content: text }, finish_reason: "length" }]);
    expect(chat.usage).toMatchObject({ ...usage, total_tokens: usage.prompt_tokens + usage.completion_tokens });
    const anthropic = await server.ask("/v1/messages", { ...GREEDY, messages: MESSAGES });
    expect(anthropic.json).toMatchObject({ content: [{ type: "text", text }], stop_reason: "max_tokens" });
    expect(anthropic.json.usage).toMatchObject({ output_tokens: usage.completion_tokens });

    const { text: story } = await written(encode(ONCE));
    for (const prompt of [ONCE, encode(ONCE)]) {
      const { choices, usage } = await complete({ prompt });
      expect(choices[0]!.text).toBe(story);
      expect(usage).toMatchObject({ prompt_tokens: encode(ONCE).length, completion_tokens: 24 });
    }
  });

  it("are the same in a stream", async () => {
    const chat = await server.say(STORY, GREEDY);
    const body = { messages: MESSAGES, ...GREEDY, stream_options: { include_usage: true } };
    const chunks = await streamed("/v1/chat/completions", body);
    const choices = chunks.flatMap(
      (chunk) => chunk.choices as { delta: { content?: string }; finish_reason: string }[],
    );
    expect(choices.map(({ delta }) => delta.content ?? "").join("")).toBe(chat.choices[0]!.message.content);
    expect(choices.at(-1)!.finish_reason).toBe(chat.choices[0]!.finish_reason);
    expect(chunks.at(-1)!.usage).toMatchObject({ completion_tokens: chat.usage.completion_tokens });

    const events = await streamed("/v1/messages", { messages: MESSAGES, ...GREEDY });
    const deltas = events.flatMap(({ type, delta }) =>
      type === "content_block_delta" ? [delta as { text: string }] : [],
    );
    expect(deltas.map(({ text }) => text).join("")).toBe(chat.choices[0]!.message.content);

    const pieces = await streamed("/v1/completions", { prompt: ONCE, ...GREEDY });
    const texts = pieces.flatMap((piece) => piece.choices as { text: string }[]);
    expect(texts.map(({ text }) => text).join("")).toBe((await complete({ prompt: ONCE })).choices[0]!.text);
  });

  it("of several prompts, in one request and in many at once, are those of each alone", async () => {
    const prompts = [ONCE, "The king said", "In a dark forest", "The little bird", "A poor fisherman"];
    const alone: string[] = [];
    for (const prompt of prompts) alone.push((await written(encode(prompt))).text);
    const { choices, usage } = await complete({ prompt: prompts });
    expect(choices.map(({ index, text }) => [index, text])).toEqual([...alone.entries()]);
    expect(usage.prompt_tokens).toBe(prompts.reduce((sum, prompt) => sum + encode(prompt).length, 0));
    const many = await Promise.all(prompts.map((prompt) => complete({ prompt })));
    expect(many.map(({ choices: [one] }) => one!.text)).toEqual(alone);
  });
});

describe("how an answer is drawn and where it ends", () => {
  const drawn = { temperature: 1.5, max_tokens: 16 };

  it("a seed gives the same answer again; n answers have the seeds that follow it", async () => {
    const { choices, usage } = await server.say(STORY, { ...drawn, n: 3, seed: 11 });
    const singles: Answered[] = [];
    for (const seed of [11, 12, 13]) singles.push(await server.say(STORY, { ...drawn, seed }));
    expect(choices.map(({ message }) => message.content)).toEqual(
      singles.map(({ choices: [one] }) => one!.message.content),
    );
    expect(new Set(choices.map(({ message }) => message.content)).size).toBeGreaterThan(1);
    expect(choices.map(({ seed }) => seed)).toEqual([11, 12, 13]);
    const completion = singles.reduce((sum, one) => sum + one.usage.completion_tokens, 0);
    expect(usage).toMatchObject({ prompt_tokens: chatIds(STORY).length, completion_tokens: completion });
    const { choices: unseeded } = await server.say(STORY, drawn);
    const again = await server.say(STORY, { ...drawn, seed: unseeded[0]!.seed });
    expect(again.choices[0]!.message.content).toBe(unseeded[0]!.message.content);
  });

  it("a stop text ends the answer in front of it", async () => {
    const { text } = await written(chatIds(STORY));
    const shown = withoutSpace(text);
    const stop = shown.slice(11, 16);
    const before = shown.slice(0, shown.indexOf(stop));
    const { choices } = await server.say(STORY, { ...GREEDY, stop: ["never written", stop] });
    expect(choices).toMatchObject([{ message: { content: before }, finish_reason: "stop" }]);
    const { json } = await server.ask("/v1/messages", { ...GREEDY, messages: MESSAGES, stop_sequences: [stop] });
    expect(json).toMatchObject({ content: [{ text: before }], stop_reason: "stop_sequence", stop_sequence: stop });
  });

  it("max_tokens 1 is one token, 0 none", async () => {
    const one = await complete({ prompt: ONCE, max_tokens: 1 });
    expect(one.choices[0]!.text).toBe((await written(encode(ONCE), { maxTokens: 1 })).text);
    expect(one).toMatchObject({ usage: { completion_tokens: 1 }, choices: [{ finish_reason: "length" }] });
    const none = await complete({ prompt: ONCE, max_tokens: 0 });
    expect(none).toMatchObject({ usage: { completion_tokens: 0 }, choices: [{ text: "", finish_reason: "length" }] });
    expect((await server.ask("/v1/chat/completions", { messages: MESSAGES, max_tokens: 0 })).status).toBe(400);
  });

  it("a prompt longer than the context is refused with a code of its own", async () => {
    const content = "and then ".repeat(3000);
    const long = { messages: [{ role: "user", content }], max_tokens: 1 };
    for (const [path, body] of [
      ["/v1/chat/completions", long],
      ["/v1/chat/completions", { ...long, stream: true }],
      ["/v1/completions", { prompt: content }],
      ["/v1/completions", { prompt: content, echo: true, logprobs: 1, max_tokens: 0 }],
    ] as const) {
      const { status, json } = await server.ask(path, body);
      expect({ status, code: json.error.code }).toEqual({ status: 400, code: "context_length_exceeded" });
      expect(json.error.message).toMatch(/maximum context length is 2048 tokens/);
    }
    for (const stream of [false, true]) {
      const { json } = await server.ask("/v1/messages", { ...long, stream });
      expect(json.error).toMatchObject({
        type: "invalid_request_error",
        message: expect.stringMatching(/^prompt is too long: \d+ tokens > 2048 maximum/),
      });
    }
    const embeddings = await server.ask("/v1/embeddings", { input: content });
    expect(embeddings.json.error).toMatchObject({
      code: "context_length_exceeded",
      message: expect.stringMatching(/maximum context length is 2048 tokens/),
    });
  });
});

describe("log probabilities", () => {
  it("are a session's", async () => {
    const { logprobs } = await written(chatIds(STORY), { logprobs: 3 });
    const { choices } = await server.say(STORY, { ...GREEDY, logprobs: true, top_logprobs: 3 });
    const { content } = choices[0]!.logprobs;
    expect(content.map(({ token, logprob }) => [token, logprob])).toEqual(
      logprobs.map(({ text, logprob }) => [text, logprob]),
    );
    expect(content.map(({ top_logprobs }) => top_logprobs.map(({ logprob }) => logprob))).toEqual(
      logprobs.map(({ top }) => top.map(({ logprob }) => logprob)),
    );
  });

  it("of an echoed prompt are those of model.logits()", async () => {
    const ids = encode(ONCE);
    const V = model.config.vocab_size;
    const logits = await model.logits(ids);
    const { choices, usage } = await complete({ prompt: ONCE, echo: true, logprobs: 2, max_tokens: 2 });
    const { text, logprobs } = choices[0]!;
    const own = await written(ids, { maxTokens: 2 });
    expect(text).toBe(ONCE + own.text);
    expect(usage).toMatchObject({ prompt_tokens: ids.length, completion_tokens: 2 });
    expect(logprobs.tokens.length).toBe(ids.length + 2);
    expect(logprobs.token_logprobs[0]).toBeNull();
    for (let t = 1; t < ids.length; t++) {
      const row = logits.subarray((t - 1) * V, t * V);
      const sum = row.reduce((total, x) => total + Math.exp(x), 0);
      expect(logprobs.token_logprobs[t]).toBeCloseTo(row[ids[t]!]! - Math.log(sum), 4);
      const most = Math.max(...Object.values(logprobs.top_logprobs[t]!));
      expect(most).toBeCloseTo(Math.max(...row) - Math.log(sum), 4);
    }
  });
});

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

describe("structured output", () => {
  it.each(some([0, 1, 2], 1))("json_schema is valid, in a stream as well (seed %i)", async (seed) => {
    const json_schema = { name: "person", strict: true, schema: person };
    const more = { temperature: 1.2, seed, max_tokens: 200, response_format: { type: "json_schema", json_schema } };
    const { choices } = await server.say(STORY, more);
    const content = choices[0]!.message.content!;
    expect(choices[0]!.finish_reason).toBe("stop");
    expect(valid(person, content), content).toBe(true);
    const chunks = await streamed("/v1/chat/completions", { messages: MESSAGES, ...more });
    const deltas = chunks.flatMap((chunk) => chunk.choices as { delta: { content?: string } }[]);
    expect(deltas.map(({ delta }) => delta.content ?? "").join("")).toBe(content);
  });

  it("json_object is an object", async () => {
    // The tale goes on for ever where nothing speaks for its end.
    const ends = Object.fromEntries([...'"}'].map((c) => [model.tokenizer.encode(c, { addBos: false }).at(-1)!, 12]));
    const more = { temperature: 1, max_tokens: 300, logit_bias: ends, response_format: { type: "json_object" } };
    for (const seed of [1, 2]) {
      const { choices } = await server.say(STORY, { ...more, seed });
      expect(choices[0]!.finish_reason).toBe("stop");
      expect(JSON.parse(choices[0]!.message.content!)).toEqual(expect.any(Object));
      expect(choices[0]!.message.content).toMatch(/^\{/);
    }
  });

  it("regex and EBNF hold, for chats and for completions", async () => {
    const regex = { type: "regex", pattern: "\\d{3}-[a-f]{2,4}" };
    const ebnf = { type: "ebnf", grammar: 'root ::= "I say " ("yes" | "no")' };
    for (const [format, expected] of [
      [regex, /^\d{3}-[a-f]{2,4}$/],
      [ebnf, /^I say (yes|no)$/],
    ] as const) {
      const { choices } = await server.say(STORY, { ...GREEDY, response_format: format });
      expect(choices[0]!.message.content).toMatch(expected);
      const completion = await complete({ prompt: ONCE, response_format: format });
      expect(completion.choices[0]).toMatchObject({ text: expect.stringMatching(expected), finish_reason: "stop" });
    }
  });

  it.each([false, true])("unknown keywords of a schema are named in a header (streamed: %s)", async (stream) => {
    const schema = { type: "object", properties: { "\u00e9": { const: 1, "caf\u00e9": 2 } }, maxLenght: 3 };
    const body = (of: object) => ({
      messages: MESSAGES,
      max_tokens: 30,
      stream,
      response_format: { type: "json_schema", json_schema: { name: "x", strict: true, schema: of } },
    });
    const asked = (of: object): Promise<Response> =>
      fetch(`${server.url}/v1/chat/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body(of)),
      });
    const response = await asked(schema);
    expect(response.status).toBe(200);
    expect(response.headers.get("x-hotset-warning")).toBe(
      "keyword `maxLenght` at # is not known: it constrains nothing; keyword `caf?` at #/properties/? is not known: it constrains nothing",
    );
    await response.text();
    const many = await asked(Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`unknown${i}`, 1])));
    expect(many.headers.get("x-hotset-warning")).toMatch(/^[ -~]{997}\.\.\.$/);
    await many.text();
    const none = await asked({ type: "object" });
    expect(none.headers.has("x-hotset-warning")).toBe(false);
    await none.text();
  });

  it("a keyword that cannot be enforced is refused by name", async () => {
    const schema = { type: "object", properties: { list: { type: "array", uniqueItems: true, minItems: 2 } } };
    const json_schema = { name: "x", strict: true, schema };
    const tool = { type: "function", function: { name: "x", strict: true, parameters: schema } };
    for (const more of [
      { response_format: { type: "json_schema", json_schema } },
      { response_format: { type: "json_schema", json_schema }, stream: true },
      { tools: [tool] },
      { tools: [tool], tool_choice: "required", stream: true },
    ]) {
      const { status, json } = await server.ask("/v1/chat/completions", { messages: MESSAGES, ...more });
      expect({ status, message: json.error.message }).toEqual({
        status: 400,
        message: expect.stringMatching(/uniqueItems/),
      });
    }
  });
});

describe("an answer whose client has disconnected", () => {
  const LONG = { messages: MESSAGES, temperature: 0, max_tokens: 1900, ignore_eos: true, stream: true };

  /**
   * Asks for a long stream and reads its beginning; the rest comes only when it is read or left.
   */
  async function begun(real: RealServer) {
    const controller = new AbortController();
    const response = await fetch(`${real.url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ model: "tales", ...LONG }),
      signal: controller.signal,
    });
    await response.body!.getReader().read();
    return controller;
  }

  it("gives up its turn, running or interrupted; the others are answered as ever", async () => {
    const real = await serveReal(model, { parallel: 1, queue: 2 });
    const sessions = model.stats().sessions;
    try {
      const first = await begun(real); // not read further: its place goes to the next
      const leaver = new AbortController();
      const long = { ...LONG, stream: false };
      const left = real.ask("/v1/chat/completions", long, leaver.signal).catch((error) => error.name);
      await expect.poll(() => real.chat.metrics(), PATIENT).toMatchObject({ running: 1, queued: 1 });
      const stays = real.say(STORY, GREEDY);
      leaver.abort();
      expect(await left).toBe("AbortError");
      first.abort();
      expect((await stays).choices[0]!.message.content).toBe(withoutSpace((await written(chatIds(STORY))).text));
      await expect.poll(() => real.metric("hotset_requests_running"), PATIENT).toBe(0);
      expect(real.chat.metrics()).toMatchObject({ running: 0, queued: 0 });
      expect(model.stats().sessions).toBe(sessions);
      expect(real.handed(), "no answer was computed to its end").toBeLessThan(1900);
    } finally {
      await real.close();
    }
  });

  it("others that are computed beside it do not notice", async () => {
    const real = await serveReal(model, { parallel: 4, queue: 0 });
    try {
      const prompts = [ONCE, "The king said", "In a dark forest"];
      const alone: string[] = [];
      for (const prompt of prompts) alone.push((await written(encode(prompt), { maxTokens: 60 })).text);
      const leaves = await begun(real);
      const others = prompts.map((prompt) => real.ask("/v1/completions", { prompt, temperature: 0, max_tokens: 60 }));
      await expect.poll(() => real.chat.metrics().running, PATIENT).toBeGreaterThan(1);
      leaves.abort();
      expect((await Promise.all(others)).map(({ json }) => json.choices[0]!.text)).toEqual(alone);
      await expect.poll(() => real.chat.metrics().running, PATIENT).toBe(0);
    } finally {
      await real.close();
    }
  });

  it("one too many is told to come back", async () => {
    const real = await serveReal(model, { parallel: 1, queue: 0 });
    try {
      const first = await begun(real);
      for (const more of [{}, { stream: true }]) {
        const { status, headers, json } = await real.ask("/v1/chat/completions", { messages: MESSAGES, ...more });
        expect({ status, code: json.error.code }).toEqual({ status: 503, code: "busy" });
        expect(Number(headers.get("retry-after"))).toBeGreaterThan(0);
        expect(headers.get("x-should-retry")).not.toBe("false");
      }
      first.abort();
      await expect.poll(() => real.chat.metrics().running, PATIENT).toBe(0);
      expect((await real.say(STORY, { max_tokens: 1 })).choices.length).toBe(1);
    } finally {
      await real.close();
    }
  });
});
