// `npm run docs`: the site is built without a warning, and shows itself without another host.

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { noChromium, openSite } from "./support/chromium.ts";
import { inRepo, titled } from "./support/fixtures.ts";
import { leftToCi } from "./support/level.ts";

const missing = existsSync(inRepo("dist/docs/node_modules/.hotset-lock"))
  ? null
  : "skipped: the site's packages are not installed in dist/docs, as .ci/run does";
const skip = noChromium ?? leftToCi ?? missing;

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
};

/** The built site at a loopback address; its pages tell when they are there. */
async function served(): Promise<string> {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url!, "http://site").pathname);
    const file = join(inRepo("dist/docs/site"), path.replace(/\/$|^\/isolated$/, "/index.html"));
    if (!existsSync(file) || !statSync(file).isFile()) return void response.writeHead(404).end();
    response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
    response.end(readFileSync(file));
    return;
  });
  onTestFinished(() => void server.close());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

describe.skipIf(skip)(titled("the documentation's site", skip), () => {
  it("is built: every public name has a docstring, every link a page; it works offline", async () => {
    const { status, stderr } = spawnSync(process.execPath, [".vitepress/build.mjs"], {
      cwd: inRepo(""),
      encoding: "utf8",
    });
    expect(status, stderr).toBe(0);
    const origin = await served();
    const site = await openSite("<script>globalThis.ready = true</script>");
    try {
      const { page, problems } = await site.visit("/");
      const others: string[] = [];
      const failed: string[] = [];
      page.on("request", (request) => {
        if (!/^data:/.test(request.url()) && !request.url().startsWith(origin)) others.push(request.url());
      });
      page.on("response", (response) => {
        if (response.status() >= 400) failed.push(response.url());
      });
      for (const [path, heading] of [
        ["/api/hotset/functions/open.html", "Function: open()"],
        ["/src/hub/", "Models by name"],
        ["/bench/results/", "Measured figures"],
        ["/", "hotset"],
      ] as const)
        for (const width of [390, 1280]) {
          await page.setViewportSize({ width, height: 800 });
          await page.goto(origin + path, { waitUntil: "networkidle" });
          expect(await page.textContent("h1")).toContain(heading);
          expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path).toBe(true);
        }
      await page.keyboard.press("Control+k");
      await page.fill(".VPLocalSearchBox input", "generation_config top_k");
      await page.waitForSelector(".VPLocalSearchBox .result");
      expect({ others, failed, problems }).toEqual({ others: [], failed: [], problems: [] });
    } finally {
      await site.close();
    }
  });
});
