// Both sides as pages of one Chromium: hotset's CPU backend, bundled as applications bundle it, and
// wllama, whose package is one module.

import { existsSync } from "node:fs";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import { build } from "vite";
import { temporaryFolder } from "../leftovers.ts";
import { architectureOf, cachedGguf } from "./cache.ts";
import { type PeerPackage, wllamaFiles } from "./packages.ts";
import type { Measured, PageFiles } from "./page.ts";
import { type Served, serve } from "./server.ts";
import type { Sample, SideName, Sides, Work } from "./types.ts";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
/** Timeout of one measurement. */
const LIMIT_MS = 600_000;

const PAGE = `<!doctype html>
<link rel="icon" href="data:,">
<script type="module" src="/page/page.js"></script>`;

/** Bundles page.ts, and what it imports later, into a folder. */
async function bundle(root: URL, folder: string): Promise<void> {
  const input = fileURLToPath(new URL("bench/peers/page.ts", root));
  await build({
    root: fileURLToPath(root),
    base: "./",
    configFile: false,
    logLevel: "error",
    publicDir: false,
    build: {
      outDir: folder,
      emptyOutDir: true,
      target: "es2022",
      modulePreload: false,
      rolldownOptions: { input, output: { entryFileNames: "page.js" } },
    },
  });
}

export interface Pages {
  /** The browser's name and version. */
  readonly browser: string;
  readonly sides: Sides;
  close(): Promise<void>;
}

/** Starts Chromium and a server for one model, a folder of the checkout. */
export async function openPages(root: URL, found: PeerPackage, path: string): Promise<Pages> {
  const { module, wasm } = wllamaFiles(found);
  const executablePath = CHROMIUM.find((file) => existsSync(file));
  if (executablePath === undefined)
    throw new Error(
      `no Chromium on this machine (looked for ${CHROMIUM.join(", ")}); install one, as package chromium`,
    );
  const gguf = await cachedGguf(root, path);
  const { vocab } = await architectureOf(root, path);
  const made = temporaryFolder("pages");
  await bundle(root, made.path);
  const served = await serve({
    page: PAGE,
    folders: {
      page: made.path,
      models: fileURLToPath(new URL("models", root)),
      peer: found.folder,
      gguf: dirname(gguf),
    },
  });
  const args = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"];
  const browser = await chromium.launch({ executablePath, args }).catch((error) => {
    served.close();
    made.remove();
    throw error;
  });
  const files: PageFiles = {
    weights: `${served.origin}/${path}`,
    gguf: `/gguf/${basename(gguf)}`,
    wllama: { module: `/peer/${module}`, wasm: `/peer/${wasm}` },
    vocab,
  };
  const side = (name: SideName) => (work: Work) => measureIn(browser, served, name, work, files);
  return {
    browser: `Chromium ${browser.version()}`,
    sides: { ours: side("ours"), peer: side("peer") },
    async close() {
      await browser.close();
      served.close();
      made.remove();
    },
  };
}

/** The first token of one page, then the measurement in another. */
async function measureIn(
  browser: Browser,
  { origin }: Served,
  side: SideName,
  work: Work,
  files: PageFiles,
): Promise<Sample> {
  const call = [side, work, files];
  const short: Work = { ...work, promptTokens: 8, decodeTokens: 1 };
  const first = encodeURIComponent(JSON.stringify([side, short, files]));
  const firstTokenMs = (await inPage(browser, `${origin}/?first=${first}`, async (page) => {
    await page.waitForFunction("globalThis.first", undefined, { timeout: 30_000 });
    return page.evaluate("first");
  })) as number;
  const measured = (await inPage(browser, origin, async (page) => {
    await page.waitForFunction("globalThis.measure", undefined, { timeout: 30_000 });
    return page.evaluate(`measure(${call.map((argument) => JSON.stringify(argument)).join(", ")})`);
  })) as Measured;
  return { ...measured, firstTokenMs };
}

/** Does `work` in a fresh page. */
async function inPage(browser: Browser, url: string, work: (page: Page) => Promise<unknown>): Promise<unknown> {
  const page = await browser.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  const timer = setTimeout(() => void page.close(), LIMIT_MS);
  try {
    await page.goto(url);
    return await work(page);
  } catch (error) {
    throw new Error([(error as Error).message, ...problems].join("\n"), { cause: error });
  } finally {
    clearTimeout(timer);
    await page.close();
  }
}
