import { describe, expect, it } from "vitest";
import { createApp } from "../../src/server/app.ts";
import { eventsOf, type Fake, fakeModel, idsOf } from "./fake_model.ts";

async function post(path: string, body: object, model: Fake = fakeModel()): Promise<Response> {
  const headers = { "content-type": "application/json" };
  return createApp(model).request(path, { method: "POST", headers, body: JSON.stringify({ model: "any", ...body }) });
}

interface Completion {
  readonly choices: {
    readonly index: number;
    readonly text: string;
    readonly finish_reason: string;
    readonly logprobs: {
      readonly tokens: string[];
      readonly token_logprobs: (number | null)[];
      readonly top_logprobs: (Record<string, number> | null)[];
      readonly text_offset: number[];
    } | null;
  }[];
  readonly usage: Record<string, unknown>;
}

async function complete(body: object, model?: Fake): Promise<Completion> {
  const response = await post("/v1/completions", body, model);
  expect(response.status).toBe(200);
  return (await response.json()) as Completion;
}

describe("/v1/completions", () => {
  it.each<[string, unknown, string[]]>([
    ["a text", "ab", ["abHi"]],
    ["texts", ["ab", "c"], ["abHi", "cHi"]],
    ["token ids", idsOf("ab"), ["abHi"]],
    ["lists of token ids", [idsOf("ab"), idsOf("c")], ["abHi", "cHi"]],
    ["no text at all", "", ["Hi"]],
  ])("%s", async (_, prompt, texts) => {
    const { choices } = await complete({ prompt, echo: true });
    expect(choices.map(({ index, text }) => [index, text])).toEqual(texts.map((text, i) => [i, text]));
  });

  it("16 tokens where no number is given, and two answers to each prompt", async () => {
    const model = fakeModel();
    const { choices, usage } = await complete({ prompt: ["a", "b"], n: 2, seed: 1 }, model);
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(model.asked.map(({ prompt, options }) => [prompt, options.maxTokens, options.seed])).toEqual([
      ["a", 16, 1],
      ["a", 16, 2],
      ["b", 16, 1],
      ["b", 16, 2],
    ]);
    expect(usage).toMatchObject({ prompt_tokens: 2, completion_tokens: 8, total_tokens: 10 });
  });

  it("log probabilities in the legacy shape", async () => {
    const { choices } = await complete({ prompt: "x\u{1F600}", echo: true, logprobs: 2 });
    expect(choices[0]?.logprobs).toEqual({
      tokens: ["x", "\u{1F600}", "H", "i"],
      token_logprobs: [null, -0.5, -0.5, -0.5],
      top_logprobs: [null, { "\u{1F600}": -0.5, "?": -2 }, { H: -0.5, "?": -2 }, { i: -0.5, "?": -2 }],
      text_offset: [0, 1, 2, 3],
    });
  });

  // lm-eval 0.4.13, models/openai_completions.py, LocalCompletionsAPI: what it sends and how it
  // reads the answer.
  it("a loglikelihood as lm-eval asks for it", async () => {
    const context = idsOf("The cat");
    const body = {
      prompt: [[...context, ...idsOf(" sat")]],
      temperature: 0,
      max_tokens: 1,
      logprobs: 1,
      seed: 1234,
      echo: true,
    };
    const { choices } = await complete(body, fakeModel({ acts: () => [{ say: "!" }] }));
    const { token_logprobs, top_logprobs } = choices[0]!.logprobs!;
    const scored = token_logprobs.slice(context.length, -1);
    expect(scored).toEqual([-0.5, -0.5, -0.5, -0.5]);
    const tops = top_logprobs.slice(context.length, -1).map((top) => Math.max(...Object.values(top!)));
    expect(tops).toEqual(scored);
  });

  it("a stream: offsets go on", async () => {
    const response = await post("/v1/completions", {
      prompt: "x",
      logprobs: 0,
      stream: true,
      stream_options: { include_usage: true },
    });
    const events = eventsOf(await response.text()).map(({ data }) => data as Completion | "[DONE]");
    expect(events.pop()).toBe("[DONE]");
    const chunks = events as Completion[];
    expect(chunks.pop()).toMatchObject({ choices: [], usage: { completion_tokens: 2 } });
    expect(
      chunks.map(({ choices: [one] }) => [one?.text, one?.logprobs?.text_offset ?? null, one?.finish_reason]),
    ).toEqual([
      ["H", [0], null],
      ["i", [1], null],
      ["", null, "stop"],
    ]);
  });

  it.each<[object, RegExp]>([
    [{}, /^prompt: is required/],
    [{ prompt: [] }, /^prompt: expected a text, token ids/],
    [{ prompt: {} }, /^prompt: expected a text, token ids/],
    [{ prompt: [1, "a"] }, /^prompt\[1\]: expected a token id/],
    [{ prompt: [[1, -1]] }, /^prompt\[0\]\[1\]: expected a token id, found -1/],
    [{ prompt: ["a", 1] }, /^prompt\[1\]/],
    [{ prompt: Array(2049).fill("a") }, /^prompt: expected at most 2048/],
    [{ prompt: "a", best_of: 3 }, /^best_of/],
    [{ prompt: "a", suffix: "b" }, /^suffix/],
    [{ prompt: "a", logprobs: 21 }, /^logprobs: .*0 to 20/],
    [{ prompt: "a", logprobs: true }, /^logprobs: .*found true/],
    [{ prompt: "a", max_tokens: -2 }, /^max_tokens/],
  ])("refuses %j", async (body, message) => {
    const response = await post("/v1/completions", body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { message: expect.stringMatching(message) } });
  });
});

describe("/v1/embeddings", () => {
  it("as numbers and as base64 of floats", async () => {
    const numbers = await (await post("/v1/embeddings", { input: ["ab", "c"] })).json();
    expect(numbers).toMatchObject({
      object: "list",
      data: [0, 1].map((index) => ({ object: "embedding", index, embedding: [0.5, -1, 2] })),
      usage: { prompt_tokens: 3, total_tokens: 3 },
    });
    const { data } = (await (await post("/v1/embeddings", { input: [65, 66], encoding_format: "base64" })).json()) as {
      data: { embedding: string }[];
    };
    const bytes = Uint8Array.from(atob(data[0]!.embedding), (one) => one.charCodeAt(0));
    expect([...new Float32Array(bytes.buffer)]).toEqual([0.5, -1, 2]);
  });

  it.each([
    [{}, /required/],
    [{ input: "" }, /empty/],
    [{ input: [] }, /empty/],
    [{ input: ["a", ""] }, /^input\[1\]/],
    [{ input: [["a"]] }, /^input\[0\]\[0\]/],
    [{ input: Array(513).fill("a") }, /at most 512/],
    [{ input: "a", dimensions: 3 }, /^dimensions/],
  ])("refuses %j", async (body, message) => {
    const response = await post("/v1/embeddings", body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ error: { message: expect.stringMatching(message) } });
  });
});

describe("/tokenize and /detokenize", () => {
  it("in vLLM's words and in llama.cpp's", async () => {
    expect(await (await post("/tokenize", { prompt: "ab" })).json()).toEqual({
      tokens: [1, 97, 98],
      count: 3,
      max_model_len: 4096,
    });
    expect(await (await post("/tokenize", { content: "ab", add_special: false })).json()).toMatchObject({
      tokens: [97, 98],
    });
    expect(await (await post("/detokenize", { tokens: [97, 98] })).json()).toEqual({ prompt: "ab", content: "ab" });
    expect((await post("/detokenize", { tokens: [0.5] })).status).toBe(400);
  });
});
