// /hotset/models: what the page shows of models, and loading and unloading them.

import { describe, expect, it } from "vitest";
import type { ModelView } from "../../src/engine/model_view.ts";
import { createApp } from "../../src/server/app.ts";
import { servePool } from "../../src/server/pool/serve_pool.ts";
import { Speed } from "../../src/server/speed.ts";
import { fakeModel } from "./fake_model.ts";

/** Of two layers of 4 experts a layer has one on the GPU, and the first two in RAM. */
const VIEW = {
  facts: { family: "mixtral" },
  head: { layers: [0, 1], experts: [4, 4], perToken: 2, main: "gpu", recordBytes: 100, slots: 1 },
  stats: () => ({
    memory: { weights: 1000, kv: 20, scratch: 3 },
    experts: {
      recordBytes: 100,
      main: { layers: [{ residents: [1] }, { residents: [3] }] },
      ram: { layers: [{ residents: [0, 1] }, { residents: [0, 1] }] },
    },
  }),
} as unknown as ModelView;

function serve(pinned: readonly string[] = []) {
  const closed: string[] = [];
  const models = ["a", "b"].map((id) => ({
    ...{ id, aliases: [], pinned: pinned.includes(id) },
    measure: async () => ({ ram: 10, gpu: 0, context: 4096 }),
    load: async () => ({ ...fakeModel(), name: id, view: VIEW, close: async () => void closed.push(id) }),
  }));
  const app = createApp(servePool(models, { budget: { ram: 20, gpu: 0 }, formatBytes: String }));
  const post = async (path: string, body: object, headers: Record<string, string> = {}) =>
    app.request(path, {
      method: "POST",
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify(body),
    });
  const cards = async () => ((await (await app.request("/hotset/models")).json()) as { models: object[] }).models;
  return { closed, post, cards, app };
}

describe("the models that a page shows", () => {
  it("are loaded and unloaded, with their facts and where their bytes are", async () => {
    const { closed, post, cards } = serve();
    expect(await cards()).toMatchObject([
      { id: "a", state: "unloaded", movable: true, facts: null, memory: null, tokensPerSecond: 0 },
      { id: "b", state: "unloaded" },
    ]);
    const loading = await post("/hotset/models/load", { model: "a" });
    expect([loading.status, await loading.json()]).toMatchObject([202, { id: "a", state: "loading" }]);
    await expect
      .poll(async () => (await cards())[0])
      .toMatchObject({
        state: "ready",
        facts: { family: "mixtral" },
        memory: { gpu: 1023, ram: 400 - 100, disk: 300, kv: 2, scratch: 1 },
      });
    const unloading = await post("/hotset/models/unload", { model: "a" });
    expect(unloading.status).toBe(202);
    await expect.poll(async () => (await cards())[0]).toMatchObject({ state: "unloaded", facts: null });
    expect(closed).toEqual(["a"]);
  });

  it.each([
    ["ram", { gpu: 0, ram: 1023 + 123 }],
    ["gpu", { gpu: 1023, ram: 123 }],
  ] as const)("say what of their memory is a draft model's, beside one in %s", async (main, places) => {
    const model = fakeModel();
    const draft = { name: "small", weights: "q4", memory: { weights: 100, kv: 20, scratch: 3 } };
    const speculation = { drafted: 0, accepted: 0, draft };
    const memory = { weights: 1000, kv: 20, scratch: 3 };
    const stats = () => ({ memory, experts: null, speculation });
    const view = { ...VIEW, head: { ...VIEW.head, main }, stats } as unknown as ModelView;
    const app = createApp({ ...model, view, metrics: () => ({ ...model.metrics(), memory, speculation }) });
    const { models } = (await (await app.request("/hotset/models")).json()) as { models: object[] };
    expect(models).toMatchObject([{ memory: { ...places, kv: 20, scratch: 3, draft: 123 } }]);
  });

  it("say how fast they write", async () => {
    const { post, cards } = serve();
    const body = { model: "b", messages: [{ role: "user", content: "hi" }] };
    await (await post("/v1/chat/completions", body)).text();
    expect((await cards())[1]).toMatchObject({ tokensPerSecond: 2 / 5 });
  });

  it.each<[string, object, number]>([
    ["load", { model: "c" }, 404],
    ["unload", { model: "a" }, 409],
    ["unload", {}, 400],
  ])("%s of %j is refused", async (what, body, status) => {
    const { post, closed } = serve(["a"]);
    expect((await post(`/hotset/models/${what}`, body)).status).toBe(status);
    expect(closed).toEqual([]);
  });

  it("cannot be unloaded where there is one, nor by a foreign page", async () => {
    const app = createApp(fakeModel());
    const headers = { "content-type": "application/json" };
    const ask = (more: object) =>
      app.request("/hotset/models/unload", { method: "POST", headers: { ...headers, ...more }, body: "{}" });
    expect((await ask({})).status).toBe(409);
    expect((await ask({ origin: "https://evil.example" })).status).toBe(403);
    expect((await ask({ "content-type": "text/plain", "sec-fetch-site": "same-site" })).status).toBe(415);
    expect(await (await app.request("/hotset/models")).json()).toMatchObject({ models: [{ movable: false }] });
  });
});

describe("the speed", () => {
  it("is the mean of the last five seconds", () => {
    let now = 10_000;
    const speed = new Speed(() => now);
    expect(speed.of("m")).toBe(0);
    speed.add("m", 10);
    now += 2000;
    speed.add("m", 20);
    expect(speed.of("m")).toBe(6);
    now += 3000;
    expect(speed.of("m")).toBe(4);
    now += 60_000;
    expect(speed.of("m")).toBe(0);
    expect(speed.of("other")).toBe(0);
  });
});
