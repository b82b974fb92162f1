// Headless Chromium for tests of pages: the repository over HTTP, on pages that the test writes,
// with WebGPU on SwiftShader.

import { existsSync, readFileSync, statSync } from "node:fs";
import { open as openFile } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { posix } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { inRepo } from "./fixtures.ts";
import { PATIENT } from "./patience.ts";

export const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) =>
  existsSync(path),
);

/** Options to launch it; Playwright itself would wait for 30 seconds. */
export const LAUNCH = { executablePath: CHROMIUM!, timeout: PATIENT.timeout };

/** Lets all that waits in a context's pages wait as long as tests do, not for 30 seconds. */
export function patiently(context: BrowserContext): BrowserContext {
  context.setDefaultTimeout(PATIENT.timeout);
  return context;
}

/** Why tests that need a page are skipped; null: they can run. */
export const noChromium = CHROMIUM ? null : "skipped: no Chromium on this machine";

/**
 * Headers of a page with memory shared between threads; its workers' scripts need the second too.
 */
const ISOLATION = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
} as const;
const TYPES: Record<string, string> = { html: "text/html", js: "text/javascript", mjs: "text/javascript" };

/**
 * Serves the repository with range requests, and `html` as a page: "/isolated", and "/" where
 * it is not.
 */
export function serve(html: string): Server {
  return createServer(async (request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
    if (path === "/" || path === "/isolated") {
      response.writeHead(200, { "content-type": "text/html", ...(path === "/" ? {} : ISOLATION) }).end(html);
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
      ...(range && { "content-range": `bytes ${first}-${last}/${size}` }),
      ...ISOLATION,
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

export interface Site {
  /**
   * A new page at a path, loaded until `globalThis.ready`, and its uncaught errors.
   * @param origin of another server than this one
   */
  visit(path: "/" | "/isolated", origin?: string): Promise<{ page: Page; problems: string[] }>;
  close(): Promise<void>;
}

/**
 * A browser, and a server whose pages are `html`.
 * @param profile the folder where the browser keeps what its pages store; absent: each page is a
 * visitor of its own, of whom nothing stays
 */
export async function openSite(html: string, profile?: string): Promise<Site> {
  const server = serve(html);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const options = {
    ...LAUNCH,
    args: [
      "--no-sandbox",
      "--enable-unsafe-webgpu",
      // To zero workgroup memory takes SwiftShader seconds a kernel. None of ours needs it: Node's
      // runs are without, but for one with all of a page's checks.
      "--enable-dawn-features=disable_workgroup_init",
      "--use-webgpu-adapter=swiftshader",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-first-run",
    ],
  };
  const browser: Browser | BrowserContext = await (profile === undefined
    ? chromium.launch(options)
    : chromium.launchPersistentContext(profile, options));
  return {
    async visit(path, origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`) {
      const page = await browser.newPage();
      patiently(page.context());
      const problems: string[] = [];
      page.on("pageerror", (error) => problems.push(String(error)));
      await page.goto(`${origin}${path}`);
      await page.waitForFunction("globalThis.ready");
      return { page, problems };
    },
    async close() {
      await browser.close();
      server.close();
    },
  };
}

/** A page that runs a module script, in which bare imports resolve as `imports` says. */
export function pageOf(imports: Readonly<Record<string, string>>, script: string): string {
  return `<!doctype html>
<script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module">${script}</script>`;
}

interface Exports {
  readonly [key: string]: string | Exports;
}

/**
 * The import map for installed packages in a page of openSite(), from the exports of their
 * package.json files.
 */
export function importsOf(packages: readonly string[]): Record<string, string> {
  const imports: Record<string, string> = {};
  for (const name of packages) {
    const { exports, main } = JSON.parse(readFileSync(inRepo(`node_modules/${name}/package.json`), "utf8")) as {
      readonly exports?: Exports;
      readonly main: string;
    };
    const entries = exports && "." in exports ? exports : { ".": exports ?? main };
    for (const [path, target] of Object.entries(entries)) {
      const file = chosen(target);
      if (file && !path.includes("*")) imports[posix.join(name, path)] = posix.join("/node_modules", name, file);
    }
  }
  return imports;
}

function chosen(target: string | Exports): string | null {
  if (typeof target === "string") return target;
  const found = target.browser ?? target.import ?? target.default;
  return found === undefined ? null : chosen(found);
}
