import { describe, expect, it } from "vitest";
import { MemoryError, WeightsError } from "../../../src/errors.ts";
import { eventsOf } from "../fake_model.ts";
import { type Backend, serve } from "./fake_server.ts";

const MESSAGES = [{ role: "user", content: "hi" }];
const CHAT = "/v1/chat/completions";

describe("which model answers", () => {
  it.each<[string, string]>([
    ["owner/a", "owner/a"],
    ["OWNER/A", "owner/a"],
    ["a", "owner/a"],
    ["owner/a:latest", "owner/a"],
    ["/models/owner/a.gguf", "owner/a"],
    ["b", "b"],
  ])("%s: %s", async (model, id) => {
    const { post } = serve();
    expect(await (await post(CHAT, { model, messages: MESSAGES })).json()).toMatchObject({ model: id });
  });

  it("Azure's path names it too", async () => {
    const { post } = serve();
    const answer = await post("/openai/deployments/b/chat/completions?api-version=1", { messages: MESSAGES });
    expect(await answer.json()).toMatchObject({ model: "b" });
  });

  const MESSAGE = 'there is no model "c"; there are owner/a, b';
  it.each<[string, object, Record<string, string>, object]>([
    [CHAT, { messages: MESSAGES }, {}, { error: { message: MESSAGE, code: "model_not_found" } }],
    ["/v1/completions", { prompt: "a" }, {}, { error: { message: MESSAGE, type: "not_found_error" } }],
    ["/v1/responses", { input: "a" }, {}, { error: { message: MESSAGE } }],
    ["/v1/embeddings", { input: "a" }, {}, { error: { message: MESSAGE } }],
    ["/tokenize", { prompt: "a" }, {}, { error: { message: MESSAGE } }],
    ["/detokenize", { tokens: [1] }, {}, { error: { message: MESSAGE } }],
    ["/v1/messages", { messages: MESSAGES, max_tokens: 1 }, {}, { type: "error", error: { message: MESSAGE } }],
    ["/v1/messages/count_tokens", { messages: MESSAGES }, {}, { type: "error", error: { type: "not_found_error" } }],
    ["/api/v1/chat/completions", { messages: MESSAGES }, {}, { error: { code: 404, message: MESSAGE } }],
    [CHAT, { messages: MESSAGES }, { "user-agent": "mistral-client" }, { object: "error", message: MESSAGE }],
    ["/api/chat", { messages: MESSAGES }, {}, { error: MESSAGE }],
    ["/api/chat", { messages: [] }, {}, { error: MESSAGE }],
    ["/api/generate", { prompt: "a" }, {}, { error: MESSAGE }],
    ["/api/embed", { input: "a" }, {}, { error: MESSAGE }],
    ["/api/show", {}, {}, { error: MESSAGE }],
  ])("%s: 404 for an unknown name, in the API's shape", async (path, body, headers, expected) => {
    const { post, loads } = serve();
    for (const stream of [false, true]) {
      const all = { "content-type": "application/json", ...headers };
      const response = await post(path, { ...body, model: "c", stream }, { headers: all });
      expect([response.status, await response.json()]).toMatchObject([404, expected]);
    }
    expect(loads).toEqual([]);
  });

  it("without a name: 400 that lists them; a name of several is of none", async () => {
    const { post } = serve({ ids: ["x/a", "y/a"] });
    const said = async (body: object) => {
      const response = await post(CHAT, { ...body, messages: MESSAGES });
      const { error } = (await response.json()) as { error: { message: string } };
      return [response.status, error.message];
    };
    expect(await said({})).toEqual([400, "model: expected the name of a model, found none; there are x/a, y/a"]);
    expect(await said({ model: "a" })).toEqual([404, 'several models are called "a"; there are x/a, y/a']);
  });

  it("one that came since, by its name or in lists; it is looked at most every two seconds", async () => {
    const folder = ["a"];
    let looks = 0;
    const { app, post, clock } = serve({
      ids: ["a"],
      came() {
        looks++;
        return folder;
      },
    });
    const by = async (model: string): Promise<string> => {
      const answer = await post(CHAT, { model, messages: MESSAGES });
      return ((await answer.json()) as { model: string }).model;
    };
    expect([await by("a"), looks]).toEqual(["a", 0]);
    expect([await by("b"), looks]).toEqual(["a", 1]); // one model answers under any name
    folder.push("b");
    await Promise.all([by("b"), app.request("/v1/models")]);
    expect(looks).toBe(1);
    clock.pass(2000);
    expect(await Promise.all([by("b"), by("b"), by("a")])).toEqual(["b", "b", "a"]);
    expect(looks).toBe(2);
    folder.push("c");
    clock.pass(2000);
    for (const [path, list] of [
      ["/v1/models", "data"],
      ["/api/tags", "models"],
    ] as const) {
      const listed = (await (await app.request(path)).json()) as Record<string, { size?: number }[]>;
      expect(listed[list]).toHaveLength(3);
    }
    expect((await app.request("/v1/models/d")).status).toBe(404);
    expect(looks).toBe(3);
  });

  it("one model answers under any name", async () => {
    const { post } = serve({ ids: ["a"] });
    expect((await post(CHAT, { model: "gpt-4", messages: MESSAGES })).status).toBe(200);
    expect((await post(CHAT, { messages: MESSAGES })).status).toBe(200);
  });
});

describe("lists", () => {
  const states = async ({ app }: Backend): Promise<unknown> => {
    const { data } = (await (await app.request("/v1/models")).json()) as { data: { id: string; state: string }[] };
    return data.map(({ id, state }) => `${id} ${state}`);
  };

  it("all models with their states, in every API", async () => {
    const backend = serve({ slow: true });
    const { app, post, finish, progress } = backend;
    expect(await states(backend)).toEqual(["owner/a unloaded", "b unloaded"]);
    const first = post(CHAT, { model: "b", messages: MESSAGES });
    await expect.poll(() => progress.has("b")).toBe(true);
    progress.get("b")!(0.254);
    const loading = { id: "b", state: "loading", progress: 0.25, waiting: 1, status: { value: "loading" } };
    expect(await (await app.request("/v1/models/b")).json()).toMatchObject(loading);
    expect(await (await app.request("/health")).json()).toMatchObject({
      status: "ok",
      queued: 1,
      models: [
        { id: "owner/a", state: "unloaded" },
        { id: "b", state: "loading", progress: 0.25, waiting: 1 },
      ],
    });
    expect((await app.request("/readyz")).status).toBe(200);
    expect(await (await app.request("/api/ps")).json()).toEqual({ models: [] });
    await finish("b");
    expect((await first).status).toBe(200);
    expect(await states(backend)).toEqual(["owner/a unloaded", "b ready"]);
    expect(await (await app.request("/v1/models/b")).json()).toMatchObject({
      context_length: 4096,
      status: { value: "loaded" },
    });
    const failing = post(CHAT, { model: "a", messages: MESSAGES });
    await finish("owner/a", new WeightsError("a/config.json: wrong"));
    await failing;
    expect(await (await app.request("/api/tags")).json()).toMatchObject({
      models: [
        { name: "owner/a", state: "failed", reason: "a/config.json: wrong", size: 10 },
        { name: "b", state: "unloaded" },
      ],
    });
    const metrics = await (await app.request("/metrics")).text();
    for (const line of [
      'hotset_model_state{model="owner/a",state="failed"} 1',
      'hotset_model_state{model="b",state="unloaded"} 1',
      'hotset_model_state{model="b",state="ready"} 0',
      'hotset_model_requests_waiting{model="b"} 0',
      'hotset_model_loads_total{model="b"} 1',
    ])
      expect(metrics.split("\n")).toContain(line);
    const headers = { "anthropic-version": "2023-06-01" };
    expect(await (await app.request("/v1/models", { headers })).json()).toMatchObject({
      data: [{ type: "model", id: "owner/a", state: "failed" }, { id: "b" }],
      first_id: "owner/a",
      last_id: "b",
    });
    expect((await app.request("/v1/models/c")).status).toBe(404);
  });

  it("/api/ps has what is loaded, and until when", async () => {
    const { app, post } = serve({ pool: { idleMs: 60_000 } });
    const before = Date.now();
    await post(CHAT, { model: "b", messages: MESSAGES });
    const { models } = (await (await app.request("/api/ps")).json()) as {
      models: { name: string; expires_at: string }[];
    };
    expect(models.map(({ name }) => name)).toEqual(["b"]);
    const until = Date.parse(models[0]!.expires_at) - 60_000;
    expect(until).toBeGreaterThanOrEqual(before);
    expect(until).toBeLessThanOrEqual(Date.now());
  });
});

describe("keep_alive", () => {
  it.each(["100000000h", 1e300, -1, 8.64e12])("%j: later than any date is never", async (time) => {
    const { app, post } = serve({ pool: { idleMs: 1000 } });
    expect((await post("/api/chat", { model: "b", messages: [], keep_alive: time })).status).toBe(200);
    const answer = await app.request("/api/ps");
    expect([answer.status, await answer.json()]).toMatchObject([200, { models: [{ name: "b" }] }]);
    expect((await app.request("/v1/models")).status).toBe(200);
  });
});

describe("while a model is loaded", () => {
  it("a stream gets pings, then its answer; the model is loaded once", async () => {
    const { post, finish, loads } = serve({ slow: true, options: { keepAliveMs: 5, loadWaitMs: 1 } });
    const [first, second] = await Promise.all(
      [1, 2].map(() => post(CHAT, { model: "a", messages: MESSAGES, stream: true })),
    );
    const reader = first!.body!.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader.read()).value).toBe(": ping\n\n");
    await finish("owner/a");
    let text = "";
    for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value;
    expect(eventsOf(text).at(-1)?.data).toBe("[DONE]");
    expect(await second!.text()).toContain("[DONE]");
    expect(loads).toEqual(["owner/a"]);
  });

  it("Anthropic's streams get its ping events", async () => {
    const { post, finish } = serve({ slow: true, options: { keepAliveMs: 5 } });
    const body = { model: "a", messages: MESSAGES, max_tokens: 9, stream: true };
    const response = await post("/v1/messages", body);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    expect((await reader.read()).value).toContain("event: ping");
    await finish("owner/a");
    let text = "";
    for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value;
    expect(text).toContain("message_stop");
  });

  it("a whole answer waits; past the limit it gets a 503 that says when to try again", async () => {
    const { post, finish, pool } = serve({ slow: true, options: { loadWaitMs: 20 } });
    for (const [path, body] of [
      [CHAT, { messages: MESSAGES }],
      ["/tokenize", { prompt: "a" }],
      ["/api/chat", { messages: [] }],
    ] as const) {
      const late = await post(path, { ...body, model: "a" });
      expect([late.status, late.headers.get("retry-after")]).toEqual([503, "10"]);
      expect(JSON.stringify(await late.json())).toContain("owner/a is not loaded yet after 0 s");
    }
    expect(pool.card("owner/a")).toMatchObject({ state: "loading", waiting: 0 });
    await finish("owner/a");
    expect((await post(CHAT, { model: "a", messages: MESSAGES })).status).toBe(200);
  });

  it("a client that leaves is forgotten", async () => {
    const { post, pool, finish, models } = serve({ slow: true });
    const controller = new AbortController();
    const asked = post(CHAT, { model: "a", messages: MESSAGES }, { signal: controller.signal });
    await expect.poll(() => pool.card("owner/a").waiting).toBe(1);
    controller.abort();
    await asked.catch(() => {});
    await expect.poll(() => pool.card("owner/a").waiting).toBe(0);
    await finish("owner/a");
    await expect.poll(() => pool.card("owner/a").state).toBe("ready");
    expect(models.get("owner/a")!.asked).toEqual([]);
  });

  it.each<[Error, number, object]>([
    [
      new WeightsError("a/config.json: wrong"),
      500,
      { message: "owner/a cannot be loaded: a/config.json: wrong", code: "model_not_loaded" },
    ],
    [new MemoryError("too small"), 507, { message: "owner/a cannot be loaded: too small", code: "out_of_memory" }],
  ])("a failure is told to all that wait, and not to be tried again: %s", async (error, status, expected) => {
    const { post, finish, loads } = serve({ slow: true, options: { keepAliveMs: 60_000 } });
    const asked = [false, true].map((stream) => post(CHAT, { model: "a", messages: MESSAGES, stream }));
    await finish("owner/a", error);
    for (const response of await Promise.all(asked)) {
      expect(response.status).toBe(status);
      expect(await response.json()).toMatchObject({ error: expected });
      expect(response.headers.get("x-should-retry")).toBe("false");
    }
    expect(loads).toEqual(["owner/a"]);
  });

  it("a failure after pings is an event of the stream", async () => {
    const { post, finish } = serve({ slow: true, options: { keepAliveMs: 5 } });
    const response = await post(CHAT, { model: "a", messages: MESSAGES, stream: true });
    await finish("owner/a", new WeightsError("a/config.json: wrong"));
    expect(await response.text()).toContain("owner/a cannot be loaded: a/config.json: wrong");
  });

  it("too many waiting requests are refused", async () => {
    const { post, finish } = serve({ slow: true, pool: { mostWaiting: 1 } });
    const first = post(CHAT, { model: "a", messages: MESSAGES });
    await expect.poll(async () => (await post(CHAT, { model: "a", messages: MESSAGES })).status).toBe(503);
    await finish("owner/a");
    expect((await first).status).toBe(200);
  });
});

describe("unloading", () => {
  it("not before a stream is over; then the other model answers", async () => {
    let go = (): void => {};
    const wait = new Promise<void>((resolve) => {
      go = resolve;
    });
    const { post, closed, pool } = serve({ acts: () => [{ say: "H" }, { wait }, { say: "i" }] });
    const stream = await post(CHAT, { model: "a", messages: MESSAGES, stream: true });
    const reader = stream.body!.pipeThrough(new TextDecoderStream()).getReader();
    await reader.read();
    const other = post(CHAT, { model: "b", messages: MESSAGES });
    await expect.poll(() => pool.card("b").bytes).toBe(10); // it was measured
    const late = post(CHAT, { model: "a", messages: MESSAGES });
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(closed).toEqual([]);
    go();
    for (let next = await reader.read(); !next.done; next = await reader.read()) {}
    expect(await (await other).json()).toMatchObject({ model: "b" });
    expect(await (await late).json()).toMatchObject({ model: "owner/a" });
    expect(closed).toEqual(["owner/a", "b"]);
  });

  it.each<[unknown, string[]]>([
    [0, ["b"]],
    ["0s", ["b"]],
    ["5m", []],
    [-1, []],
    ["-1m", []],
  ])("Ollama's keep_alive %j", async (keep_alive, expected) => {
    const { post, closed } = serve();
    for (const body of [{ messages: MESSAGES }, { messages: MESSAGES, stream: false }]) {
      await (await post("/api/chat", { ...body, model: "b", keep_alive })).text();
      await expect.poll(() => closed.splice(0)).toEqual(expected);
    }
  });

  it("keep_alive with a time, and one that is none", async () => {
    const { post, closed, clock } = serve();
    await (await post("/api/generate", { model: "b", prompt: "a", keep_alive: "1m30s" })).text();
    clock.pass(89_999);
    expect(closed).toEqual([]);
    clock.pass(1);
    await expect.poll(() => closed).toEqual(["b"]);
    const wrong = await post("/api/chat", { model: "b", messages: MESSAGES, keep_alive: "soon" });
    expect([wrong.status, await wrong.json()]).toMatchObject([400, { error: expect.stringMatching(/^keep_alive: /) }]);
  });

  it("Ollama's way to load a model, and to unload it", async () => {
    const { post, closed, pool } = serve();
    const load = await post("/api/generate", { model: "b" });
    expect(await load.json()).toMatchObject({ done: true, done_reason: "load" });
    expect(pool.card("b").state).toBe("ready");
    const unload = await post("/api/chat", { model: "b", keep_alive: 0 });
    expect(await unload.json()).toMatchObject({ done: true, done_reason: "unload" });
    expect(closed).toEqual(["b"]);
    expect(await (await post("/api/chat", { model: "a", keep_alive: 0 })).json()).toMatchObject({
      done_reason: "unload",
    });
    expect(pool.card("owner/a").state).toBe("unloaded");
  });
});

it("closing ends what waits", async () => {
  const { post, pool } = serve({ slow: true });
  const asked = post(CHAT, { model: "a", messages: MESSAGES });
  await expect.poll(() => pool.card("owner/a").waiting).toBe(1);
  await pool.close("the server is closing");
  const response = await asked;
  expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
});
