// GET /hotset/experts over a scripted model: what the stream says, and that it costs nothing when
// there is none.

import { describe, expect, it } from "vitest";
import type { ChatModel } from "../../src/engine/chat_api.ts";
import type { ModelView } from "../../src/engine/model_view.ts";
import type { RouteListener } from "../../src/engine/route_watch.ts";
import { createApp, type ServerOptions } from "../../src/server/app.ts";
import { type ServedModels, serveOne } from "../../src/server/served.ts";
import { ServerState } from "../../src/server/state.ts";
import { PATIENT } from "../support/patience.ts";
import { eventsOf, fakeModel } from "./fake_model.ts";

/** A model whose steps the test makes. */
function watchable() {
  const listeners = new Set<RouteListener>();
  const view = {
    head: { layers: [0], experts: [4], perToken: 2, main: "ram", recordBytes: null, slots: null },
    stats: () => ({ experts: null }),
    watchRoutes(listener: RouteListener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  } as unknown as ModelView;
  const model: ChatModel = { ...fakeModel(), view };
  const step = (): void => {
    for (const one of listeners) one.step({ tokens: 1, sequences: 1, layers: [Uint32Array.of(1, 3)], ms: 1 });
  };
  const close = (): void => {
    for (const one of [...listeners]) one.closed?.();
  };
  return { model, listeners, step, close };
}

async function streamOf(
  models: ChatModel | ServedModels | ServerState,
  path = "/hotset/experts",
  more: RequestInit = {},
) {
  const app = createApp(models);
  const response = await app.request(path, more);
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  const until = async (count: number) => {
    while (eventsOf(text).length < count) {
      const { done, value } = await reader.read();
      if (done) break;
      text += value;
    }
    return eventsOf(text) as { event: string; data: Record<string, unknown> }[];
  };
  return { response, until, reader, text: () => text };
}

describe("the stream of experts", () => {
  it("tells what the model is, then what its steps did", async () => {
    const { model, listeners, step } = watchable();
    const { response, until, reader } = await streamOf(model);
    expect(response.headers.get("content-type")).toMatch("text/event-stream");
    expect(await until(3)).toMatchObject([
      { event: "state", data: { model: "fake-mixtral", state: "ready" } },
      { event: "head", data: { model: "fake-mixtral", experts: [4], perToken: 2 } },
      { event: "frame", data: { steps: 0, places: "AQEBAQ==" } },
    ]);
    step();
    step();
    const frames = (await until(4)).slice(3);
    expect(frames[0]!.data).toMatchObject({ places: null, counts: null, uses: null });
    await reader.cancel();
    await expect.poll(() => listeners.size, PATIENT).toBe(0);
  });

  it("puts into one frame what steps do while a page reads nothing", async () => {
    const { model, step } = watchable();
    const { until, reader } = await streamOf(model);
    await until(3);
    for (let i = 0; i < 500; i++) step();
    const events = await until(4);
    expect(events[3]!.data).toMatchObject({ steps: 500, shown: 64, dropped: 436 });
    await reader.cancel();
  });

  it("waits for a model that is unloaded, and neither loads nor keeps it", async () => {
    const { model, listeners, close } = watchable();
    let here = true;
    const one = serveOne(model);
    const card = () => ({ ...one.card(""), ...(!here && { model: null, state: "unloaded" as const }) });
    const lease = () => expect.unreachable("a page that watches takes no lease");
    const { until, reader } = await streamOf({ ...one, card, cards: () => [card()], lease });
    await until(3);
    here = false;
    close();
    expect(listeners.size).toBe(0);
    expect((await until(4))[3]).toMatchObject({ event: "state", data: { state: "unloaded" } });
    here = true;
    expect((await until(6)).slice(4)).toMatchObject([{ event: "state", data: { state: "ready" } }, { event: "head" }]);
    await reader.cancel();
  });

  it("ends when the server is drained", async () => {
    const { model, listeners } = watchable();
    const state = new ServerState(model);
    const { until } = await streamOf(state);
    await until(3);
    state.drain();
    expect(await until(99)).toHaveLength(3);
    expect(listeners.size).toBe(0);
  });

  it("is refused beyond 32 pages, and has room again when one leaves", async () => {
    const { model } = watchable();
    const app = createApp(model);
    const open = await Promise.all(Array.from({ length: 32 }, () => app.request("/hotset/experts")));
    expect((await app.request("/hotset/experts")).status).toBe(503);
    await open[0]!.body!.cancel();
    const again = await app.request("/hotset/experts");
    expect(again.status).toBe(200);
    for (const { body } of [...open.slice(1), again]) await body!.cancel();
  });

  it.each<[string, ServerOptions, Record<string, string>, number]>([
    ["needs the key", { apiKey: "k" }, {}, 401],
    ["knows no foreign host", {}, { host: "evil.example" }, 403],
    ["is for no foreign page", {}, { origin: "https://evil.example" }, 403],
  ])("%s", async (_, options, headers, status) => {
    const { model, listeners } = watchable();
    expect((await createApp(model, options).request("/hotset/experts", { headers })).status).toBe(status);
    expect(listeners.size).toBe(0);
  });

  it("says of a model that another engine runs that its experts are not known", async () => {
    const { until } = await streamOf(fakeModel());
    expect((await until(2))[1]).toMatchObject({
      event: "error",
      data: { error: { message: /not run by this engine/ } },
    });
  });
});
