import { describe, expect, it } from "vitest";
import { BusyError, DeviceError } from "../../src/errors.ts";
import { createApp } from "../../src/server/app.ts";
import { createLog } from "../../src/server/log.ts";
import { ServerState } from "../../src/server/state.ts";
import type { RequestSummary } from "../../src/server/tracked_request.ts";
import { type Act, fakeModel } from "./fake_model.ts";

const HEADERS = { "content-type": "application/json" };
const MESSAGES = [{ role: "user", content: "hi" }];
const CHAT = ["/v1/chat/completions", { model: "m", messages: MESSAGES }] as const;
const STREAM = ["/v1/chat/completions", { model: "m", messages: MESSAGES, stream: true }] as const;
const ANTHROPIC = ["/v1/messages", { model: "m", max_tokens: 9, messages: MESSAGES, stream: true }] as const;
const LEGACY = ["/v1/completions", { model: "m", prompt: "abc", stream: true }] as const;

/** How a client takes its answer. */
type Reader = (response: Response, state: ServerState) => Promise<void>;
const toTheEnd: Reader = async (response) => void (await response.text());
/** Reads until some text came. */
async function untilText(response: Response): Promise<ReadableStreamDefaultReader<string>> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ""; !text.includes('"c"'); ) text += (await reader.read()).value ?? "";
  return reader;
}
const leaves: Reader = async (response) => (await untilText(response)).cancel();
const serverCloses: Reader = async (response, state) => {
  const reader = await untilText(response);
  state.close("the server is closing");
  while (!(await reader.read()).done);
};

const words: Act[] = ["a", "b", "c"].map((say) => ({ say }));
const waits: Act[] = [...words, { wait: null }];

async function asked(acts: Act[], [path, body]: readonly [string, object], read: Reader, headers: object = {}) {
  const records: RequestSummary[] = [];
  const state = new ServerState(fakeModel({ acts: () => acts }));
  const app = createApp(state, { onRequest: (record) => records.push(record) });
  const request = { method: "POST", headers: { ...HEADERS, ...headers }, body: JSON.stringify(body) };
  const response = await app.request(path, request);
  await read(response, state);
  await expect.poll(() => records.length).toBe(1);
  const metrics = await (await app.request("/metrics")).text();
  const counted = (name: string) =>
    (metrics.match(new RegExp(`^hotset_${name}\\{.*\\} [^0].*$`, "gm")) ?? []).map((line) =>
      line.replace(/^.*\{(.*)\} (\d+)$/, "$1 $2").replaceAll('"', ""),
    );
  return { record: records[0]!, response, counted };
}

describe("what becomes of a request", () => {
  it.each<[string, Act[], readonly [string, object], Reader, number, string, string, number]>([
    ["whole", words, CHAT, toTheEnd, 200, "ok", "stop", 3],
    ["a stream", words, STREAM, toTheEnd, 200, "ok", "stop", 3],
    ["Anthropic's stream", words, ANTHROPIC, toTheEnd, 200, "ok", "stop", 3],
    ["a stream of the legacy API", words, LEGACY, toTheEnd, 200, "ok", "stop", 3],
    [
      "a stream that fails",
      [...words, { fail: new DeviceError("lost") }],
      STREAM,
      toTheEnd,
      500,
      "failed",
      "failed",
      3,
    ],
    [
      "Anthropic's, failing",
      [...words, { fail: new BusyError("no") }],
      ANTHROPIC,
      toTheEnd,
      503,
      "failed",
      "failed",
      3,
    ],
    ["a stream whose client leaves", waits, STREAM, leaves, 499, "cancelled", "cancelled", 3],
    ["Anthropic's, left", waits, ANTHROPIC, leaves, 499, "cancelled", "cancelled", 3],
    ["the legacy API's, left", waits, LEGACY, leaves, 499, "cancelled", "cancelled", 3],
    ["a stream when the server closes", waits, STREAM, serverCloses, 503, "failed", "failed", 3],
    ["one that fails at once", [{ fail: new DeviceError("lost") }], STREAM, toTheEnd, 500, "failed", "failed", 0],
    ["one for which there is no room", [{ fail: new BusyError("no") }], STREAM, toTheEnd, 503, "refused", "refused", 0],
  ])("%s", async (_, acts, [path, body], read, status, outcome, answer, tokens) => {
    const { record, counted } = await asked(acts, [path, body], read);
    expect(record).toMatchObject({ method: "POST", path, status, outcome, completionTokens: tokens });
    expect(record.error === null).toBe(outcome === "ok");
    expect(counted("requests_total")).toEqual([`endpoint=${path},status=${status} 1`]);
    expect(counted("answers_total")).toEqual([`outcome=${answer} 1`]);
    expect(counted("tokens_total").filter((line) => line.startsWith("kind=completion"))).toEqual(
      tokens > 0 ? [`kind=completion ${tokens}`] : [],
    );
  });

  it("a request that is wrong is no answer", async () => {
    const { record, counted } = await asked(words, ["/v1/chat/completions", { messages: 7 }], toTheEnd);
    expect(record).toMatchObject({ status: 400, outcome: "refused", completionTokens: 0, finish: [] });
    expect(counted("answers_total")).toEqual([]);
  });

  it("several answers to one request add up", async () => {
    const { record } = await asked(words, ["/v1/chat/completions", { ...CHAT[1], n: 3 }], toTheEnd);
    expect(record).toMatchObject({
      finish: ["stop", "stop", "stop"],
      completionTokens: 9,
      promptTokens: 15,
      cachedTokens: 3,
    });
  });
});

describe("identifiers", () => {
  it.each<[string, boolean]>([
    ["abc-1", true],
    ["4bf92f35:77/b.c_d=e@f+g~h", true],
    ["x".repeat(128), true],
    ["x".repeat(129), false],
    ["a b", false],
    ['a"b', false],
    ["\u00e9", false],
    ["", false],
  ])("x-request-id %j is taken over: %s", async (id, taken) => {
    const { record, response } = await asked(words, CHAT, toTheEnd, { "x-request-id": id });
    expect(record.id === id).toBe(taken);
    expect(record.id).toMatch(/^\S{5,}$/);
    expect([response.headers.get("x-request-id"), response.headers.get("request-id")]).toEqual([record.id, record.id]);
  });

  it.each<[string, string | null]>([
    ["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"],
    ["01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", "4bf92f3577b34da6a3ce929d0e0e4736"],
    ["nonsense", null],
  ])("traceparent %j", async (traceparent, traceId) => {
    expect((await asked(words, CHAT, toTheEnd, { traceparent })).record.traceId).toBe(traceId);
  });
});

describe("the log", () => {
  const time = new Date("2026-11-28T12:00:00Z");
  const record: RequestSummary = {
    id: "r1",
    method: "POST",
    path: "/v1/chat/completions",
    endpoint: "/v1/chat/completions",
    client: "127.0.0.1",
    forwardedFor: "203.0.113.9, 10.0.0.1",
    traceId: null,
    stream: true,
    status: 500,
    key: null,
    outcome: "failed",
    error: 'lost\n2026 GET /forged 200 "x"',
    finish: [],
    promptTokens: 5,
    cachedTokens: 1,
    completionTokens: 7,
    model: "tales",
    queueMs: 3.2,
    firstTokenMs: 12.4,
    ms: 99.6,
  };
  const written = (format: "text" | "json" | "off", work: (log: ReturnType<typeof createLog>) => void): string[] => {
    const lines: string[] = [];
    work(
      createLog(
        format,
        (line) => lines.push(line),
        () => time,
      ),
    );
    return lines;
  };

  it("text: a line a request, whatever an error says", () => {
    expect(written("text", (log) => log.request(record))).toEqual([
      '2026-11-28T12:00:00.000Z POST /v1/chat/completions 500 failed tokens=5+7 cached=1 first=12ms 100ms client="203.0.113.9, 10.0.0.1" id=r1 "lost\\n2026 GET /forged 200 \\"x\\""\n',
    ]);
  });

  it("json: a line that is an object", () => {
    const [line = ""] = written("json", (log) => log.request(record));
    expect(JSON.parse(line)).toMatchObject({
      time: time.toISOString(),
      level: "error",
      request_id: "r1",
      route: "/v1/chat/completions",
      model: "tales",
      status: 500,
      queue_ms: 3,
      first_token_ms: 12,
      duration_ms: 100,
    });
    const [event = ""] = written("json", (log) => log.event("ready", { model: "m" }));
    expect(JSON.parse(event)).toEqual({ time: time.toISOString(), level: "info", event: "ready", model: "m" });
  });

  it.each<[number, string, string]>([
    [400, 'messages: expected an array, found "my secret"', 'messages: expected an array, found "..."'],
    [400, 'x: found "my \\"secret\\" and mo...', 'x: found "..."'],
    [422, "tales: chat template: line 3: found 'my secret'", "tales: chat template: ..."],
    [
      400,
      "messages: rejected by the chat template of tales: my secret",
      "messages: rejected by the chat template of tales: ...",
    ],
    [403, 'this server is not known as "evil.example"', 'this server is not known as "evil.example"'],
  ])("%i: what an error quotes of a request's texts is left out", (status, error, logged) => {
    const refused: RequestSummary = { ...record, status, outcome: "refused", error };
    const [line = ""] = written("json", (log) => log.request(refused));
    expect(JSON.parse(line).error).toBe(logged);
    expect(written("text", (log) => log.request(refused))[0]).toContain(JSON.stringify(logged));
  });

  it("probes and scrapes are left out, and with off everything but unexpected errors", () => {
    expect(
      written("text", (log) => log.request({ ...record, endpoint: "/readyz", outcome: "refused", status: 503 })),
    ).toEqual([]);
    const lines = written("off", (log) => {
      log.request(record);
      log.event("ready", {});
      log.error(new Error("a bug"));
    });
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain("a bug");
  });
});
