// The page that computes itself as an app: installable, replaced by a newer build, on a full disk.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { type BrowserContext, type CDPSession, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writePage } from "../../src/cli/page_files.ts";
import { LAUNCH, noChromium, patiently } from "../support/chromium.ts";
import { titled } from "../support/fixtures.ts";
import { leftToCi } from "../support/level.ts";
import { PATIENT } from "../support/patience.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html",
  ".js": "text/javascript",
  ".css": "text/css",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".webmanifest": "application/manifest+json",
};

describe.skipIf(noChromium)(titled("the page as an app, in Chromium", noChromium), () => {
  const out = mkdtempSync(join(tmpdir(), "hotset-page-"));
  const profile = mkdtempSync(join(tmpdir(), "hotset-profile-"));
  let server: Server;
  let origin: string;
  let context: BrowserContext;
  let page: Page;
  let cdp: CDPSession;

  beforeAll(async () => {
    await writePage(out, ["http://127.0.0.1:1"]);
    server = createServer(({ url }, response) => {
      const path = new URL(url!, "http://localhost").pathname.replace(/\/$/, "/index.html");
      try {
        const text = readFileSync(join(out, path));
        response.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" }).end(text);
      } catch {
        response.writeHead(404).end();
      }
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    context = patiently(await chromium.launchPersistentContext(profile, { ...LAUNCH, args: ["--no-sandbox"] }));
    page = await context.newPage();
    cdp = await context.newCDPSession(page);
    await page.goto(origin);
    await page.getByRole("heading", { name: "From this device" }).waitFor();
  });
  afterAll(async () => {
    await context?.close();
    server?.closeAllConnections();
    server?.close();
    for (const folder of [out, profile]) rmSync(folder, { recursive: true, force: true });
  });

  it("has a manifest without errors, and can be installed", async () => {
    const { errors, url } = await cdp.send("Page.getAppManifest");
    expect([url, errors]).toEqual([`${origin}/app.webmanifest`, []]);
    expect((await cdp.send("Page.getInstallabilityErrors")).installabilityErrors).toEqual([]);
  });

  it("says what takes how much where the disk is full, and leaves nothing of it", async () => {
    await cdp.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 8e6 });
    const buffer = Buffer.alloc(9e6);
    await page
      .getByLabel("Choose files")
      .setInputFiles([{ name: "big.gguf", mimeType: "application/octet-stream", buffer }]);
    await page
      .getByRole("alert")
      .getByText(/^a copy of big\.gguf takes 9\.0 MB; this browser has room for /)
      .waitFor();
    expect(await page.getByRole("button", { name: "Open big.gguf" }).count()).toBe(0);
    await cdp.send("Storage.overrideQuotaForOrigin", { origin });
  });

  it.skipIf(leftToCi)(
    titled("a newer build replaces it once all its tabs were closed, and its old files are gone", leftToCi),
    async () => {
      const registered = "navigator.serviceWorker.getRegistration()";
      const policyOf = (of: Page) =>
        of.evaluate(`document.querySelector('meta[http-equiv="Content-Security-Policy"]').content`);
      await writePage(out, ["http://127.0.0.1:2"]);
      await page.reload();
      await expect
        .poll(() => page.evaluate(`${registered}.then(({ waiting }) => waiting !== null)`), PATIENT)
        .toBe(true);
      expect(await policyOf(page)).toContain("http://127.0.0.1:1;");
      await page.close();
      page = await context.newPage();
      await page.goto(origin);
      await page.getByRole("heading", { name: "From this device" }).waitFor();
      expect(await policyOf(page)).toContain("http://127.0.0.1:2;");
      await expect.poll(() => page.evaluate("caches.keys().then((all) => all.length)"), PATIENT).toBe(1);
    },
  );
});
