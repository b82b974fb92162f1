import { describe, expect, it } from "vitest";
import { DeviceError, MemoryError } from "../../src/errors.ts";
import { createBatch, readRequest, requestId } from "../../src/server/batch.ts";
import { type Act, fakeModel, standard } from "./fake_model.ts";

const ID = requestId("0123456789abcdef".repeat(4));
const LIMIT = 4096;
const never = (): AbortSignal => new AbortController().signal;
const messages = [{ role: "user", content: "hi" }];
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** The answer to a line, parsed. */
async function answered(line: string | Uint8Array | null, model = fakeModel()) {
  const given = typeof line === "string" ? bytes(line) : line;
  const { text, ok } = await createBatch(model, { signal: never() }).answer(readRequest(ID, given, LIMIT));
  expect(text.endsWith("\n")).toBe(true);
  expect(text.indexOf("\n")).toBe(text.length - 1);
  return { ok, ...(JSON.parse(text) as { id: string; custom_id: unknown; response: unknown; error: unknown }) };
}

const lineOf = (url: string, body: object, more: object = {}): string =>
  JSON.stringify({ custom_id: "a", method: "POST", url, body, ...more });

describe("a line of a batch", () => {
  it.each([
    ["/v1/chat/completions", { messages }, { object: "chat.completion", choices: [{ message: { content: "Hi" } }] }],
    ["/v1/completions", { prompt: "Once" }, { object: "text_completion", choices: [{ text: "Hi" }] }],
    ["/v1/embeddings", { input: "Once" }, { object: "list", data: [{ embedding: [0.5, -1, 2] }] }],
    ["/v1/responses", { input: "hi" }, { object: "response", status: "completed" }],
    ["/chat/completions", { messages, model: "any" }, { object: "chat.completion" }],
  ])("to %s is answered as the server answers it", async (url, body, expected) => {
    const { ok, ...line } = await answered(lineOf(url, body));
    expect(ok).toBe(true);
    expect(Object.keys(line)).toEqual(["id", "custom_id", "response", "error"]);
    expect(line).toMatchObject({
      id: "batch_req_0123456789abcdef0123456789abcdef",
      custom_id: "a",
      response: { status_code: 200, request_id: "req_0123456789abcdef0123456789abcdef", body: expected },
      error: null,
    });
  });

  it.each([
    ["no JSON", "{", null, "invalid_json_line", /^the line is not JSON: /],
    ["bytes that are no text", Uint8Array.of(0x22, 0xff, 0x22), null, "invalid_json_line", /not valid UTF-8$/],
    ["an array", "[]", null, "invalid_json_line", /found an array$/],
    ["a line that is too long", null, null, "invalid_request", /longer than 4096 bytes; --line-limit raises/],
    ["no custom_id", "{}", null, "missing_required_parameter", /^custom_id: expected a text .* found nothing$/],
    ["an empty custom_id", '{"custom_id":""}', null, "missing_required_parameter", /found an empty text$/],
    ["another method", lineOf("/v1/responses", {}, { method: "GET" }), "a", "invalid_method", /found "GET"$/],
    ["no url", '{"custom_id":"a","body":{}}', "a", "missing_required_parameter", /^url: expected one of \/v1/],
    ["another endpoint", lineOf("/v1/messages", {}), "a", "invalid_url", /found "\/v1\/messages"$/],
    ["no body", '{"custom_id":"a","url":"/v1/responses"}', "a", "missing_required_parameter", /^body: .* nothing$/],
    ["a stream", lineOf("/v1/responses", { stream: true }), "a", "invalid_request", /^body.stream: /],
  ])("with %s is answered with an error", async (_, line, customId, code, message) => {
    expect(await answered(line)).toEqual({
      ok: false,
      id: ID,
      custom_id: customId,
      response: null,
      error: { code, message: expect.stringMatching(message) },
    });
  });

  it("that the endpoint rejects has its status and error", async () => {
    const { ok, response, error } = await answered(lineOf("/v1/chat/completions", { messages: [] }));
    expect({ ok, error }).toEqual({ ok: false, error: null });
    expect(response).toMatchObject({ status_code: 400, body: { error: { param: "messages" } } });
  });

  it("whose answer fails has the failure; a lost device is thrown", async () => {
    const failing = (fail: Error) => fakeModel({ acts: (): Act[] => [{ say: "H" }, { fail }] });
    const line = lineOf("/v1/completions", { prompt: "a" });
    expect(await answered(line, failing(new MemoryError("no room")))).toMatchObject({
      ok: false,
      response: { status_code: 507, body: { error: { message: "no room" } } },
    });
    await expect(answered(line, failing(new DeviceError("device lost")))).rejects.toThrow("device lost");
  });

  it("stops with its signal", async () => {
    const model = fakeModel({ acts: (messages, options) => [{ wait: null }, ...standard(messages, options)] });
    const controller = new AbortController();
    const request = readRequest(ID, bytes(lineOf("/v1/chat/completions", { messages })), LIMIT);
    const answer = createBatch(model, { signal: controller.signal }).answer(request);
    await expect.poll(() => model.running()).toBe(1);
    controller.abort(new Error("enough"));
    await expect(answer).rejects.toThrow("enough");
    expect(model.running()).toBe(0);
  });
});
