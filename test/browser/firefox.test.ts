// The built package in headless Firefox: its engine compiles the kernels otherwise, and its WebGPU
// is wgpu.

import { readdirSync, readFileSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ModelStats, type OpenOptions, open } from "../../src/index.ts";
import { pageOf, serve } from "../support/chromium.ts";
import { type Firefox, noFirefox, openFirefox } from "../support/firefox.ts";
import { inRepo, titled } from "../support/fixtures.ts";
import { hubServer } from "../support/hub_server.ts";
import { leftToCi } from "../support/level.ts";

const PAGE = pageOf(
  { "@huggingface/tokenizers": "/node_modules/@huggingface/tokenizers/dist/tokenizers.mjs" },
  `
  import { open, pageStorage, prepareRemoval, pull } from "/dist/src/browser.js";
  globalThis.story = async (options, prompt, generate, name = location.origin + "/models/tales") => {
    const model = await open(name, options);
    const ids = [];
    for await (const piece of model.session().generate(prompt, generate)) ids.push(...piece.ids);
    const { backend } = model.stats();
    await model.close();
    return { ids, backend };
  };
  // A pull that is aborted in the middle, and one that goes on.
  globalThis.pulled = async (name, endpoint) => {
    const controller = new AbortController();
    const onProgress = (done, total) => done > total / 2 && controller.abort(new Error("enough"));
    const aborted = await pull(name, { endpoint, onProgress, signal: controller.signal }).catch(String);
    const { bytes, missing, path } = await pull(name, { endpoint });
    return { aborted, bytes, missing, path, ...await pageStorage() };
  };
  globalThis.removed = async (name) => (await prepareRemoval(name)).remove();
  globalThis.ready = true;
`,
);
const { prompt, greedy_ids } = JSON.parse(readFileSync(inRepo("models/tales/reference.json"), "utf8")).prompts[0] as {
  prompt: string;
  greedy_ids: number[];
};
const TOKENS = 8;
const skip = leftToCi ?? noFirefox;

interface Case {
  readonly name: string;
  readonly options: OpenOptions;
  /** Where the page may share memory between threads. */
  readonly path: "/" | "/isolated";
  readonly threads: number;
}

interface Pulled extends Record<"bytes" | "missing" | "used", number> {
  /** What the first pull said. */
  readonly aborted: string;
  readonly path: string;
}

describe.skipIf(skip)(titled("in Firefox", skip), () => {
  let server: Server;
  let firefox: Firefox;
  beforeAll(async () => {
    server = serve(PAGE);
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    firefox = await openFirefox();
  });
  afterAll(async () => {
    await firefox?.close();
    server?.close();
  });

  const cases: readonly Case[] = [
    { name: "cpu in f32", options: { backend: "cpu", weights: "f32" }, path: "/", threads: 1 },
    {
      name: "cpu at q4, two threads",
      options: { backend: "cpu", weights: "q4", threads: 2 },
      path: "/isolated",
      threads: 2,
    },
    { name: "webgpu at q4", options: { backend: "webgpu", weights: "q4" }, path: "/", threads: 1 },
  ];
  it.each(cases)("$name: the tokens that Node gives", async ({ options, path, threads }) => {
    const common = { ...options, kv: "f32", chunk: 32, context: 256 } as const;
    const generate = { maxTokens: TOKENS, temperature: 0 };
    let wanted = greedy_ids.slice(0, TOKENS);
    if (options.weights !== "f32") {
      const model = await open(inRepo("models/tales"), { ...common, backend: "cpu" });
      wanted = [];
      for await (const { ids } of model.session().generate(prompt, generate)) wanted.push(...ids);
      await model.close();
    }
    await firefox.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}${path}`);
    const args = [common, prompt, generate].map((arg) => JSON.stringify(arg)).join(", ");
    const told = await firefox.evaluate<{ ids: number[]; backend: ModelStats["backend"] }>(`story(${args})`);
    expect(told.ids).toEqual(wanted);
    expect(told.backend.threads).toBe(threads);
    expect(told.backend.leftOut ?? []).toEqual([]);
  });

  it("pulls a model into the page's storage, goes on after an abort, opens and removes it", async () => {
    const names = readdirSync(inRepo("models/tales"));
    const files = Object.fromEntries(names.map((name) => [name, readFileSync(inRepo(`models/tales/${name}`))]));
    const hub = await hubServer({ "acme/tales": { files } }, { rate: 20e6 });
    await firefox.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/isolated`);
    const pull = `pulled("acme/tales", "${hub.endpoint}")`;
    const { aborted, bytes, missing, path, used } = await firefox.evaluate<Pulled>(pull);
    expect(aborted).toBe("Error: enough");
    expect(missing).toBeLessThan(bytes * 0.6);
    expect(used).toBeGreaterThan(files["model.safetensors"]!.length);
    const args = [{ backend: "cpu", weights: "f32", kv: "f32" }, prompt, { maxTokens: TOKENS, temperature: 0 }, path];
    const story = `story(${args.map((arg) => JSON.stringify(arg)).join(", ")})`;
    expect((await firefox.evaluate<{ ids: number[] }>(story)).ids).toEqual(greedy_ids.slice(0, TOKENS));
    expect(await firefox.evaluate(`removed("acme/tales")`)).toBe(bytes);
  });
});
