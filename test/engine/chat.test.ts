// model.chat() and model.serving() over random tiny models: tools in Mistral's own format and in
// the JSON protocol, formats, echo, turns.

import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type {
  ChatEvent,
  ChatFinish,
  ChatMessage,
  ChatOptions,
  ToolCall,
  ToolDefinition,
} from "../../src/engine/chat_api.ts";
import type { Model } from "../../src/engine/model.ts";
import { RequestError } from "../../src/errors.ts";
import { open } from "../../src/index.ts";
import { turn } from "../../src/turn.ts";
import { CONTROL_FILES, TALES_FILES } from "../chat/support.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";
import { EVERYTHING, leftToCi } from "../support/level.ts";
import { some } from "../support/some.ts";
import { writeTinyFolder } from "../support/tiny_folder.ts";

const V3 = "fixtures/tokenizers/mistral-v3/tokenizer.model";
const { path: v3, skip } = inShared(V3);

/** The vocabularies with control tokens: one made in the repository, and Mistral's own. */
const VOCABULARIES = [
  { name: "tales' vocabulary with control tokens", files: () => CONTROL_FILES, V: 4105, skip: null },
  { name: "Mistral's v3", files: () => ({ "tokenizer.model": new Uint8Array(readFileSync(v3)) }), V: 32_768, skip },
] as const;

const weather: ToolDefinition = {
  name: "weather",
  description: "What the weather is",
  parameters: {
    type: "object",
    properties: { city: { type: "string", maxLength: 8 }, unit: { enum: ["C", "F"] } },
    required: ["city", "unit"],
    additionalProperties: false,
  },
};
const add: ToolDefinition = {
  name: "add",
  parameters: {
    type: "object",
    properties: { a: { type: "integer", minimum: -99, maximum: 99 } },
    required: ["a"],
    additionalProperties: false,
  },
};
const tools = [weather, add];
const user: ChatMessage = { role: "user", content: "How is the weather in Rome?" };

interface Whole {
  readonly text: string;
  readonly calls: ToolCall[];
  readonly finish: ChatFinish;
}

async function whole(events: AsyncIterable<ChatEvent>): Promise<Whole> {
  let text = "";
  const calls: { id: string; name: string; arguments: string }[] = [];
  let finish: ChatFinish | null = null;
  for await (const event of events) {
    expect(finish, "nothing follows the finish event").toBeNull();
    if (event.type === "text") text += event.text;
    else if (event.type === "tool_call") {
      expect(event.index).toBe(calls.length);
      calls.push({ id: event.id, name: event.name, arguments: "" });
    } else if (event.type === "tool_arguments") calls[event.index]!.arguments += event.text;
    else if (event.type === "finish") finish = event;
  }
  return { text, calls, finish: finish! };
}

/**
 * Cuts an answer of calls that have to be at every token, or at some: each call that is whole by
 * then is there, of the rest nothing. The first seed that gives two calls counts.
 */
async function cutEverywhere(chat: (options: ChatOptions) => Promise<Whole>, step = 1): Promise<void> {
  const go = { name: "go", parameters: { type: "object", properties: { on: { type: "boolean" } }, required: ["on"] } };
  const shown = ({ calls }: Whole) => calls.map(({ name, arguments: text }) => `${name}(${text})`);
  for (let seed = 1; ; seed++) {
    const options = { tools: [go], toolChoice: "required", seed } as const;
    const full = await chat({ ...options, maxTokens: 200 });
    if (full.calls.length < 2 && seed < 50) continue;
    expect(full.calls.length).toBeGreaterThan(1);
    let most = 0;
    for (let maxTokens = 1; maxTokens < full.finish.usage.completionTokens; maxTokens += step) {
      const cut = await chat({ ...options, maxTokens, ...(maxTokens % 2 && { logprobs: 1 }) });
      expect({ text: cut.text, reason: cut.finish.reason }).toEqual({ text: "", reason: "length" });
      expect(shown(cut)).toEqual(shown(full).slice(0, cut.calls.length));
      expect(cut.calls.length).toBeGreaterThanOrEqual(most);
      most = cut.calls.length;
    }
    expect(most).toBeGreaterThan(0);
    return;
  }
}

/** Every call is one of a tool, by its schema, with an id of the trained form that no other has. */
function checkCalls(calls: readonly ToolCall[]): void {
  expect(calls.length).toBeGreaterThan(0);
  expect(new Set(calls.map(({ id }) => id)).size).toBe(calls.length);
  for (const { id, name, arguments: text } of calls) {
    expect(id).toMatch(/^[a-zA-Z0-9]{9}$/);
    const tool = tools.find((one) => one.name === name)!;
    expect(new Ajv2020().validate(tool.parameters!, JSON.parse(text)), text).toBe(true);
  }
}

describe.each(VOCABULARIES)("$name", ({ files, V, skip: missing }) => {
  const run = it.skipIf(missing !== null);
  const say = (title: string): string => titled(title, missing);
  let model: Model;
  let folder: ReturnType<typeof writeTinyFolder>;
  let callsId: number;
  beforeAll(async () => {
    if (missing !== null) return;
    folder = writeTinyFolder(files(), V);
    model = await open(folder.path, { backend: "cpu", weights: "f32", threads: 1 });
    callsId = model.tokenizer.pieceToId("[TOOL_CALLS]")!;
  });
  afterAll(async () => {
    await model?.close();
    folder?.remove();
  });
  const chat = (messages: readonly ChatMessage[], options: ChatOptions): Promise<Whole> =>
    whole(model.chat(messages, { maxTokens: 600, temperature: 1, seed: 1, ...options }));

  run.each(some([1, 2], 1))(say("one call that must come, and its result (seed %i)"), async (seed) => {
    const options = { tools, seed, toolChoice: "required", parallelToolCalls: false } as const;
    const { text, calls, finish } = await chat([user], options);
    expect(text).toBe("");
    expect(finish.reason).toBe("tool_calls");
    expect(calls.length).toBe(1);
    checkCalls(calls);
    const round: ChatMessage[] = [
      user,
      { role: "assistant", toolCalls: calls },
      { role: "tool", toolCallId: calls[0]!.id, content: "sunny" },
    ];
    const answer = await chat(round, { tools, seed, toolChoice: "none", maxTokens: 20 });
    expect(answer.calls).toEqual([]);
    expect(answer.finish.usage.promptTokens).toBe(model.serving().countTokens(round, { tools, toolChoice: "none" }));
    const again = await chat(round, { tools, seed, toolChoice: { name: "add" } });
    checkCalls(again.calls);
    expect(again.calls.map(({ name }) => name)).toEqual(["add"]);
  });

  run(say("calls side by side, each whole, and none that was cut off by the length"), async () => {
    // A list that does not end: neither by its bracket, nor by white space that only the bracket
    // may follow.
    const { tokenizer } = model;
    const ends = (bytes: Uint8Array): boolean => bytes.includes(0x5d) || /^\s+$/.test(new TextDecoder().decode(bytes));
    const closers = Array.from({ length: V }, (_, id) => id).filter((id) => ends(tokenizer.tokenBytes(id)));
    const logitBias = Object.fromEntries(closers.map((id) => [id, -100]));
    for (const seed of [1, 2]) {
      const options = { tools, seed, toolChoice: "required", maxTokens: 300, logitBias } as const;
      const { calls, finish, text } = await chat([user], options);
      expect({ reason: finish.reason, text }).toEqual({ reason: "length", text: "" });
      checkCalls(calls);
      expect(calls.length).toBeGreaterThan(1);
    }
  });

  run(say("cut at any token: calls that are whole, and nothing of the others"), () =>
    cutEverywhere((options) => chat([user], options), 5),
  );

  run(say("calls that the model chooses are held to the schema from the control token on"), async () => {
    const { calls, finish, text } = await chat([user], {
      tools,
      logitBias: { [callsId]: 100 },
      parallelToolCalls: false,
    });
    expect({ text, reason: finish.reason }).toEqual({ text: "", reason: "tool_calls" });
    checkCalls(calls);
  });

  run(say("a format or calls: without the control token an object, with it calls"), async () => {
    const schema = {
      type: "object",
      properties: { b: { type: "boolean" } },
      required: ["b"],
      additionalProperties: false,
    };
    const responseFormat = { type: "json_schema", schema, strict: true } as const;
    const object = await chat([user], { tools, responseFormat, logitBias: { [callsId]: -100 } });
    expect(new Ajv2020().validate(schema, JSON.parse(object.text)), object.text).toBe(true);
    const called = await chat([user], {
      tools,
      responseFormat,
      logitBias: { [callsId]: 100 },
      parallelToolCalls: false,
    });
    checkCalls(called.calls);
  });

  run(say("tool_choice none: no call, whatever the model writes"), async () => {
    const { calls, text } = await chat([user], {
      tools,
      toolChoice: "none",
      logitBias: { [callsId]: 100 },
      maxTokens: 10,
    });
    expect(calls).toEqual([]);
    expect(text).not.toContain("TOOL_CALLS");
  });

  run(
    say("a schema that cannot be enforced is refused before anything is said, where the tool is strict"),
    async () => {
      const sort = {
        name: "sort",
        parameters: { properties: { list: { type: "array", uniqueItems: true, minItems: 2 } } },
      };
      for (const toolChoice of ["auto", "required"] as const) {
        const strict = chat([user], { tools: [{ ...sort, strict: true }], toolChoice });
        await expect(strict).rejects.toThrow(RequestError);
        await expect(strict).rejects.toThrow(/tool "sort".*uniqueItems/);
        expect((await chat([user], { tools: [sort], toolChoice, maxTokens: 3 })).finish.reason).toMatch(/length|stop/);
      }
    },
  );
});

describe("a model without control tokens", () => {
  const CONTEXT = 1024;
  let model: Model;
  let folder: ReturnType<typeof writeTinyFolder>;
  beforeAll(async () => {
    folder = writeTinyFolder(TALES_FILES, 4096, { context: CONTEXT });
    model = await open(folder.path, { backend: "cpu", weights: "f32", threads: 1 });
  });
  afterAll(async () => {
    await model?.close();
    folder?.remove();
  });
  const chat = (messages: readonly ChatMessage[], options: ChatOptions): Promise<Whole> =>
    whole(model.chat(messages, { maxTokens: 600, temperature: 1, seed: 1, ...options }));

  it("calls tools by the JSON protocol, in its own time or when it must", async () => {
    for (let seed = 0; seed < (EVERYTHING ? 2 : 1); seed++) {
      const must = await chat([user], { tools, seed, toolChoice: "required", parallelToolCalls: false });
      expect({ text: must.text, reason: must.finish.reason }).toEqual({ text: "", reason: "tool_calls" });
      checkCalls(must.calls);
      const brace = model.tokenizer.encode("{", { addBos: false });
      // An answer that begins with a brace, by its own choice.
      const own = await chat([user], { tools, seed, parallelToolCalls: false, logitBias: { [brace.at(-1)!]: 100 } });
      checkCalls(own.calls);
    }
  });

  it.skipIf(leftToCi)(titled("cut at any token: calls that are whole, and nothing of the others", leftToCi), () =>
    cutEverywhere((options) => chat([user], options)),
  );

  it("echo: the prompt's text with the probabilities that model.logits() gives, the first without one", async () => {
    const ids = model.tokenizer.encode("Once upon a time, naïve 漢", { addBos: true });
    const V = model.config.vocab_size;
    const logits = await model.logits(ids);
    const echoed: { text: string; id: number; logprob: number; top: number }[] = [];
    for await (const event of model.serving().complete(ids, { echo: true, logprobs: 1, maxTokens: 0 })) {
      if (event.type !== "text") continue;
      const [one] = event.logprobs!;
      echoed.push({ text: event.text, id: one!.id, logprob: one!.logprob, top: one!.top[0]?.id ?? -1 });
    }
    expect(echoed.map(({ id }) => id)).toEqual(ids);
    expect(echoed.map(({ text }) => text).join("")).toBe(model.tokenizer.decode(ids));
    expect(echoed[0]).toMatchObject({ logprob: Number.NaN, top: -1 });
    for (const [t, { id, logprob, top }] of echoed.entries()) {
      if (t === 0) continue;
      const row = logits.subarray((t - 1) * V, t * V);
      const sum = row.reduce((total, x) => total + Math.exp(x), 0);
      expect(logprob).toBeCloseTo(row[id]! - Math.log(sum), 4);
      expect(row[top]).toBe(Math.max(...row));
    }
    const plain = await whole(model.serving().complete(ids, { echo: true, maxTokens: 0 }));
    expect(plain.text).toBe(model.tokenizer.decode(ids));
  });

  it("an echo takes a turn, as everything that is computed", async () => {
    const serving = model.serving({ parallel: 1, queue: 0 });
    const first = serving.complete("Once", { echo: true, logprobs: 0, maxTokens: 1 });
    expect((await first.next()).value).toMatchObject({ type: "text" });
    expect(serving.metrics()).toMatchObject({ running: 1, queued: 0 });
    const second = serving.complete("Once", { echo: true, logprobs: 0, maxTokens: 1 });
    await expect(second.next()).rejects.toThrow(/try again/);
    await first.return?.();
    expect(serving.metrics()).toMatchObject({ running: 0, queued: 0 });
    expect(model.stats().sessions).toBe(0);
  });

  it.each<[string, number[], string | undefined]>([
    ["no tokens", [], undefined],
    ["an id outside the vocabulary", [1, 4096], undefined],
    ["an id that is no whole number", [1, 2.5], undefined],
    ["more tokens than the context has room for", Array(CONTEXT).fill(5), "context_length_exceeded"],
  ])("a prompt of %s is refused before its echo", async (_, ids, code) => {
    const refused = model.serving().complete(ids, { echo: true }).next();
    await expect(refused).rejects.toMatchObject({ name: "RequestError", detail: code ? { code } : {} });
  });

  it("a prompt as long as the context can be echoed, and has no room for an answer", async () => {
    const { finish } = await whole(model.serving().complete(Array(CONTEXT).fill(5), { maxTokens: 0, echo: true }));
    expect(finish).toMatchObject({ reason: "length", usage: { promptTokens: CONTEXT, completionTokens: 0 } });
  });

  const waits = "an answer that others leave no memory for waits and is given, the same as alone";
  it.skipIf(leftToCi)(titled(waits, leftToCi), async () => {
    const tales = inRepo("models/tales");
    const options = { backend: "cpu", weights: "q4", threads: 1, context: 1024 } as const;
    const small = await open(tales, { ...options, ram: 1 << 20 }).catch((error: Error) => error.message);
    const least = Number(/ is (\d+) MiB/.exec(String(small))?.[1]);
    const other = await open(tales, { ...options, ram: (least + 1) * 2 ** 20 });
    try {
      const serving = other.serving({ parallel: 5 });
      const ask = (first: number, length: number) =>
        whole(
          serving.complete(
            Array.from({ length }, (_, i) => 3 + ((first * i) % 4000)),
            { maxTokens: 50, ignoreEos: true, temperature: 0 },
          ),
        );
      const lengths = [serving.context - 100, serving.context - 300, 40, serving.context / 2, 60];
      const alone = [];
      for (const [i, length] of lengths.entries()) alone.push((await ask(7 + i, length)).text);
      const together = await Promise.all(lengths.map((length, i) => ask(7 + i, length)));
      expect(together.map(({ text }) => text)).toEqual(alone);
      expect(serving.metrics()).toMatchObject({ running: 0, waiting: 0, kv: { used: 0 } });
      expect(serving.metrics().kv.capacity).toBeLessThan(2 * serving.context);
    } finally {
      await other.close();
    }
  });

  it("closing the model ends those who wait", async () => {
    const other = await open(folder.path, { backend: "cpu", weights: "f32", threads: 1 });
    const serving = other.serving({ parallel: 1, queue: 1 });
    const first = serving.chat([user], { maxTokens: 400 });
    await first.next();
    const waits = serving.chat([user]).next();
    const refused = expect(waits).rejects.toThrow("the model is closed");
    // At once: the first one reads no more, so its place would soon be given away.
    while (serving.metrics().queued < 1) await turn();
    await other.close();
    await refused;
    await expect(serving.chat([user]).next()).rejects.toThrow("the model is closed");
    await first.return?.();
  });
});
