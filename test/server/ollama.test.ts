import { describe, expect, it } from "vitest";
import type { ChatMessage, ChatOptions } from "../../src/engine/chat_api.ts";
import type { ModelView } from "../../src/engine/model_view.ts";
import { DeviceError, RequestError } from "../../src/errors.ts";
import { createApp } from "../../src/server/app.ts";
import { type Act, type Fake, fakeModel, type Script } from "./fake_model.ts";

const MESSAGES = [{ role: "user", content: "hi" }];
const says = (...acts: Act[]): Script => ({ acts: () => acts });

// Without a content type, as Ollama's callers send it.
const post = (path: string, body: object, model: Fake = fakeModel()): Promise<Response> =>
  Promise.resolve(
    createApp(model).request(path, { method: "POST", body: JSON.stringify({ model: "m:latest", ...body }) }),
  );

const linesOf = async (response: Response): Promise<Record<string, unknown>[]> =>
  (await response.text())
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

async function asked(
  path: string,
  body: object,
): Promise<{ messages?: readonly ChatMessage[]; prompt?: unknown; options: ChatOptions }> {
  const model = fakeModel();
  const response = await post(path, body, model);
  expect([response.status, await response.text()]).toEqual([200, expect.any(String)]);
  return model.asked[0]!;
}

const TOOL = { type: "function", function: { name: "f", description: "d", parameters: { type: "object" } } };

describe("/api/chat", () => {
  it("streams lines of JSON unless told otherwise; the last has the figures", async () => {
    const response = await post(
      "/api/chat",
      { messages: MESSAGES },
      fakeModel(says({ think: "Hm." }, { say: "H" }, { say: "i" })),
    );
    expect(response.headers.get("content-type")).toBe("application/x-ndjson");
    const lines = await linesOf(response);
    const head = { model: "m:latest", created_at: expect.stringMatching(/^\d{4}-.*Z$/) };
    expect(lines).toEqual([
      { ...head, message: { role: "assistant", content: "", thinking: "Hm." }, done: false },
      { ...head, message: { role: "assistant", content: "H" }, done: false },
      { ...head, message: { role: "assistant", content: "i" }, done: false },
      {
        ...head,
        message: { role: "assistant", content: "" },
        done: true,
        done_reason: "stop",
        total_duration: expect.any(Number),
        load_duration: 0,
        prompt_eval_count: expect.any(Number),
        prompt_eval_duration: 1e6,
        eval_count: 3,
        eval_duration: 1e6,
      },
    ]);
  });

  it("answers whole", async () => {
    const script = says({ say: "A" }, { call: "f", args: ['{"x":', "1}"] });
    const response = await post("/api/chat", { messages: MESSAGES, tools: [TOOL], stream: false }, fakeModel(script));
    expect(await response.json()).toMatchObject({
      message: {
        role: "assistant",
        content: "A",
        tool_calls: [{ id: "call00000", function: { name: "f", arguments: { x: 1 } } }],
      },
      done: true,
      done_reason: "stop",
    });
  });

  it("streams a call whole", async () => {
    const response = await post(
      "/api/chat",
      { messages: MESSAGES, tools: [TOOL] },
      fakeModel(says({ call: "f", args: ["{", "}"] })),
    );
    const [first] = await linesOf(response);
    expect(first).toMatchObject({ message: { tool_calls: [{ function: { name: "f", arguments: {} } }] } });
  });

  it("gives calls and results ids by their order and names", async () => {
    const call = (name: string) => ({ function: { name, arguments: { a: name } } });
    const messages = [
      { role: "system", content: "S" },
      { role: "user", content: "q" },
      { role: "assistant", content: "", thinking: "T", tool_calls: [call("f"), call("g"), call("f")] },
      { role: "tool", tool_name: "g", content: "of g" },
      { role: "tool", tool_name: "f", content: "first f" },
      { role: "tool", content: "second f" },
    ];
    const { messages: given } = await asked("/api/chat", { messages });
    const made = (id: string, name: string) => ({ id, name, arguments: JSON.stringify({ a: name }) });
    expect(given).toEqual([
      { role: "system", content: "S" },
      { role: "user", content: "q" },
      {
        role: "assistant",
        content: "",
        reasoning: "T",
        toolCalls: [made("call00000", "f"), made("call00001", "g"), made("call00002", "f")],
      },
      { role: "tool", content: "of g", toolCallId: "call00001", name: "g" },
      { role: "tool", content: "first f", toolCallId: "call00000", name: "f" },
      { role: "tool", content: "second f", toolCallId: "call00002" },
    ]);
  });

  it.each<[object, object]>([
    [
      { options: { temperature: 0.5, num_predict: 9, stop: ["x"], seed: 3, num_ctx: 4096 } },
      { temperature: 0.5, maxTokens: 9, stop: ["x"], seed: 3 },
    ],
    [{ think: "low" }, { reasoning: { enabled: true, effort: "low" } }],
    [{ think: false }, { reasoning: { enabled: false } }],
    [{ format: "json" }, { responseFormat: { type: "json" } }],
    [{ format: { type: "object" } }, { responseFormat: { type: "json_schema" } }],
    [{ tools: [TOOL] }, { tools: [{ name: "f", description: "d", parameters: { type: "object" } }] }],
  ])("%j", async (body, options) => {
    expect((await asked("/api/chat", { messages: MESSAGES, ...body })).options).toMatchObject(options);
  });

  it.each([-1, -2])("num_predict %i is no limit", async (length) => {
    expect(
      (await asked("/api/chat", { messages: MESSAGES, options: { num_predict: length }, format: "" })).options,
    ).not.toHaveProperty("maxTokens");
  });

  it("no messages: the model is there", async () => {
    const response = await post("/api/chat", { messages: [] });
    expect(await response.json()).toMatchObject({ done: true, done_reason: "load", message: { content: "" } });
  });

  it.each<[object, RegExp]>([
    [
      { messages: [{ role: "user", content: "a", images: ["x"] }] },
      /^messages\[0\].images: this model reads text only/,
    ],
    [
      { messages: [{ role: "tool", content: "a", tool_name: "f" }] },
      /^messages\[0\].tool_name: no call waits for this result, found "f"/,
    ],
    [{ messages: MESSAGES, options: { mirostat: 2 } }, /^options.mirostat: is not supported: there is no Mirostat/],
    [{ messages: MESSAGES, options: { temperature: -1 } }, /^options.temperature: expected a number from 0/],
    [{ messages: [{ role: "robot", content: "a" }] }, /^messages\[0\].role: expected one of/],
  ])("%j is an error as text", async (body, message) => {
    const response = await post("/api/chat", body);
    expect(response.status).toBe(400);
    expect(await response.json()).toEqual({ error: expect.stringMatching(message) });
  });

  it("failures: before the first line with a status, later as a line", async () => {
    const early = await post(
      "/api/chat",
      { messages: MESSAGES },
      fakeModel(says({ fail: new RequestError("too long") })),
    );
    expect([early.status, await early.json()]).toEqual([400, { error: "too long" }]);
    const late = await post(
      "/api/chat",
      { messages: MESSAGES },
      fakeModel(says({ say: "H" }, { fail: new DeviceError("the device was lost") })),
    );
    expect((await linesOf(late)).at(-1)).toEqual({ error: "the device was lost" });
  });
});

describe("/api/generate", () => {
  it("asks as a message of the user, with a system message", async () => {
    const { messages } = await asked("/api/generate", { prompt: "q", system: "S" });
    expect(messages).toEqual([
      { role: "system", content: "S" },
      { role: "user", content: "q" },
    ]);
    const response = await post("/api/generate", { prompt: "q", stream: false });
    expect(await response.json()).toMatchObject({ response: "Hi", done: true, done_reason: "stop" });
  });

  it("continues a raw prompt as it is", async () => {
    expect((await asked("/api/generate", { prompt: "Once", raw: true })).prompt).toBe("Once");
  });

  it("no prompt: the model is there; a suffix is refused", async () => {
    expect(await (await post("/api/generate", {})).json()).toMatchObject({ response: "", done_reason: "load" });
    expect(await (await post("/api/generate", { prompt: "a", suffix: "b" })).json()).toEqual({
      error: expect.stringMatching(/^suffix: is not supported/),
    });
  });
});

describe("models and embeddings", () => {
  const get = async (path: string) =>
    (await createApp(fakeModel()).request(path)).json() as Promise<Record<string, unknown>>;

  it("tell what clients look for", async () => {
    expect(await get("/api/version")).toEqual({ version: expect.stringMatching(/^\d+\.\d+\.\d+$/) });
    const named = {
      name: "fake-mixtral",
      model: "fake-mixtral",
      modified_at: expect.any(String),
      size: expect.any(Number),
      details: {},
    };
    expect(await get("/api/tags")).toMatchObject({ models: [named] });
    expect(await get("/api/ps")).toMatchObject({
      models: [{ ...named, expires_at: expect.any(String), context_length: expect.any(Number) }],
    });
    const show = await (await post("/api/show", {})).json();
    expect(show).toMatchObject({ details: {}, model_info: {}, capabilities: ["completion", "tools", "thinking"] });
  });

  it.each([
    ["ram", 13 + 123],
    ["gpu", 13],
  ] as const)("count the memory of a draft model, which is in RAM, beside one in %s", async (main, size_vram) => {
    const model = fakeModel();
    const draft = { name: "small", weights: "q4", memory: { weights: 100, kv: 20, scratch: 3 } };
    const metrics = () => ({ ...model.metrics(), speculation: { drafted: 0, accepted: 0, draft } });
    const view = { head: { main } } as ModelView;
    const answer = await createApp({ ...model, metrics, view }).request("/api/ps");
    expect(await answer.json()).toMatchObject({ models: [{ size_vram }] });
  });

  it("embeds one text or several", async () => {
    const several = (await (await post("/api/embed", { input: ["a", "b"] })).json()) as { embeddings: number[][] };
    expect(several.embeddings.map((one) => one.length > 0)).toEqual([true, true]);
    const one = (await (await post("/api/embeddings", { prompt: "a" })).json()) as { embedding: number[] };
    expect(one.embedding).toEqual(several.embeddings[0]);
    expect(await (await post("/api/embed", { input: [""] })).json()).toEqual({
      error: expect.stringMatching(/input\[0\]: expected a text/),
    });
  });
});
