// The built package in headless Chromium, straight from dist without a bundler: the same tokens as in Node, on both backends.

import { existsSync, readFileSync, statSync } from "node:fs";
import { open as openFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { inRepo, titled } from "../support/fixtures.ts";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) =>
  existsSync(path),
);
const skip = CHROMIUM ? null : "skipped: no Chromium on this machine";
/** Bare imports of the built modules, as a bundler or an import map of the user's page would resolve them. */
const IMPORTS = { "@huggingface/tokenizers": "/node_modules/@huggingface/tokenizers/dist/tokenizers.mjs" };
/** The page: an import of the built package, and what the test calls. A string: vitest would rewrite an import here. */
const PAGE = `<!doctype html>
<script type="importmap">${JSON.stringify({ imports: IMPORTS })}</script>
<script type="module">
  import { open } from "/dist/src/browser.js";
  globalThis.story = async (backend, prompt) => {
    const options = { backend, weights: "f32", kv: "f32", chunk: 32, context: 256 };
    const model = await open(location.origin + "/models/tales", options);
    const ids = [];
    let text = "";
    for await (const piece of model.session().generate(prompt, { maxTokens: 12, temperature: 0 })) {
      ids.push(...piece.ids);
      text += piece.text;
    }
    const ran = model.stats().backend.backend;
    await model.close();
    return { ids, text, ran };
  };
</script>`;
const TYPES: Record<string, string> = { html: "text/html", js: "text/javascript", mjs: "text/javascript" };

/** Serves the repository with range requests, and a page that can import. Isolation headers as a real page would need. */
function serve(): Server {
  return createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
    if (path === "/") {
      response.setHeader("content-type", "text/html");
      response.end(PAGE);
      return;
    }
    const file = inRepo(path.slice(1));
    if (!existsSync(file) || !statSync(file).isFile()) {
      response.writeHead(404).end();
      return;
    }
    const size = statSync(file).size;
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "");
    const first = range ? Number(range[1]) : 0;
    const last = range ? Math.min(Number(range[2]), size - 1) : size - 1;
    response.writeHead(range ? 206 : 200, {
      "content-type": TYPES[path.split(".").at(-1) ?? ""] ?? "application/octet-stream",
      "content-length": last - first + 1,
    });
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    const handle = await openFile(file);
    const { buffer } = await handle.read(Buffer.alloc(last - first + 1), 0, last - first + 1, first);
    await handle.close();
    response.end(buffer);
  });
}

describe.skipIf(skip)(titled("in Chromium", skip), () => {
  let server: Server;
  let browser: Browser;
  beforeAll(async () => {
    server = serve();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    browser = await chromium.launch({
      executablePath: CHROMIUM!,
      args: [
        "--no-sandbox",
        "--enable-unsafe-webgpu",
        "--use-webgpu-adapter=swiftshader",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
      ],
    });
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  it.each(["webgpu", "cpu"])(
    "backend %s: models/tales over HTTP gives the reference's greedy tokens",
    async (backend) => {
      const reference = JSON.parse(readFileSync(inRepo("models/tales/reference.json"), "utf8")).prompts[0] as {
        prompt: string;
        greedy_ids: number[];
      };
      const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const page = await browser.newPage();
      const problems: string[] = [];
      page.on("pageerror", (error) => problems.push(String(error)));
      await page.goto(origin);
      await page.waitForFunction("globalThis.story");
      const found = (await page.evaluate(`story("${backend}", "${reference.prompt}")`)) as {
        ids: number[];
        text: string;
        ran: string;
      };
      expect(problems).toEqual([]);
      expect(found.ran).toBe(backend);
      expect(found.ids).toEqual(reference.greedy_ids.slice(0, 12));
      expect(found.text).toBe(" there lived a man who had three sons, and they were");
      await page.close();
    },
  );
});
