import { describe, expect, it } from "vitest";
import { createApp } from "../../src/server/app.ts";
import { fakeModel } from "./fake_model.ts";

const app = createApp(fakeModel());
const messages = [{ role: "user", content: "hi" }];
const post = (path: string, body: object, headers: Record<string, string> = {}) =>
  app.request(path, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: JSON.stringify(body),
  });

/** Base URLs as clients of hosted services have them; what stands behind them is the API's. */
const BASES = [
  "",
  "/v1",
  "/api/v1",
  "/api/v7/llm",
  "/api/v7/llm/v1",
  "/openai/v1",
  "/inference/v1",
  "/openai/deployments/gpt-x",
  "/v1/v1",
];

describe.each(BASES)("the base URL %j", (base) => {
  it("has every endpoint", async () => {
    const chat = await post(`${base}/chat/completions`, { messages });
    expect(await chat.json()).toMatchObject({ object: "chat.completion" });
    expect(await (await post(`${base}/completions`, { prompt: "a" })).json()).toMatchObject({
      object: "text_completion",
    });
    expect((await post(`${base}/embeddings`, { input: "a" })).status).toBe(200);
    const message = await post(`${base}/messages`, { messages, max_tokens: 5 });
    expect(await message.json()).toMatchObject({ type: "message" });
    const count = await post(`${base}/messages/count_tokens`, { messages });
    expect(await count.json()).toEqual({ input_tokens: expect.any(Number) });
    expect(await (await app.request(`${base}/models`)).json()).toMatchObject({ data: [{ id: "fake-mixtral" }] });
    expect(await (await app.request(`${base}/models/a/b`)).json()).toMatchObject({ id: "a/b", object: "model" });
    expect((await post(`${base}/chat/completions/`, { messages })).status).toBe(200);
    expect((await app.request(`${base}/models/`)).status).toBe(200);
  });
});

describe("paths and methods", () => {
  it.each([
    ["GET", "/", 200],
    ["HEAD", "/", 200],
    ["GET", "/v1", 404],
    ["GET", "/v1/models/", 200],
    ["GET", "/v1/models/anything", 200],
    ["GET", "/v1/models/..%2f..%2fetc%2fpasswd", 404],
    ["GET", "/v1/models/%zz", 404],
    ["GET", "/v1/models/../../etc/passwd", 404],
    ["GET", "//v1//models", 200],
    ["GET", "/V1/MODELS", 404],
    ["GET", "/v1/models%00", 404],
    ["GET", "/api/models", 404],
    ["GET", "/other/v1/models", 404],
    ["GET", "/api/v7/llm", 404],
    ["GET", "/api/v7/llmmodels", 404],
    ["GET", "/api/v7/llm/health", 200],
    ["POST", "/v1/responses/x", 404],
    ["GET", "/v1/chat/completions", 405],
    ["POST", "/v1/models", 405],
    ["DELETE", "/v1/models/fake-mixtral", 405],
    ["PUT", "/v1/messages", 405],
    ["HEAD", "/health", 200],
  ])("%s %s: %i", async (method, path, status) => {
    const response = await createApp(fakeModel()).request(`http://localhost${path}`, { method });
    expect(response.status).toBe(status);
    if (status >= 400) expect(await response.json()).toHaveProperty("error");
  });

  it("an Anthropic client whose base URL has a /v1 of its own", async () => {
    const response = await post("/anthropic/v1/v1/messages", { messages, max_tokens: 5 });
    expect(await response.json()).toMatchObject({ type: "message" });
  });
});

const VERSION = { "anthropic-version": "2023-06-01" };
const OPENROUTER = { "user-agent": "speakeasy-sdk/typescript 1.3.19 2.914.0 1.0.0 @openrouter/sdk" };

describe("a path that is not there is named, in the shape that its clients read", () => {
  it.each<[string, Record<string, string>, (message: string) => object]>([
    ["/v1/nothing", {}, (message) => ({ error: { message, type: "not_found_error", param: null, code: null } })],
    [
      "/v1/responses/x",
      VERSION,
      (message) => ({ error: { message, type: "not_found_error", param: null, code: null } }),
    ],
    ["/v1/messages/batches", {}, (message) => ({ type: "error", error: { type: "not_found_error", message } })],
    ["/api/v7/llm/v1/messages/x", {}, (message) => ({ type: "error", error: { type: "not_found_error", message } })],
    ["/v1/files", VERSION, (message) => ({ type: "error", error: { type: "not_found_error", message } })],
    ["/api/nothing", {}, (message) => ({ error: message })],
    ["/api/v1/credits", {}, (message) => ({ error: { code: 404, message, type: "not_found_error" } })],
    [
      "/v1/fim/completions",
      { "user-agent": "mistral-client-typescript/2.7.0" },
      (message) => ({ object: "error", message, type: "not_found_error", code: null, error: { message } }),
    ],
    ["/v1/credits", OPENROUTER, (message) => ({ error: { code: 404, message, type: "not_found_error" } })],
  ])("%s %j", async (path, headers, shape) => {
    const response = await app.request(path, { headers });
    expect(response.status).toBe(404);
    const body = (await response.json()) as { error: string | { message: string } };
    const message = typeof body.error === "string" ? body.error : body.error.message;
    expect(message).toMatch(new RegExp(`^there is nothing at ${path};`));
    expect(body).toMatchObject(shape(message));
  });
});

describe("samples of hosted services, with nothing but the host replaced", () => {
  const key = createApp(fakeModel(), { apiKey: "your_api_key" });
  const MODELSLAB =
    '{"key":"your_api_key","model_id":"mixtral-8x7b","messages":[{"role":"user","content":"hi"}],"max_tokens":20}';
  const send = (path: string, body: string, headers: Record<string, string>) =>
    key.request(path, { method: "POST", headers, body });

  it.each<[string, Record<string, string>]>([
    ["requests.post(json=...), fetch() with its header, curl -H", { "content-type": "application/json" }],
    ["requests.post(data=json.dumps(...))", { "content-type": "", "user-agent": "python-requests/2.32.3" }],
    ["fetch() without a header, in Node", { "content-type": "text/plain;charset=UTF-8", "sec-fetch-mode": "cors" }],
    ["curl -d, PHP's CURLOPT_POSTFIELDS", { "content-type": "application/x-www-form-urlencoded" }],
  ])("ModelsLab: %s", async (_, headers) => {
    const chat = await send("/api/v7/llm/chat/completions", MODELSLAB, headers);
    expect(await chat.json()).toMatchObject({ choices: [{ message: { content: "Hi" } }] });
    const message = await send("/api/v7/llm/v1/messages", MODELSLAB, headers);
    expect(await message.json()).toMatchObject({ content: [{ text: "Hi" }] });
    const count = await send("/api/v7/llm/v1/messages/count_tokens", MODELSLAB, headers);
    expect(await count.json()).toEqual({ input_tokens: 5 });
    const streamed = await send("/api/v7/llm/chat/completions", MODELSLAB.replace("{", '{"stream":true,'), headers);
    expect(await streamed.text()).toMatch(/data: \[DONE\]\n\n$/);
    const models = await key.request("/api/v7/llm/v1/models", { headers: { authorization: "Bearer your_api_key" } });
    expect(models.status).toBe(200);
  });

  it("OpenRouter: with the headers of a site", async () => {
    const headers = {
      authorization: "Bearer your_api_key",
      "content-type": "application/json",
      "HTTP-Referer": "https://a.example",
      "X-Title": "A",
    };
    const body = JSON.stringify({ model: "mistralai/mixtral-8x7b-instruct", messages });
    const response = await send("/api/v1/chat/completions", body, headers);
    expect(await response.json()).toMatchObject({ choices: [{ message: { content: "Hi" } }] });
    expect((await send("/api/v1/chat/completions", JSON.stringify({ messages }), headers)).status).toBe(200);
  });
});
