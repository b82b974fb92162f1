import { describe, expect, it } from "vitest";
import type { ChatModel } from "../../src/engine/chat_api.ts";
import { createApp, type ServerOptions } from "../../src/server/app.ts";
import { ServerState } from "../../src/server/state.ts";
import { fakeModel } from "./fake_model.ts";

/** A model of which so many answers are computed and so many wait. */
function busy(running: number, queued: number): ChatModel {
  const model = fakeModel();
  return { ...model, metrics: () => ({ ...model.metrics(), running, queued }) };
}

async function said(app: ReturnType<typeof createApp>, path: string, method = "GET"): Promise<[number, unknown]> {
  const response = await app.request(path, { method });
  return [response.status, ((await response.json()) as { status: unknown }).status];
}

describe("/readyz", () => {
  it.each<[number, number, ServerOptions["capacity"] & object, string]>([
    [0, 0, {}, "ready"],
    [900, 900, {}, "ready"],
    [16, 255, { parallel: 16, queue: 256 }, "ready"],
    [16, 256, { parallel: 16, queue: 256 }, "full"],
    [3, 256, { parallel: 16, queue: 256 }, "full"], // they wait for memory
    [1, 0, { parallel: 1, queue: 0 }, "full"],
    [0, 0, { parallel: 1, queue: 0 }, "ready"],
    [1, 0, { parallel: 1, queue: 256, readyQueue: 0 }, "ready"],
    [1, 1, { parallel: 1, queue: 256, readyQueue: 0 }, "full"],
    [1, 4, { parallel: 1, queue: 256, readyQueue: 4 }, "ready"],
    [1, 5, { parallel: 1, queue: 256, readyQueue: 4 }, "full"],
  ])("%i running, %i waiting, %j: %s", async (running, queued, capacity, status) => {
    const app = createApp(busy(running, queued), { capacity });
    expect(await said(app, "/readyz")).toEqual([status === "ready" ? 200 : 503, status]);
    expect((await app.request("/readyz")).headers.get("retry-after")).toBe(status === "ready" ? null : "1");
    // As HAProxy asks by itself.
    expect((await said(app, "/", "OPTIONS"))[0]).toBe(status === "ready" ? 200 : 503);
    expect((await app.request("/readyz", { method: "HEAD" })).status).toBe(status === "ready" ? 200 : 503);
    // Clients that wait for a server to be there, and supervisors, do not care.
    expect(await said(app, "/health")).toEqual([200, "ok"]);
    expect(await said(app, "/livez")).toEqual([200, "alive"]);
  });
});

describe("from loading to the end", () => {
  it("those that wait for memory count as waiting", async () => {
    const model = fakeModel();
    const short = { ...model, metrics: () => ({ ...model.metrics(), running: 9, waiting: 3 }) };
    expect(await said(createApp(short, { capacity: { readyQueue: 2 } }), "/readyz")).toEqual([503, "full"]);
    expect(await said(createApp(short, { capacity: { readyQueue: 3 } }), "/readyz")).toEqual([200, "ready"]);
  });

  it("each phase, and what a request gets in it", async () => {
    const state = new ServerState(null);
    const app = createApp(state, { apiKey: "k" });
    const seen = async (): Promise<unknown[]> => {
      const probes = await Promise.all(["/livez", "/readyz", "/health"].map((path) => said(app, path)));
      const models = await app.request("/v1/models", { headers: { "x-api-key": "k" } });
      const metrics = await app.request("/metrics", { headers: { "x-api-key": "k" } });
      const ready = /^hotset_ready (\d)$/m.exec(await metrics.text())?.[1];
      return [...probes, models.status, models.headers.get("retry-after"), ready];
    };
    expect(await seen()).toEqual([[200, "alive"], [503, "loading"], [503, "loading"], 503, "1", "0"]);
    state.ready(fakeModel());
    expect(await seen()).toEqual([[200, "alive"], [200, "ready"], [200, "ok"], 200, null, "1"]);
    state.drain();
    expect(await seen()).toEqual([[200, "alive"], [503, "draining"], [503, "draining"], 503, "1", "0"]);
    state.close("it ends");
    expect(await seen()).toEqual([[200, "alive"], [503, "draining"], [503, "draining"], 503, "1", "0"]);
  });

  it("what is refused is refused in the dialect of its path, and may be tried again", async () => {
    const app = createApp(new ServerState(null));
    const openai = await app.request("/v1/chat/completions", { method: "POST" });
    expect(await openai.json()).toMatchObject({ error: { type: "server_error", code: "loading" } });
    const anthropic = await app.request("/v1/messages", { method: "POST" });
    expect(await anthropic.json()).toMatchObject({ type: "error", error: { type: "overloaded_error" } });
    for (const { status, headers } of [openai, anthropic])
      expect([status, headers.get("retry-after"), headers.get("x-should-retry")]).toEqual([503, "1", null]);
  });

  it("a model that is there only after the server was told to stop is not offered", async () => {
    const state = new ServerState(null);
    state.drain();
    state.ready(fakeModel());
    expect(await said(createApp(state), "/readyz")).toEqual([503, "draining"]);
  });
});
