// The built package in headless Chromium, straight from dist without a bundler: the same tokens as
// in Node, on both backends, and the CPU backend's threads where the page may have them.

import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type ModelStats, type OpenOptions, open } from "../../src/index.ts";
import { noChromium, openSite, pageOf, type Site } from "../support/chromium.ts";
import { inRepo, inShared, titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { PATIENT } from "../support/patience.ts";
import { some } from "../support/some.ts";

/**
 * Bare imports of the built modules, as a bundler or an import map of the user's page
 * would resolve them.
 */
const IMPORTS = { "@huggingface/tokenizers": "/node_modules/@huggingface/tokenizers/dist/tokenizers.mjs" };
/**
 * The page: an import of the built package, and what the test calls. A string: vitest would rewrite
 * an import here.
 */
const PAGE = pageOf(
  IMPORTS,
  `
  import { open } from "/dist/src/browser.js";
  let model = null;
  globalThis.load = async (options) => {
    model = await open(location.origin + "/models/tales", options);
    return model.stats().backend;
  };
  globalThis.loadGguf = async (way, options) => {
    const url = location.origin + "/tales.gguf";
    const picked = async () => new File([await (await fetch(url)).arrayBuffer()], "tales.gguf");
    model = await open(way === "url" ? url : [await picked()], options);
  };
  globalThis.story = async (prompt, options) => {
    const ids = [];
    let text = "";
    for await (const piece of model.session().generate(prompt, options)) {
      ids.push(...piece.ids);
      text += piece.text;
    }
    return { ids, text };
  };
  globalThis.threads = () => model.stats().backend.threads;
  globalThis.close = () => model.close();
  globalThis.ready = true;
`,
);
describe.skipIf(noChromium)(titled("in Chromium", noChromium), () => {
  let site: Site;
  beforeAll(async () => {
    site = await openSite(PAGE);
  });
  afterAll(() => site?.close());

  const visit = (path: "/" | "/isolated") => site.visit(path);
  const call = <T>(page: Page, name: "load" | "loadGguf" | "story" | "close", ...args: unknown[]) =>
    page.evaluate(`${name}(${args.map((arg) => JSON.stringify(arg)).join(", ")})`) as Promise<T>;
  type Backend = ModelStats["backend"];
  type Story = { ids: number[]; text: string };

  const { prompt, greedy_ids } = JSON.parse(readFileSync(inRepo("models/tales/reference.json"), "utf8")).prompts[0] as {
    prompt: string;
    greedy_ids: number[];
  };
  const GREEDY = { maxTokens: 12, temperature: 0 };

  for (const backend of ["webgpu", "cpu"] as const) {
    const left = backend === "cpu" ? null : leftToCi;
    it.skipIf(left)(
      titled(`backend ${backend}: models/tales over HTTP gives the reference's greedy tokens`, left),
      async () => {
        const { page, problems } = await visit("/");
        const options = { backend, weights: "f32", kv: "f32", chunk: 32, context: 256 } satisfies OpenOptions;
        expect((await call<Backend>(page, "load", options)).backend).toBe(backend);
        const found = await call<Story>(page, "story", prompt, GREEDY);
        await call(page, "close");
        expect(problems).toEqual([]);
        expect(found.ids).toEqual(greedy_ids.slice(0, 12));
        expect(found.text).toBe(" there lived a man who had three sons, and they were");
        await page.close();
      },
    );
  }

  const gguf = inShared("fixtures/gguf/tales-Q4_K_M.gguf");
  const left = gguf.skip ?? leftToCi;
  it.skipIf(left).each(["url", "picked"])(
    titled("models/tales as a GGUF file, %s: transformers' tokens", left),
    async (way) => {
      const { page, problems } = await visit("/");
      const bytes = readFileSync(gguf.path);
      await page.route("**/tales.gguf", async (route) => {
        const range = /^bytes=(\d+)-(\d+)$/.exec(route.request().headers().range ?? "");
        if (range === null) return route.fulfill({ body: bytes });
        const body = bytes.subarray(Number(range[1]), Number(range[2]) + 1);
        const headers = { "content-range": `bytes ${range[1]}-${Number(range[1]) + body.length - 1}/${bytes.length}` };
        return route.fulfill({ status: 206, body, headers });
      });
      await call(page, "loadGguf", way, { backend: "cpu", activations: "f32", context: 256 } satisfies OpenOptions);
      const { ids } = await call<Story>(page, "story", "Once upon a time", { maxTokens: 8, temperature: 0 });
      await call(page, "close");
      expect(problems).toEqual([]);
      const { prompts } = JSON.parse(readFileSync(gguf.path.replace(/\.gguf$/, ".expected.json"), "utf8"));
      expect(ids).toEqual(prompts[0].greedy_ids.slice(0, 8));
      await page.close();
    },
  );

  describe("the CPU backend at q4 on two threads", () => {
    const options = { backend: "cpu", threads: 2, weights: "q4", chunk: 32, context: 256 } satisfies OpenOptions;
    /**
     * Greedy tokens in Node: of the best kernels there, which need not be the page's, so of tokens
     * that are certain.
     */
    let expected: number[];
    beforeAll(async () => {
      const model = await open(inRepo("models/tales"), options);
      expected = [];
      for await (const { ids, logprobs = [] } of model.session().generate(prompt, { ...GREEDY, logprobs: 2 })) {
        for (const { top } of logprobs) expect(top[0]!.logprob - top[1]!.logprob).toBeGreaterThan(0.05);
        expected.push(...ids);
      }
      await model.close();
    });

    it.each(
      some(
        [
          { path: "/isolated", threads: 2 },
          { path: "/", threads: 1 },
        ] as const,
        1,
      ),
    )("$path: $threads threads, Node's greedy tokens, no worker left", async ({ path, threads }) => {
      const { page, problems } = await visit(path);
      expect(await page.evaluate("crossOriginIsolated")).toBe(threads > 1);
      const found = await call<Backend>(page, "load", options);
      expect(found.threads).toBe(threads);
      expect(found.features.filter((name) => name === "relaxed-simd" || name === "simd128")).toHaveLength(1);
      const { ids } = await call<Story>(page, "story", prompt, GREEDY);
      expect(page.workers()).toHaveLength(threads - 1);
      await call(page, "close");
      await expect.poll(() => page.workers(), PATIENT).toHaveLength(0);
      expect(problems).toEqual([]);
      expect(ids).toHaveLength(12);
      expect(ids).toEqual(expected);
      await page.close();
    });

    /** The isolated page, where it may make workers as `policy` says. */
    async function restricted(policy: string) {
      const visited = await visit("/isolated");
      const { page } = visited;
      await page.route("**/isolated", async (route) => {
        const response = await route.fetch();
        await route.fulfill({ response, headers: { ...response.headers(), "content-security-policy": policy } });
      });
      await page.reload();
      await page.waitForFunction("globalThis.ready");
      return visited;
    }

    it.skipIf(leftToCi)(
      titled("starts its workers from a file where the page may not start them from text", leftToCi),
      async () => {
        const { page, problems } = await restricted("worker-src 'self'");
        await call(page, "load", options);
        const { ids } = await call<Story>(page, "story", prompt, GREEDY);
        expect(ids).toEqual(expected);
        expect(page.workers().map((worker) => new URL(worker.url()).pathname)).toEqual([
          "/dist/src/backend/cpu/web_worker.js",
        ]);
        expect(problems).toEqual([]);
        await page.close();
      },
    );

    it.skipIf(leftToCi)(
      titled("goes on with one thread where no worker may start, and says so where more were asked for", leftToCi),
      async () => {
        const { page, problems } = await restricted("worker-src 'none'");
        const { threads: _, ...any } = options;
        await call(page, "load", any);
        const { ids } = await call<Story>(page, "story", prompt, GREEDY);
        expect(ids).toEqual(expected);
        expect(await page.evaluate("threads()")).toBe(1);
        await call(page, "close");
        const failed = async () => {
          await call(page, "load", options);
          await call(page, "story", prompt, GREEDY);
        };
        await expect(failed()).rejects.toThrow(/thread 1 of the CPU backend failed: no worker could be started/);
        expect(problems).toEqual([]);
        await page.close();
      },
    );
  });
});
