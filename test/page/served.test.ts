// How the server hands out the page: to whom, with which headers, and what it costs.

import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { createApp, type ServerOptions } from "../../src/server/app.ts";
import { ServerState } from "../../src/server/state.ts";
import { fakeModel } from "../server/fake_model.ts";
import { inRepo } from "../support/fixtures.ts";

const LARGEST = 150_000;
const HTML = { accept: "text/html,application/xhtml+xml,*/*;q=0.8" };
const app = (options: ServerOptions = {}) => createApp(fakeModel(), options);

describe("GET /", () => {
  it.each<[string, ServerOptions, Record<string, string>, number, RegExp]>([
    ["a browser gets the page", {}, HTML, 200, /<div id="page">/],
    ["curl gets what it got before", {}, { accept: "*/*" }, 200, /^hotset is running\n$/],
    ["a load balancer too", {}, {}, 200, /^hotset is running\n$/],
    ["--no-page", { page: false }, HTML, 200, /^hotset is running\n$/],
    ["the page needs no key", { apiKey: "secret" }, HTML, 200, /<div id="page">/],
    ["a foreign host name", {}, { ...HTML, host: "evil.example" }, 403, /not known as/],
  ])("%s", async (_, options, headers, status, text) => {
    const response = await app(options).request("/", { headers });
    expect(response.status).toBe(status);
    expect(await response.text()).toMatch(text);
  });

  it("is there while the model is being loaded", async () => {
    const response = await createApp(new ServerState(null)).request("/", { headers: HTML });
    expect(response.status).toBe(200);
  });
});

describe("the page's files", () => {
  it("are kept for ever, the page is not; all with a strict policy, zipped where the client can", async () => {
    const served = app({ apiKey: "secret" });
    const index = await served.request("/", { headers: HTML });
    const files = [...(await index.text()).matchAll(/(?:src|href)="\.\/(page\/[^"]+)"/g)].map((match) => match[1]!);
    expect(files.map((file) => file.replace(/-[\w-]+\./, ".")).sort()).toEqual(["page/index.css", "page/index.js"]);
    expect(index.headers.get("cache-control")).toBe("no-cache");
    for (const file of files) {
      const response = await served.request(`/${file}`, { headers: { "accept-encoding": "gzip" } });
      expect(response.status, file).toBe(200);
      expect(response.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
      expect(response.headers.get("content-encoding")).toBe("gzip");
      for (const headers of [index.headers, response.headers]) {
        expect(headers.get("content-security-policy")).toMatch(
          /^default-src 'none'; script-src 'self'; style-src 'self'/,
        );
        expect(headers.get("content-security-policy")).not.toMatch(/unsafe|\*/);
        expect(headers.get("x-content-type-options")).toBe("nosniff");
        expect(headers.get("referrer-policy")).toBe("no-referrer");
      }
    }
  });

  it(`are less than ${LARGEST / 1000} kB zipped in all, without the engine that a page may hold`, async () => {
    const files = readdirSync(inRepo("dist/page/page")).filter((name) => !/^(?:local|engine|worker)/.test(name));
    const sizes = files.map((name) => gzipSync(readFileSync(inRepo(`dist/page/page/${name}`))).length);
    expect(sizes.length).toBeGreaterThan(2);
    expect(sizes.reduce((sum, size) => sum + size)).toBeLessThan(LARGEST);
  });

  it.each(["/page/other.js", "/page/..%2findex.html", "/page/..%2f..%2fpackage.json", "/page/"])(
    "%s: 404",
    async (path) => {
      expect((await app().request(path)).status).toBe(404);
    },
  );
});

describe("GET /hotset/parameters", () => {
  it("has the ranges that requests are held to, and the model's defaults", async () => {
    const { model, parameters } = (await (await app().request("/hotset/parameters")).json()) as {
      model: string;
      parameters: { name: string; min: number; max: number; default: number | null }[];
    };
    expect(model).toBe("fake-mixtral");
    expect(Object.fromEntries(parameters.map((one) => [one.name, one.default]))).toEqual({
      temperature: 0.7,
      top_p: 1,
      top_k: 0,
      min_p: 0,
      repetition_penalty: 1,
      frequency_penalty: 0,
      presence_penalty: 0,
      seed: null,
      max_tokens: null,
    });
    for (const { name, min, max } of parameters) {
      const status = async (value: number) => {
        const body = JSON.stringify({ messages: [{ role: "user", content: "hi" }], [name]: value });
        const headers = { "content-type": "application/json" };
        return (await app().request("/v1/chat/completions", { method: "POST", headers, body })).status;
      };
      expect(await status(min), name).toBe(200);
      expect(await status(max), name).toBe(200);
      if (name !== "seed" && name !== "max_tokens") expect(await status(max + 1), name).toBe(400);
    }
  });
});
