// Both sides as pages of one Chromium: hotset's CPU backend from dist, and wllama.

import { existsSync } from "node:fs";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { type Browser, chromium } from "playwright-core";
import { architectureOf, cachedGguf } from "./cache.ts";
import { type PeerPackage, wllamaFiles } from "./packages.ts";
import type { PageFiles } from "./page.ts";
import { type Served, serve } from "./server.ts";
import type { Sample, SideName, Sides, Work } from "./types.ts";

const CHROMIUM = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
/** Timeout of one measurement. */
const LIMIT_MS = 600_000;

/** Bare imports of the built modules. */
const IMPORTS = { "@huggingface/tokenizers": "/node_modules/@huggingface/tokenizers/dist/tokenizers.mjs" };
const PAGE = `<!doctype html>
<link rel="icon" href="data:,">
<script type="importmap">${JSON.stringify({ imports: IMPORTS })}</script>
<script type="module" src="/dist/bench/peers/page.js"></script>`;

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
  const folder = (name: string): string => fileURLToPath(new URL(name, root));
  const served = await serve({
    page: PAGE,
    folders: {
      dist: folder("dist"),
      node_modules: folder("node_modules"),
      models: folder("models"),
      peer: found.folder,
      gguf: dirname(gguf),
    },
  });
  const args = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--no-first-run"];
  const browser = await chromium.launch({ executablePath, args }).catch((error) => {
    served.close();
    throw error;
  });
  const files: PageFiles = {
    weights: `${served.origin}/${path}`,
    gguf: `/gguf/${basename(gguf)}`,
    wllama: { module: `/peer/${module}`, wasm: `/peer/${wasm}` },
    vocab,
  };
  const side = (name: SideName) => (work: Work) => inPage(browser, served, name, work, files);
  return {
    browser: `Chromium ${browser.version()}`,
    sides: { ours: side("ours"), peer: side("peer") },
    async close() {
      await browser.close();
      served.close();
    },
  };
}

/** One measurement in a fresh page. */
async function inPage(
  browser: Browser,
  { origin }: Served,
  side: SideName,
  work: Work,
  files: PageFiles,
): Promise<Sample> {
  const page = await browser.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(String(error)));
  const timer = setTimeout(() => void page.close(), LIMIT_MS);
  try {
    await page.goto(origin);
    await page.waitForFunction("globalThis.measure", undefined, { timeout: 30_000 });
    const call = [side, work, files].map((argument) => JSON.stringify(argument)).join(", ");
    return (await page.evaluate(`measure(${call})`)) as Sample;
  } catch (error) {
    throw new Error([(error as Error).message, ...problems].join("\n"), { cause: error });
  } finally {
    clearTimeout(timer);
    await page.close();
  }
}
